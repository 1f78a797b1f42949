"""The rows that a source gives: filtered, checked and in the trainer's columns."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy

from ..parsing import near_miss
from ..problems import TrainerFailure
from .bad import BadRecords, UnusableRecords
from .columns import Columns
from .hash import canonical
from .origin import Origin
from .plan import DataPlan, SourcePlan
from .readers import BadRecord
from .record import read_record, shape_of, unmapped
from .size import characters_of

# Of a source's records, so large a part may be skipped.
BAD_SHARE_MAX = 0.01
MAPPING = "data_config.preprocess.field_mapping"


@dataclass
class Scan:
    """What reading a source once found."""

    records: int = 0
    filtered: int = 0
    bad: BadRecords = field(default_factory=BadRecords)
    # Of the usable rows.
    characters: int = 0
    # The columns that any record has.
    columns: set[str] = field(default_factory=set)
    # A number for the content of each usable row.
    digests: numpy.ndarray = field(default_factory=lambda: numpy.empty(0, dtype=numpy.uint64))


class Rows:
    """Reads sources by one plan, so that all rows of a job have one shape."""

    def __init__(self, plan: DataPlan):
        self.plan = plan
        self.columns = Columns()
        self._shape: str | None = None
        # The columns of all sources so far.
        self._seen: set[str] = set()

    def scan(self, source: SourcePlan, origin: Origin) -> Scan:
        """Reads a source whole, holding a number a row. Raises TrainerFailure for what its fields or its records have wrong."""
        scan = self.survey(source, origin)
        self.judge(source, origin, scan)
        return scan

    def survey(self, source: SourcePlan, origin: Origin) -> Scan:
        """Reads a source whole, whatever its records have wrong. Raises TrainerFailure where it cannot be read."""
        scan = Scan()
        digests = array("Q")

        def on_record(fields: dict | None) -> None:
            scan.records += 1
            if fields is not None:
                scan.columns.update(fields)

        for row, digest in self._usable(source, origin, on_record, scan.bad.note):
            self.columns.note(row)
            scan.characters += characters_of(row)
            digests.append(digest)
        scan.digests = numpy.array(digests, dtype=numpy.uint64)
        scan.filtered = scan.records - scan.bad.count - len(scan.digests)
        return scan

    def judge(self, source: SourcePlan, origin: Origin, scan: Scan) -> None:
        """Raises TrainerFailure where what was found cannot be trained on."""
        _check_names(source, scan.columns)
        kept = [name for name in sorted(scan.columns) if not source.columns or name in source.columns]
        self._check_bad(source, origin, scan, kept)
        self._seen.update(kept)
        if len(scan.digests) == 0:
            what = "no record that its filters accept" if scan.filtered else "no records"
            raise TrainerFailure("DATA", f"{origin.name} has {what}.", field=source.at("filters" if scan.filtered else "path"))

    def check_mapping(self) -> None:
        """Raises TrainerFailure where the mapping names a column that no record of any source has. After all scans."""
        for name, column in self.plan.mapping.items():
            if column not in self._seen:
                raise TrainerFailure("DATA", f"{unmapped(name, column, 'no source gives', sorted(self._seen))}.", field=f"{MAPPING}.{name}")

    def read(self, source: SourcePlan, origin: Origin) -> Iterator[dict]:
        """The usable rows again, in the order of the scan, ready to be written."""
        for row, _ in self._usable(source, origin, lambda _: None, lambda *_: None):
            yield self.columns.encode(row)

    def _usable(
        self, source: SourcePlan, origin: Origin, on_record: Callable, on_bad: Callable
    ) -> Iterator[tuple[dict, int]]:
        for place, fields in origin.records():
            try:
                on_record(fields if isinstance(fields, dict) else None)
                if isinstance(fields, BadRecord):
                    raise fields
                if not all(one.accepts(fields) for one in source.filters):
                    continue
                if source.columns:
                    fields = {name: value for name, value in fields.items() if name in source.columns}
                row = read_record(fields, self.plan.mapping, self.plan.training_type)
                self._check_shape(row)
                yield row, _digest(row)
            except BadRecord as bad:
                on_bad(place, bad)

    def _check_shape(self, row: dict) -> None:
        shape = shape_of(row)
        self._shape = self._shape or shape
        if shape != self._shape:
            raise BadRecord(f"it has {shape}, where the records before it have {self._shape}; all records of a job are of one kind")

    def _check_bad(self, source: SourcePlan, origin: Origin, scan: Scan, columns: list[str]) -> None:
        bad, told = scan.bad, f"{scan.bad.told()}."
        is_few = bad.count <= scan.records * BAD_SHARE_MAX
        if bad.count == 0 or (self.plan.skip_bad_records and is_few):
            return
        self._check_mapped(source, origin, bad, columns)
        if self.plan.skip_bad_records:
            told = f"{bad.count} of {scan.records} records of {origin.name} cannot be used, more than {BAD_SHARE_MAX:.0%}: {told}"
        hint = f"Mend them, or skip up to {BAD_SHARE_MAX:.0%} of the records with the hyperparameter skip_bad_records=true."
        can_skip = not self.plan.skip_bad_records and bad.count < scan.records / 2
        raise UnusableRecords("DATA", told, field=source.at("path"), hint=hint if can_skip else None)

    def _check_mapped(self, source: SourcePlan, origin: Origin, bad: BadRecords, columns: list[str]) -> None:
        """Blames the mapping, not the records, for a column that none of the source's has."""
        for name in bad.unmapped:
            column = self.plan.mapping[name]
            if column in columns:
                continue
            lacks = f"{source.at('columns')} leaves out" if source.columns and column not in source.columns else f"{origin.name} does not have"
            # Where another source has it, the mapping is right for that one.
            at = source.at("path") if column in self._seen else f"{MAPPING}.{name}"
            hint = "The mapping holds for every source: give all of them the same columns." if len(self.plan.sources) > 1 else None
            raise TrainerFailure("DATA", f"{unmapped(name, column, lacks, columns)}.", field=at, hint=hint)


def _check_names(source: SourcePlan, seen: set[str]) -> None:
    named = [(column, "columns") for column in source.columns]
    named += [(one.column, f"filters.{one.column}") for one in source.filters]
    for column, at in named:
        if column not in seen and seen:
            known = ", ".join(sorted(seen)[:20])
            message = f"No record has a column {column!r}; there are {known}{near_miss(column, seen)}."
            raise TrainerFailure("DATA", message, field=source.at(at))


def _digest(row: dict) -> int:
    try:
        return int.from_bytes(hashlib.blake2b(canonical(row), digest_size=8).digest(), "little")
    except UnicodeEncodeError:
        raise BadRecord("it holds half of a character (a lone surrogate)") from None
