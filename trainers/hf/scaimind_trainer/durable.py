"""Folders that appear whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any


def files_in(folder: Path) -> list[str]:
    """The files of a folder and its folders, by relative name with `/`, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def describe_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Bytes and SHA-256 of every file in a folder, by name."""
    names = files_in(folder)
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        return dict(zip(names, pool.map(lambda name: _describe(folder / name), names), strict=True))


def publish_folder(temporary: Path, folder: Path, ready: Callable[[], None]) -> None:
    """
    Gives a written folder its name: its files are synced, then it is renamed. An older folder of that name is replaced. `ready` is
    called when nothing has the name yet; what it throws stops it there.
    """
    for name in files_in(temporary):
        # safetensors makes files that only their owner reads; who serves the model is another user.
        (temporary / name).chmod(0o644)
        _sync(temporary / name)
    for path in [temporary, *(path for path in temporary.rglob("*") if path.is_dir())]:
        _sync(path)
    ready()
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    os.rename(temporary, folder)
    _sync(folder.parent)


def _describe(path: Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        return {"bytes": os.fstat(file.fileno()).st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
