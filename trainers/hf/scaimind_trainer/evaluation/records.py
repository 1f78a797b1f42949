"""The records of a user's own benchmark, as questions."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ..data.files import READABLE, format_of
from ..data.hash import canonical
from ..data.readers import BadRecord, BrokenFile, read_file
from ..data.record import Record
from ..problems import TrainerFailure
from .benchmarks import Benchmark

EXPECTED = {
    "perplexity": 'expected "text", "prompt" and "completion", or "messages"',
    "exact_match": 'expected "prompt" and "completion" (or "answer"), or "messages"',
    "contains": 'expected "prompt" and "completion" (or "answer"), or "messages"',
    "multiple_choice": 'expected "prompt", "choices" and "answer"',
}


@dataclass(frozen=True)
class Turn:
    """What a model is given, as text or as messages, and what is to follow."""

    prompt: str | list[dict]
    expected: str


@dataclass(frozen=True)
class Question:
    """
    A record: a choice where it has `choices` (`right` is the index of the right one), else turns; all of them count for perplexity, the
    last for answers.
    """

    turns: tuple[Turn, ...]
    choices: tuple[str, ...] = ()
    right: int = 0
    # What was read, as every trainer writes it, whatever white space and order of keys the file has.
    content: bytes = b""


def read_questions(benchmark: Benchmark) -> list[Question]:
    """Reads a benchmark's records, at most `num_samples`. Raises TrainerFailure naming file and line."""
    path = Path(benchmark.path)
    field = benchmark.at("dataset")
    file_format = format_of(path)
    if file_format is None:
        raise TrainerFailure("DATA", f"The format of {path.name} cannot be told from its name; the formats are {READABLE}.", field=field)
    questions = []
    try:
        for place, fields in islice(read_file(path, file_format), benchmark.num_samples or None):
            try:
                if isinstance(fields, BadRecord):
                    raise fields
                questions.append(_read_question(fields, benchmark.metric))
            except BadRecord as bad:
                raise TrainerFailure("DATA", f"{place}: {bad}.", field=field) from None
    except FileNotFoundError:
        raise TrainerFailure("DATA", f"There is no file {path.name}.", field=field) from None
    except (BrokenFile, OSError) as error:
        raise TrainerFailure("DATA", f"{error}.", field=field) from error
    if not questions:
        raise TrainerFailure("DATA", f"{path.name} has no records.", field=field)
    return questions


def content_hash(questions: list[Question]) -> str:
    """`sha256:…` of the records."""
    digest = hashlib.sha256()
    for question in questions:
        digest.update(question.content + b"\n")
    return f"sha256:{digest.hexdigest()}"


def _read_question(fields: dict, metric: str) -> Question:
    record = Record(fields, {"completion": "answer"} if "answer" in fields and "completion" not in fields else {})
    if metric == "multiple_choice":
        return _read_choice(record, fields)
    expected = EXPECTED[metric]
    if record.get("messages") is not None:
        messages = record.messages("messages")
        turns = tuple(
            Turn(messages[:index], message["content"])
            for index, message in enumerate(messages)
            if message["role"] == "assistant" and isinstance(message.get("content"), str)
        )
        if not turns:
            raise BadRecord(f"{record.label('messages')} has no assistant message to predict")
        return Question(turns, content=_completion_content(*_spoken(messages)))
    if record.get("prompt") is not None or record.get("completion") is not None or metric != "perplexity":
        prompt = "" if record.get("prompt") == "" else record.turn("prompt", expected)
        answer = record.text("completion", expected)
        lead = canonical(prompt).decode() if isinstance(prompt, list) else prompt and f"{prompt}\n"
        content = _completion_content([{"text": lead, "learned": False}, {"text": answer, "learned": True}], lead)
        return Question((Turn(prompt, answer),), content=content)
    text = record.text("text", expected)
    return Question((Turn("", text),), content=_json({"kind": "text", "text": text}))


def _read_choice(record: Record, fields: dict) -> Question:
    expected = EXPECTED["multiple_choice"]
    prompt, choices, answer = record.turn("prompt", expected), fields.get("choices"), fields.get("answer")
    if not isinstance(choices, list) or len(choices) < 2 or not all(isinstance(one, str) and one.strip() for one in choices):
        raise BadRecord('"choices" must be a list of at least two texts')
    right = _index_of(answer, choices)
    if right is None:
        raise BadRecord('"answer" must be the index of a choice from 0, its text, or its letter from A')
    content = canonical({"prompt": prompt, "choices": choices, "answer": right})
    return Question((Turn(prompt, choices[right]),), tuple(choices), right, content)


def _index_of(answer, choices: list[str]) -> int | None:
    if isinstance(answer, str) and answer in choices:
        return choices.index(answer)
    if isinstance(answer, str) and len(answer) == 1 and answer.isascii() and answer.isupper():
        answer = ord(answer) - ord("A")
    is_index = isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < len(choices)
    return answer if is_index else None


def _spoken(messages: list[dict]) -> tuple[list[dict], str]:
    """Messages as the parts that the embedded trainer makes of them, and what comes before the first that is learned."""
    parts: list[dict] = []
    lead = None
    for index, message in enumerate(messages):
        learned = message["role"] == "assistant"
        if learned and lead is None:
            lead = "".join(part["text"] for part in parts) + "assistant: "
        parts.append({"text": f"{message['role']}: ", "learned": False})
        parts.append({"text": message.get("content") or "", "learned": learned})
        if index < len(messages) - 1:
            parts.append({"text": "\n", "learned": learned})
    return parts, lead or ""


def _completion_content(parts: list[dict], lead: str) -> bytes:
    return _json({"kind": "completion", "prompt": lead, "parts": parts})


def _json(value) -> bytes:
    """As JavaScript writes it, keys in the order given."""
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise BadRecord("it holds half of a character (a lone surrogate)") from None
