"""A temporary folder that lives as long as its process, however that ends."""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path

PREFIX = "scaimind-data-"
LOCK = "lock"
# Before this age a folder may not have its lock yet.
YOUNG_SECONDS = 60


def make_scratch() -> Path:
    """Makes a folder below TMPDIR that is removed at exit. What processes left behind that were killed is removed now."""
    _sweep(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    # Held until the process is gone: so others can tell, in other containers too.
    _lock(folder, os.O_CREAT)
    atexit.register(_remove, folder, os.getpid())
    return folder


def _remove(folder: Path, owner: int) -> None:
    # A fork that exits must not take it from its parent.
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(parent: Path) -> None:
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            stat = folder.lstat()
            if stat.st_uid != os.getuid() or time.time() - stat.st_mtime < YOUNG_SECONDS:
                continue
            held = _lock(folder, 0)
        except OSError:
            # Its process lives, or it is gone already.
            continue
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def _lock(folder: Path, flags: int) -> int:
    """Takes a folder's lock. Raises OSError where another process has it, or there is none."""
    file = os.open(folder / LOCK, os.O_RDWR | flags, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise
    return file
