"""Records that cannot be used, told by the first of each kind."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from ..problems import TrainerFailure
from .readers import BadRecord

KINDS_NAMED = 5
PLACES_NAMED = 3
REASON_CHARACTERS_MAX = 200
# The first kind is always told.
CHARACTERS_MAX = 350


class UnusableRecords(TrainerFailure):
    """There are too many of them."""


@dataclass
class _Kind:
    reason: str
    places: list[str] = field(default_factory=list)
    count: int = 0

    def told(self) -> str:
        reason = self.reason if len(self.reason) <= REASON_CHARACTERS_MAX else f"{self.reason[:REASON_CHARACTERS_MAX]}…"
        first, *others = self.places
        if not others:
            return f"{first}: {reason}"
        more = self.count - len(self.places)
        return f"{first}: {reason}; the same at {', '.join(others)}{f' and {more} more' if more else ''}"


class BadRecords:
    """Counts them by what is wrong, in bounded memory however many there are."""

    def __init__(self) -> None:
        self.count = 0
        # By the field whose mapped column they lack.
        self.unmapped: Counter[str] = Counter()
        self._kinds: dict[str, _Kind] = {}

    def note(self, place: str, bad: BadRecord) -> None:
        """Takes another one into account."""
        self.count += 1
        if bad.unmapped:
            self.unmapped[bad.unmapped] += 1
        reason = str(bad)
        # One mistake made again and again is often at another column, or of another message.
        name = re.sub(r"\d+", "0", reason)
        if name not in self._kinds and len(self._kinds) == KINDS_NAMED:
            return
        kind = self._kinds.setdefault(name, _Kind(reason))
        kind.count += 1
        if len(kind.places) < PLACES_NAMED:
            kind.places.append(place)

    def kinds(self) -> list[str]:
        """The first places of each kind that is known, a text each."""
        return [kind.told() for kind in self._kinds.values()]

    def told(self) -> str:
        """The first places of each kind, without a full stop, in some 400 characters."""
        named: list[str] = []
        left = self.count
        for kind in self._kinds.values():
            text = kind.told()
            if named and sum(map(len, named)) + len(text) > CHARACTERS_MAX:
                break
            named.append(text)
            left -= kind.count
        return "; ".join(named) + (f"; {left} more {'records' if left > 1 else 'record'} cannot be used" if left else "")
