"""How far an evaluation is."""

from __future__ import annotations

import time

INTERVAL_SECONDS = 0.4


class Progress:
    """Tells how many records of all benchmarks are done, a few times a second."""

    def __init__(self, journal, total: int):
        self._journal = journal
        self._total = total
        self._started = time.monotonic()
        self._told = 0.0
        self._before = 0
        self._tokens = 0

    def tell(self, done: float, tokens: int = 0) -> None:
        """So many records of the present benchmark are done; so many more tokens were read."""
        self._tokens += tokens
        now = time.monotonic()
        step = min(self._total, self._before + int(done))
        if now - self._told < INTERVAL_SECONDS and step < self._total:
            return
        self._told = now
        eta = None if step == 0 else round((now - self._started) / step * (self._total - step))
        self._journal.event(
            {
                "type": "progress",
                "step": step,
                "total_steps": self._total,
                "epoch": 0,
                "total_epochs": 0,
                "eta_seconds": eta,
                "tokens_seen": self._tokens,
            }
        )

    def rows(self, records: int):
        """Takes the rows and tokens of each batch of the present benchmark, of so many records, and tells them."""
        seen = 0

        def told(rows: int, tokens: int) -> None:
            nonlocal seen
            # A record may be read in several rows; the last is told by `finish`.
            seen = min(records - 1, seen + rows)
            self.tell(seen, tokens)

        return told

    def finish(self, records: int) -> None:
        """The present benchmark, of so many records, is done."""
        self._before += records
        self.tell(0)
