"""
Notices that a collective hangs, and says which rank is missing.

Each rank keeps a file `heartbeat.<rank>` in the attempt's folder: the step and the stage of it that the rank is in. A thread of each
rank touches the file every second, so that a process that is stopped or gone is told from one that waits, and notices when its own
step lasts far longer than steps do here.
"""

from __future__ import annotations

import os
import statistics
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .problems import TrainerFailure

STAGES = ("data", "compute", "end")
"""What a rank does in a step, in order: waits for its batch, computes, agrees with the others on what is next."""

# A rank whose file was not touched for so many seconds, by the file server's own clock, is not alive.
DEAD_AFTER = 8.0
DEAD_AFTER_LEAST = 3.0
FIRST_STEP_SECONDS = 1800.0
LEAST_SECONDS = 60.0
TIMES_MEDIAN = 20


class Heartbeat:
    """The heartbeat of one rank. `tell` gets the failure where a step hangs; then the process ends with 1."""

    def __init__(self, directory: Path, rank: int, world_size: int, tell: Callable[[TrainerFailure], None]):
        self._directory = directory
        self._rank = rank
        self._world_size = world_size
        self._tell = tell
        given = os.environ.get("SCAIMIND_COLLECTIVE_TIMEOUT_S")
        self._limit = float(given) if given else None
        self._dead_after = max(DEAD_AFTER_LEAST, min(DEAD_AFTER, (self._limit or LEAST_SECONDS) / 2))
        self._durations: deque[float] = deque(maxlen=50)
        self._place = (0, 0)
        self._since: float | None = None
        self._step_began = 0.0
        self._file = os.open(directory / f"heartbeat.{rank}", os.O_WRONLY | os.O_CREAT, 0o644)
        self._closed = threading.Event()
        # The watch may be about to write when the file is closed.
        self._writing = threading.Lock()
        if world_size > 1:
            threading.Thread(target=self._watch, daemon=True, name="heartbeat").start()

    def beat(self, step: int, stage: str) -> None:
        """This rank is in `stage` of `step`."""
        now = time.monotonic()
        if stage == STAGES[0]:
            self._step_began = now
        elif stage == STAGES[-1]:
            self._durations.append(now - self._step_began)
        self._place = (step, STAGES.index(stage))
        self._since = now
        self._write()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What is done meanwhile, such as saving or evaluating, may last as long as it likes."""
        is_watched = self._since is not None
        self._since = None
        yield
        self._since = time.monotonic() if is_watched else None

    def rest(self) -> None:
        """Training is over: the watch is, too, until the next beat."""
        self._since = None

    def close(self) -> None:
        """Ends the watch."""
        with self._writing:
            if not self._closed.is_set():
                self._closed.set()
                os.close(self._file)

    def _write(self) -> None:
        with self._writing:
            if not self._closed.is_set():
                os.pwrite(self._file, f"{self._place[0]:>12} {self._place[1]}\n".encode(), 0)

    def _watch(self) -> None:
        while not self._closed.wait(1.0):
            self._write()
            since = self._since
            if since is not None and time.monotonic() - since > self._seconds():
                self._hang(time.monotonic() - since)

    def _seconds(self) -> float:
        if self._limit is not None:
            return self._limit
        if not self._durations:
            return FIRST_STEP_SECONDS
        return max(LEAST_SECONDS, TIMES_MEDIAN * statistics.median(self._durations))

    def _hang(self, seconds: float) -> None:
        missing = self.missing_ranks()
        alive = [rank for rank in range(self._world_size) if rank not in missing]
        # The lowest rank that is alive tells; the others give it time to, since the first to end brings all down.
        if alive and alive[0] != self._rank:
            time.sleep(3)
        who = f"rank {', '.join(map(str, missing))} is missing" if missing else "no rank is behind the others, so the network between them is suspect"
        failure = TrainerFailure(
            "COLLECTIVE_HANG",
            f"Step {self._place[0]} has lasted {seconds:.0f} s: {who}.",
            rank=missing[0] if missing else None,
            hint="Look at the log of that rank and at its node." if missing else None,
        )
        print(f"error: {failure.message}", file=sys.stderr, flush=True)
        self._tell(failure)
        os._exit(1)

    def missing_ranks(self) -> list[int]:
        """The ranks that are not alive; where all are, those that are behind this one."""
        own = (self._directory / f"heartbeat.{self._rank}").stat().st_mtime
        places: dict[int, tuple[int, int]] = {}
        dead: list[int] = []
        for rank in range(self._world_size):
            path = self._directory / f"heartbeat.{rank}"
            try:
                step, stage = path.read_text().split()
                places[rank] = (int(step), int(stage))
                if own - path.stat().st_mtime > self._dead_after:
                    dead.append(rank)
            except (OSError, ValueError):
                dead.append(rank)
        return dead or [rank for rank, place in places.items() if place < self._place]
