"""Reads the words of a submission strictly: what is wrong with a field is collected with its path, nothing is guessed."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple


class Problem(NamedTuple):
    """What is wrong with one field of the submission."""

    path: str
    message: str


class Kind(NamedTuple):
    """How a text becomes a value: `read` answers None where it is not `text`."""

    read: Callable[[str], Any]
    text: str


def number(low: float, high: float, *, above: bool = False) -> Kind:
    """A finite number from `low` to `high`; with `above`, greater than `low`."""

    def read(text: str) -> float | None:
        try:
            value = float(text)
        except ValueError:
            return None
        fits = math.isfinite(value) and low <= value <= high and not (above and value == low)
        return value if fits else None

    return Kind(read, f"a number {'above' if above else 'from'} {low:g} {'up ' if above else ''}to {high:g}")


def integer(low: int, high: int) -> Kind:
    """A whole number from `low` to `high`."""

    def read(text: str) -> int | None:
        try:
            value = int(text)
        except ValueError:
            return None
        return value if low <= value <= high else None

    return Kind(read, f"a whole number from {low} to {high}")


def boolean() -> Kind:
    """`true` or `false`."""
    return Kind(lambda text: {"true": True, "false": False}.get(text.lower()), "true or false")


def one_of(*words: str) -> Kind:
    """One of these words, as they are written here."""
    return Kind(lambda text: text if text in words else None, f"one of {', '.join(words)}")


def text() -> Kind:
    """Any text that is not empty."""
    return Kind(lambda given: given.strip() or None, "a text that is not empty")


def words() -> Kind:
    """Words separated by commas, as a list."""
    return Kind(lambda given: [word.strip() for word in given.split(",") if word.strip()] or None, "words separated by commas")


def near_miss(name: str, known: Iterable[str]) -> str:
    """` (did you mean …?)` where one of the known names is close; otherwise nothing."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" (did you mean {found[0]}?)" if found else ""


def read_map(path: str, given: Any, kinds: dict[str, Kind], problems: list[Problem]) -> dict[str, Any]:
    """Reads a map of texts by name. Unknown names and values of the wrong kind become problems."""
    values: dict[str, Any] = {}
    for name, raw in (given or {}).items():
        kind = kinds.get(name)
        if kind is None:
            allowed = f"; known are {', '.join(sorted(kinds))}" if kinds else "; nothing can be set here"
            problems.append(Problem(f"{path}.{name}", f"Unknown setting {name}{near_miss(name, kinds)}{allowed}."))
            continue
        value = kind.read(str(raw))
        if value is None:
            problems.append(Problem(f"{path}.{name}", f"{name} must be {kind.text}, not {str(raw)!r}."))
        else:
            values[name] = value
    return values


def is_unset(value: Any) -> bool:
    """Whether a value says nothing: what protobuf sends for a field that was not set."""
    if value in (None, "", 0, False, "0"):
        return True
    if isinstance(value, str):
        return value.endswith("_UNSPECIFIED")
    if isinstance(value, (list, tuple)):
        return not value
    return isinstance(value, dict) and all(is_unset(inner) for inner in value.values())


def object_at(root: Any, path: str) -> dict[str, Any]:
    """The object at `path` inside `root`, such as `training_config.base_model`; empty where there is none."""
    value = root
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}
