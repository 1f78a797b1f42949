"""Records of a benchmark that are kept for people to look at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

SAMPLES_MAX = 20
CHARACTERS_MAX = 1000


@dataclass(frozen=True)
class Sample:
    """What the model was given, what would be right, what it said, and its score."""

    prompt: str
    expected: str
    answer: str
    score: float


def kept(samples: Iterable[Sample]) -> list[dict]:
    """The first 20, each text cut to 1,000 characters: of a prompt, its end."""
    return [
        {
            "prompt": sample.prompt[-CHARACTERS_MAX:],
            "expected": sample.expected[:CHARACTERS_MAX],
            "answer": sample.answer[:CHARACTERS_MAX],
            "score": sample.score,
        }
        for sample in islice(samples, SAMPLES_MAX)
    ]
