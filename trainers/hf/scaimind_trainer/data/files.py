"""Which files a source is, and how each is written."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..parsing import near_miss
from ..problems import TrainerFailure
from .plan import SourcePlan

FORMATS = {
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "json_lines": "jsonl",
    "json": "json",
    "csv": "csv",
    "tsv": "tsv",
    "parquet": "parquet",
    "txt": "txt",
    "text": "txt",
}
READABLE = "jsonl, json, csv, tsv, parquet and txt"


def find_files(source: SourcePlan) -> list[tuple[Path, str]]:
    """The files of a source with their formats, in the order of their names. Raises TrainerFailure where there are none, or one cannot be told."""
    if source.format and source.format not in FORMATS:
        message = f"The formats are {READABLE}, not {source.format!r}{near_miss(source.format, FORMATS)}."
        raise TrainerFailure("DATA", message, field=source.at("format"))
    path = Path(source.path)
    if path.is_dir():
        return _in_folder(path, source)
    if source.split:
        message = f"A file is one split: leave this empty for {path.name}; data_config.validation_split sets records aside."
        raise TrainerFailure("DATA", message, field=source.at("split"))
    if not path.exists():
        raise TrainerFailure("DATA", f"There is no file {path.name}.", field=source.at("path"))
    if not os.access(path, os.R_OK):
        raise TrainerFailure("DATA", f"{path.name} may not be read.", field=source.at("path"))
    file_format = format_of(path, source.format)
    if file_format is None:
        message = f"The format of {path.name} cannot be told from its name; the formats are {READABLE}."
        raise TrainerFailure("DATA", message, field=source.at("format"))
    return [(path, file_format)]


def format_of(path: Path, given: str = "") -> str | None:
    """How a file is written: as given, else by its name's ending. None where neither says."""
    return FORMATS.get(given or path.suffix[1:].lower())


def _in_folder(folder: Path, source: SourcePlan) -> list[tuple[Path, str]]:
    root = folder.resolve()
    all_files = [file for file in sorted(folder.rglob("*")) if file.is_file() and not _is_hidden(file.relative_to(folder))]
    files = [(file, file_format) for file in all_files if (file_format := format_of(file, source.format))]
    if not files:
        raise TrainerFailure("DATA", f"{folder.name} has no file of {READABLE}.", field=source.at("path"))
    if source.split:
        files = [one for one in files if _is_of_split(one[0].relative_to(folder), source.split)]
    if not files:
        message = f"{folder.name} has no file of the split {source.split!r}: one is named {source.split}.jsonl, or lies in a folder {source.split}."
        raise TrainerFailure("DATA", message, field=source.at("split"))
    for file, _ in files:
        # Only the folder was checked against the tenant's data roots.
        if not file.resolve().is_relative_to(root):
            message = f"{file.relative_to(folder)} is a link that leads out of {folder.name}."
            raise TrainerFailure("DATA", message, field=source.at("path"))
    return files


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


def _is_of_split(path: Path, split: str) -> bool:
    """`train.jsonl`, `train-00000-of-00002.parquet`, `train/part.csv`."""
    return split in path.parts[:-1] or re.fullmatch(re.escape(split) + r"(-\d+-of-\d+)?", path.stem) is not None
