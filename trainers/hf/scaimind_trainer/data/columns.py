"""The types of a data set's columns, learned record by record."""

from __future__ import annotations

from .hash import canonical

INT64 = range(-(1 << 63), 1 << 63)


class Columns:
    """Notes what every column holds, then tells its Arrow type and writes rows in it. What no type fits is kept as JSON, and read back as it was."""

    def __init__(self):
        self.kinds: dict[str, str] = {}

    def note(self, row: dict) -> None:
        """Takes another row into account."""
        for name, value in row.items():
            kind, known = _kind_of(value), self.kinds.get(name, "nothing")
            if kind != known:
                self.kinds[name] = _unite(known, kind)

    def features(self):
        """What Arrow is told."""
        from datasets import Features, Json, List, Value

        types = {
            "nothing": Value("string"),
            "text": Value("string"),
            "boolean": Value("bool"),
            "integer": Value("int64"),
            "number": Value("float64"),
            "messages": List({"role": Value("string"), "content": Value("string")}),
            # Calls of tools hold whatever a tool takes.
            "rich messages": List(Json()),
            "json": Json(),
        }
        return Features({name: types[kind] for name, kind in self.kinds.items()})

    def encode(self, row: dict) -> dict:
        """A row with all columns, as the features want it."""
        return {name: _encode(row.get(name), kind) for name, kind in self.kinds.items()}


def _kind_of(value) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer" if value in INT64 else "json"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, list) and all(isinstance(one, dict) and "role" in one for one in value):
        is_plain = all(one.keys() == {"role", "content"} and isinstance(one["content"], str) for one in value)
        return "messages" if is_plain else "rich messages"
    return "json"


def _unite(one: str, other: str) -> str:
    if "nothing" in (one, other):
        return other if one == "nothing" else one
    kinds = {one, other}
    if kinds == {"integer", "number"}:
        return "number"
    if kinds == {"messages", "rich messages"}:
        return "rich messages"
    return one if one == other else "json"


def _encode(value, kind: str):
    if value is None:
        return None
    if kind == "json":
        return canonical(value).decode()
    if kind == "rich messages":
        return [canonical(message).decode() for message in value]
    return value
