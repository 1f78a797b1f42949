"""Keeps a trainer that a newer attempt has overtaken from writing: its node may have been given up while it ran on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

FENCED = 86
"""The exit code of a trainer that stopped because a newer attempt of its job has begun."""


class Fence:
    """
    The fence of the attempt whose folder is `attempts/<number>` of a job: the job's `fence/` holds a file a number for each attempt
    that began. Any other folder is never overtaken.
    """

    def __init__(self, directory: Path, leave: Callable[[], None]):
        attempts = directory.resolve().parent
        number = directory.resolve().name
        self._number = int(number) if attempts.name == "attempts" and number.isdigit() else None
        self._folder = attempts.parent / "fence"
        self._leave = leave
        self._looked_at = float("-inf")

    def check(self, age_seconds: float = 0) -> None:
        """Calls `leave` where a newer attempt has begun, by a look at most `age_seconds` old. Default: by a new look."""
        now = time.monotonic()
        if self._number is None or (age_seconds > 0 and now - self._looked_at <= age_seconds):
            return
        if any(other > self._number for other in self._numbers()):
            self._leave()
        self._looked_at = now

    def _numbers(self) -> list[int]:
        try:
            return [int(name) for name in os.listdir(self._folder) if name.isdigit()]
        except OSError:
            # Nobody took the fence, as where a trainer is started by hand: no proof of a newer attempt.
            return []
