"""What is asked from outside, by signals and `stop.json`."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

STOPPED = 85
"""The exit code of a trainer that was asked to stop and did."""


class Stopped(Exception):
    """Leaves a run that was asked to stop, once what was to be saved is saved."""


class Requests:
    """
    SIGUSR1: save and go on. SIGTERM: save, unless `stop.json` says no, and exit with 85. Requests are noticed between steps. A
    repeated SIGTERM changes nothing: torchrun sends one of its own on top of the group's.
    """

    def __init__(self, directory: Path):
        self.stop = False
        self.save_on_stop = True
        self._directory = directory
        self._checkpoint_wanted = False

    def listen(self) -> None:
        """Installs the signal handlers of this process."""
        owner = os.getpid()

        def checkpoint(_signal: int, _frame: object) -> None:
            self._checkpoint_wanted = True

        def stop(_signal: int, _frame: object) -> None:
            if os.getpid() != owner:
                # A worker that loads data inherits the handler; it has nothing to save.
                os._exit(128 + signal.SIGTERM)
            if not self.stop:
                self.save_on_stop = self._save_wanted()
            self.stop = True

        signal.signal(signal.SIGUSR1, checkpoint)
        signal.signal(signal.SIGTERM, stop)

    def ask_to_stop(self) -> None:
        """As SIGTERM does, with a checkpoint."""
        self.stop = True

    def take_checkpoint(self) -> bool:
        """Whether SIGUSR1 came since this was last asked."""
        wanted, self._checkpoint_wanted = self._checkpoint_wanted, False
        return wanted

    def _save_wanted(self) -> bool:
        try:
            return json.loads((self._directory / "stop.json").read_text()).get("save_checkpoint") is not False
        except (OSError, ValueError, AttributeError):
            # No such file, or one that cannot be read: saving is the safe answer.
            return True
