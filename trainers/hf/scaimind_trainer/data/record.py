"""What a record must hold for a training type, and what the trainer makes of it."""

from __future__ import annotations

import json
from collections.abc import Iterable

from ..parsing import near_miss
from .readers import BadRecord

SUPERVISED = ("SFT", "LORA", "QLORA", "FULL_FINETUNE")
ROLES = ("system", "developer", "user", "assistant", "tool")
# The trainer hands these to a reward function itself.
GIVEN_TO_REWARDS = ("prompts", "completions", "completion", "completion_ids", "trainer_state")

# Some tables have hundreds of columns.
NAMES_MAX = 8

EXPECTED = {
    "text": 'expected a record with "text"',
    "supervised": 'expected a record with "text", with "prompt" and "completion", or with "messages" [{"role", "content"}]',
    "pair": 'expected "prompt" and "completion" together',
    "preference": 'expected a record with "chosen" and "rejected", and "prompt" unless both begin with it',
    "prompt": 'expected a record with "prompt"',
}


def read_record(fields: dict, mapping: dict[str, str], training_type: str) -> dict:
    """The columns that the trainer of this type reads: texts, or lists of messages. Raises BadRecord."""
    record = Record(fields, mapping)
    if training_type == "CONTINUED_PRETRAIN":
        return {"text": record.text("text", EXPECTED["text"])}
    if training_type == "DPO":
        return _read_preference(record)
    if training_type == "RLHF":
        return _read_prompt(record)
    return _read_supervised(record)


def shape_of(row: dict) -> str:
    """What all records of a job must have in common, in words: `prompt and completion`, `messages`."""
    names = [name for name in ("messages", "prompt", "completion", "chosen", "rejected", "text") if name in row]
    are_messages = any(isinstance(row[name], list) for name in names) and names != ["messages"]
    return " and ".join(f'"{name}"' for name in names) + (" as messages" if are_messages else "")


def names_of(names: Iterable[str]) -> str:
    """Columns quoted, at most so many."""
    quoted = [json.dumps(name, ensure_ascii=False) for name in names]
    more = ", …" if len(quoted) > NAMES_MAX else ""
    return ", ".join(quoted[:NAMES_MAX]) + more or "no field"


def unmapped(name: str, column: str, lacks: str, known: Iterable[str]) -> str:
    """Says that the column which a field is taken from is not there, where `known` are; `lacks` is how: `it does not have`."""
    return f"field_mapping takes {name} from {names_of([column])}, which {lacks}{near_miss(column, known)}; there are {names_of(known)}"


class Record:
    """A record's fields by the names that a trainer expects. `mapping`: expected name → name in the record."""

    def __init__(self, fields: dict, mapping: dict[str, str]):
        self.fields = fields
        self.mapping = mapping

    def get(self, name: str):
        """The field's value; None where there is none."""
        return self.fields.get(self.mapping.get(name, name))

    def label(self, name: str) -> str:
        """The field's own name, quoted."""
        return json.dumps(self.mapping.get(name, name), ensure_ascii=False)

    def text(self, name: str, expected: str) -> str:
        """Text that is not blank. Raises BadRecord, with what was expected where there is no such field."""
        value = self.get(name)
        if value is None:
            self.refuse_unmapped(name)
            raise BadRecord(f"{expected}; found {names_of(self.fields)}")
        if not isinstance(value, str):
            raise BadRecord(f"{self.label(name)} must be text")
        if not value.strip():
            raise BadRecord(f"{self.label(name)} is empty")
        return value

    def refuse_unmapped(self, *names: str) -> None:
        """Raises BadRecord where the mapping takes one of these fields from a column that the record does not have."""
        for name in names:
            if (column := self.mapping.get(name, name)) not in self.fields and name in self.mapping:
                raise BadRecord(unmapped(name, column, "it does not have", self.fields), name)

    def turn(self, name: str, expected: str):
        """Text, or messages. Raises BadRecord."""
        value = self._list(name)
        return self.messages(name) if isinstance(value, list) else self.text(name, expected)

    def messages(self, name: str) -> list[dict]:
        """Messages with a role and a content, without their empty fields. Raises BadRecord."""
        value = self._list(name)
        label = self.label(name)
        if not isinstance(value, list) or not value:
            raise BadRecord(f'{label} must be a list of {{"role", "content"}}')
        return [_read_message(message, f"{label}[{index}]") for index, message in enumerate(value)]

    def _list(self, name: str):
        value = self.get(name)
        # A table's cells have no lists.
        if isinstance(value, str) and value.startswith("[{"):
            try:
                return json.loads(value)
            except ValueError:
                return value
        return value


