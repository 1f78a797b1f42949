"""What an attempt tells about itself: two files of JSON lines, and the log."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .fence import Fence
from .problems import TrainerFailure

# How old, in seconds, what is known of newer attempts may be when a line is written.
FENCE_AGE = 1.0


class Journal:
    """
    Appends to `events.jsonl` and `metrics.jsonl` in an attempt's folder, each line whole and at once, unless a newer attempt has
    begun. Of several ranks only rank 0 writes; a failure alone is told by whichever rank fails first, and only once.
    """

    def __init__(self, directory: Path, fence: Fence, rank: int = 0, output_lost: Callable[[], None] = lambda: None):
        self._directory = directory
        self._fence = fence
        self._rank = rank
        self._output_lost = output_lost

    def event(self, event: dict[str, Any]) -> None:
        """Tells an event: its `type` and what belongs to it, without the time."""
        if self._rank == 0:
            self._append("events.jsonl", {"type": event["type"], "time": _now(), **event})

    def phase(self, phase: str) -> None:
        """Tells that PREPARING, TRAINING, CHECKPOINTING, EVALUATING or EXPORTING begins."""
        self.event({"type": "phase", "phase": phase})

    def metrics(self, step: int, epoch: float, values: dict[str, float]) -> None:
        """Tells values at a step. Those that are not finite numbers are left out."""
        if self._rank == 0:
            finite = {name: value for name, value in values.items() if isinstance(value, (int, float)) and math.isfinite(value)}
            self._append("metrics.jsonl", {"step": step, "epoch": epoch, "time": _now(), "values": finite})

    def failure(self, failure: TrainerFailure) -> None:
        """Tells why the attempt failed, unless another rank has told it."""
        self._fence.check()
        try:
            os.close(os.open(self._directory / "failure.told", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        except FileExistsError:
            return
        rank = failure.rank if failure.rank is not None else self._rank
        details = {
            "field": failure.field,
            "hint": failure.hint,
            "first_bad_step": failure.first_bad_step,
            "rank": rank,
            "node_rank": rank // _processes_per_node(),
        }
        event = {"type": "failure", "time": _now(), "class": failure.class_name, "message": failure.message}
        self._append("events.jsonl", {**event, **{name: value for name, value in details.items() if value is not None}})

    def log(self, line: str) -> None:
        """A line of the log, on standard output; only rank 0's."""
        if self._rank != 0:
            return
        try:
            print(line, flush=True)
        except OSError:
            # Whoever read the log is gone, and with it whoever would notice the end: save and stop rather than run unseen.
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115
            self._output_lost()

    def _append(self, name: str, line: dict[str, Any]) -> None:
        self._fence.check(FENCE_AGE)
        text = json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n"
        file = os.open(self._directory / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            # One write, so that a line is never seen in part and never mixed with another rank's.
            os.write(file, text.encode())
        finally:
            os.close(file)


def _processes_per_node() -> int:
    # torchrun and accelerate say it by the first name, deepspeed by the second.
    return int(os.environ.get("LOCAL_WORLD_SIZE") or os.environ.get("LOCAL_SIZE") or 1)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
