"""Hashes of data by content. They agree with the coordinator's, byte for byte."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

# A record a line in these; the bytes as they are in all others.
LINE_FORMATS = ("jsonl", "txt", "csv")


def hash_files(files: Iterable[tuple[Path, str]]) -> str:
    """SHA-256, in hex, of files with their formats, one after the other. Of a file with lines: each that is not empty, however it ends."""
    digest = hashlib.sha256()
    for path, file_format in files:
        with open(path, "rb") as file:
            if file_format in LINE_FORMATS:
                _add_lines(digest, file)
            else:
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
    return digest.hexdigest()


def _add_lines(digest, file: Iterable[bytes]) -> None:
    for line in file:
        line = line.removesuffix(b"\n").removesuffix(b"\r")
        if line.strip(b" \t"):
            digest.update(line)
            digest.update(b"\n")


def canonical(value) -> bytes:
    """A value as JSON without white space, its keys in order. Raises UnicodeEncodeError for half a character."""
    return _encoder.encode(value).encode()


def _plain(value):
    """What JSON has no word for, as data sets of a hub hold it: times as text, bytes by their hash."""
    if isinstance(value, bytes):
        return f"sha256:{hashlib.sha256(value).hexdigest()}"
    return str(value)


_encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_plain)