def _read_message(message, label: str) -> dict:
    if not isinstance(message, dict) or message.get("role") not in ROLES:
        raise BadRecord(f'{label} must have a "role" of {", ".join(ROLES[:-1])} or {ROLES[-1]}')
    # Arrow gives every message all fields that any has.
    kept = {name: value for name, value in message.items() if value is not None}
    content = kept.get("content")
    if "tool_calls" not in kept and not (isinstance(content, str) and content):
        raise BadRecord(f'{label} must have a "content" that is text')
    return kept


def _read_supervised(record: Record) -> dict:
    tools = _read_tools(record)
    if record.get("messages") is not None:
        messages = record.messages("messages")
        if not any(message["role"] == "assistant" for message in messages):
            raise BadRecord(f"{record.label('messages')} has no assistant message to learn from")
        return {"messages": messages, **tools}
    if record.get("prompt") is not None or record.get("completion") is not None:
        # An empty prompt stands for none.
        prompt = "" if record.get("prompt") == "" else record.turn("prompt", EXPECTED["pair"])
        row = {"prompt": prompt, "completion": record.turn("completion", EXPECTED["pair"])}
        return {**_alike(row), **tools}
    if record.get("text") is None:
        record.refuse_unmapped("messages", "prompt", "completion")
    return {"text": record.text("text", EXPECTED["supervised"])}


def _read_preference(record: Record) -> dict:
    row = {name: record.turn(name, EXPECTED["preference"]) for name in ("chosen", "rejected")}
    if record.get("prompt") is not None:
        row = {"prompt": record.turn("prompt", EXPECTED["preference"]), **row}
    row = _without_prompt(_alike(row))
    if row["chosen"] == row["rejected"]:
        raise BadRecord(f"{record.label('chosen')} and {record.label('rejected')} are the same")
    return {**row, **_read_tools(record)}


def _without_prompt(row: dict) -> dict:
    """Many data sets repeat the prompt at the beginning of both conversations."""
    prompt = row.get("prompt")
    if not isinstance(prompt, list):
        return row
    length = len(prompt)
    if any(row[name][:length] != prompt or len(row[name]) == length for name in ("chosen", "rejected")):
        return row
    return {"prompt": prompt, "chosen": row["chosen"][length:], "rejected": row["rejected"][length:]}


def _read_prompt(record: Record) -> dict:
    row = {"prompt": record.turn("prompt", EXPECTED["prompt"])}
    taken = {record.mapping.get(name, name) for name in ("prompt", *record.mapping)}
    renamed = {name: record.get(name) for name in record.mapping if name != "prompt"}
    others = {name: value for name, value in record.fields.items() if name not in taken and name not in GIVEN_TO_REWARDS}
    return {**row, **others, **renamed}


def _read_tools(record: Record) -> dict:
    tools = record.get("tools")
    if not tools:
        return {}
    if isinstance(tools, list):
        tools = json.dumps(tools, ensure_ascii=False)
    try:
        is_list = isinstance(json.loads(tools), list)
    except (TypeError, ValueError):
        is_list = False
    if not is_list:
        raise BadRecord(f"{record.label('tools')} must be a list of functions")
    return {"tools": tools}


def _alike(row: dict) -> dict:
    """Text beside messages is a message: the prompt the user's, all else the assistant's."""
    if not any(isinstance(value, list) for value in row.values()):
        return row
    return {name: value if isinstance(value, list) else _as_messages(name, value) for name, value in row.items()}


def _as_messages(name: str, text: str) -> list[dict]:
    if not text:
        raise BadRecord(f'"{name}" is empty, and the others are messages')
    return [{"role": "user" if name == "prompt" else "assistant", "content": text}]
