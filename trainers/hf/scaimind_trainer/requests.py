"""What is asked from outside, by signals and `stop.json`."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STOPPED = 85
"""The exit code of a trainer that was asked to stop and did."""


class Stopped(Exception):
    """Leaves a run that was asked to stop, once what was to be saved is saved."""


class Requests:
    """
    SIGUSR1: save and go on. SIGTERM: save, unless `stop.json` says no, and exit with 85. Requests are noticed between steps, and by
    whatever runs while `leaving_at_once`. A repeated SIGTERM changes nothing: torchrun sends one of its own on top of the group's.
    """

    def __init__(self, directory: Path):
        self.stop = False
        self.save_on_stop = True
        self._directory = directory
        self._checkpoint_wanted = False
        self._leaves_at_once = False

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
            if self._leaves_at_once:
                raise Stopped

        signal.signal(signal.SIGUSR1, checkpoint)
        signal.signal(signal.SIGTERM, stop)

    @contextmanager
    def leaving_at_once(self) -> Iterator[None]:
        """
        What is done meanwhile, where there is nothing to save yet, may last hours: SIGTERM ends it by Stopped. Whatever a package makes
        of that comes out as Stopped, too.
        """
        self._leaves_at_once = True
        try:
            if self.stop:
                raise Stopped
            yield
        except Exception as error:
            if self.stop and not isinstance(error, Stopped):
                raise Stopped from error
            raise
        finally:
            self._leaves_at_once = False

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
