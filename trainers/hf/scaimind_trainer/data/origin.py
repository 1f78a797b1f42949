"""Where a source's records come from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..hub import hub_failure
from ..problems import TrainerFailure
from .files import find_files
from .hash import canonical, hash_files
from .plan import DataPlan, SourcePlan
from .readers import DOCUMENT_CHARACTERS_MIN, BrokenFile, Placed, read_file

# About so many characters make a token at least, of text in most languages and tokenizers.
CHARACTERS_A_TOKEN = 3


class Origin(Protocol):
    """Records that can be read again and again, in the same order."""

    name: str

    def records(self) -> Iterator[Placed]:
        """Each with its place. Raises TrainerFailure where the rest cannot be read."""

    def content(self) -> tuple[int, str]:
        """How many bytes there are, and the SHA-256 of the content, in hex."""


def open_origin(source: SourcePlan, plan: DataPlan) -> Origin:
    """Finds a source's files, or fetches them from a hub. Raises TrainerFailure where there is nothing to read."""
    if source.is_hub:
        return _open_hub(source)
    # A document that fills a row is left whole: packing never lets one read the end of another.
    longest = max(DOCUMENT_CHARACTERS_MIN, CHARACTERS_A_TOKEN * plan.max_seq_length)
    return _Files(Path(source.path).name, source, find_files(source), longest)


@dataclass
class _Files:
    name: str
    source: SourcePlan
    files: list[tuple[Path, str]]
    longest: int

    def records(self) -> Iterator[Placed]:
        for path, file_format in self.files:
            try:
                yield from read_file(path, file_format, self.longest)
            except (BrokenFile, OSError) as error:
                raise TrainerFailure("DATA", f"{error}.", field=self.source.at("path")) from error

    def content(self) -> tuple[int, str]:
        return sum(path.stat().st_size for path, _ in self.files), hash_files(self.files)


@dataclass
class _Hub:
    name: str
    dataset: object

    def records(self) -> Iterator[Placed]:
        for number, row in enumerate(self.dataset, 1):
            yield f"{self.name}, row {number}", row

    def content(self) -> tuple[int, str]:
        """Of the records as canonical JSON: their files may be packed in many ways."""
        digest, count = hashlib.sha256(), 0
        for row in self.dataset:
            line = canonical(row) + b"\n"
            digest.update(line)
            count += len(line)
        return count, digest.hexdigest()


def _open_hub(source: SourcePlan) -> _Hub:
    import datasets

    if source.format:
        message = "A data set of a hub knows its own format: leave this empty."
        raise TrainerFailure("DATA", message, field=source.at("format"))
    name, _, config = source.path.partition(":")
    # load_dataset takes a folder of that name for the data set.
    if name.count("/") != 1 or name.startswith((".", "/")) or Path(name).exists():
        message = f"A data set of a hub is org/name or org/name:config, not {source.path!r}."
        raise TrainerFailure("DATA", message, field=source.at("path"))
    try:
        dataset = datasets.load_dataset(name, config or None, split=source.split or "train")
    except Exception as error:
        at = "split" if "split" in str(error) and isinstance(error, ValueError) else "path"
        raise hub_failure(f"The data set {source.path}", error, source.at(at)) from error
    wanted = {*source.columns, *(one.column for one in source.filters)}
    if source.columns and wanted <= set(dataset.column_names):
        # What is not looked at need not be decoded.
        dataset = dataset.select_columns([column for column in dataset.column_names if column in wanted])
    return _Hub(source.path, dataset)
