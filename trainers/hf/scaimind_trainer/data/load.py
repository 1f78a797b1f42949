"""All sources of a job, as the data sets that are trained and validated on."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy

from ..problems import TrainerFailure
from .origin import Origin, open_origin
from .plan import DataPlan, read_plan
from .rows import Rows, Scan
from .sample import draw, mix, repeat, set_aside

if TYPE_CHECKING:
    import datasets


@dataclass
class SourceReport:
    """What a source holds: its records before filters and sampling, its bytes, and the SHA-256 of its content in hex, as the coordinator tells it."""

    path: str
    records: int
    bytes: int
    sha256: str


@dataclass
class LoadedData:
    """The columns are those of trl's trainer: text | prompt, completion | messages | [prompt,] chosen, rejected | prompt and whatever the reward asks for.

    `training` is one epoch; `validation` None: nothing is set aside. No content is in both. `remarks` are for the log.
    """

    training: datasets.Dataset
    validation: datasets.Dataset | None
    sources: list[SourceReport]
    remarks: list[str]


def load_data(job: dict) -> LoadedData:
    """Reads every source of a parsed `job.json`, the same for the same seed. Raises TrainerFailure naming file and line, or the field.

    Rows are read twice, to learn their types and to write those that are drawn; none are held. They lie in a temporary folder as long as the process runs.
    """
    plan = read_plan(job)
    origins = [open_origin(source, plan) for source in plan.sources]
    rows = Rows(plan)
    scans = [rows.scan(source, origin) for source, origin in zip(plan.sources, origins, strict=True)]
    drawn = [draw(len(scan.digests), source.sampling, plan.seed, source.index) for source, scan in zip(plan.sources, scans, strict=True)]
    aside = set_aside([scan.digests[part] for scan, part in zip(scans, drawn, strict=True)], plan.validation_split, plan.seed)
    training, validation = _arrange(plan, origins, aside)
    written = _write(plan, origins, rows, drawn)
    reports = [
        SourceReport(source.path, scan.records, *origin.content())
        for source, origin, scan in zip(plan.sources, origins, scans, strict=True)
    ]
    return LoadedData(
        training=written.select(training),
        validation=written.select(validation) if len(validation) else None,
        sources=reports,
        remarks=[*_remarks(origins, scans, drawn), *_totals(training, validation)],
    )


def _arrange(plan: DataPlan, origins: list[Origin], aside: list[numpy.ndarray]) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Rows of all sources, one after the other, for training and for validation."""
    starts = numpy.cumsum([0, *(len(part) for part in aside)])
    validation = numpy.concatenate([start + numpy.flatnonzero(part) for start, part in zip(starts, aside, strict=False)])
    kept = [start + numpy.flatnonzero(~part) for start, part in zip(starts, aside, strict=False)]
    if sum(map(len, kept)) == 0:
        message = f"validation_split {plan.validation_split} of {starts[-1]} records leaves none to train on."
        raise TrainerFailure("DATA", message, field="data_config.validation_split")
    weights = [source.sampling.weight for source in plan.sources]
    if None not in weights:
        for source, origin, part in zip(plan.sources, origins, kept, strict=True):
            if len(part) == 0:
                message = f"{origin.name} has no records left to weigh: all are set aside for validation."
                raise TrainerFailure("DATA", message, field=source.at("sampling.weight"))
        kept = [part[again] for part, again in zip(kept, repeat([len(part) for part in kept], weights, plan.seed), strict=True)]
    training = numpy.concatenate(kept)
    return (training[mix(len(training), plan.seed)] if len(kept) > 1 else training), validation


def _write(plan: DataPlan, origins: list[Origin], rows: Rows, drawn: list[numpy.ndarray]) -> datasets.Dataset:
    import datasets
    from datasets.arrow_writer import ArrowWriter

    folder = Path(tempfile.mkdtemp(prefix="scaimind-data-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    features = rows.columns.features()
    with ArrowWriter(features=features, path=str(folder / "rows.arrow")) as writer:
        for source, origin, part in zip(plan.sources, origins, drawn, strict=True):
            wanted = iter(part)
            next_wanted = next(wanted, None)
            for number, row in enumerate(rows.read(source, origin)):
                if number != next_wanted:
                    continue
                writer.write(features.encode_example(row))
                next_wanted = next(wanted, None)
                if next_wanted is None:
                    break
            if next_wanted is not None:
                raise TrainerFailure("DATA", f"{origin.name} has changed while it was read.", field=source.at("path"))
        writer.finalize()
    return datasets.Dataset.from_file(str(folder / "rows.arrow"))


def _remarks(origins: list[Origin], scans: list[Scan], drawn: list[numpy.ndarray]) -> list[str]:
    remarks = []
    for origin, scan, part in zip(origins, scans, drawn, strict=True):
        told = [f"{scan.records} records"]
        if scan.filtered:
            told.append(f"{scan.filtered} left out by filters")
        if scan.bad:
            told.append(f"{scan.bad} skipped as bad ({'; '.join(scan.named)})")
        if len(part) < len(scan.digests):
            told.append(f"{len(part)} drawn")
        remarks.append(f"{origin.name}: {', '.join(told)}")
    return remarks


def _totals(training: numpy.ndarray, validation: numpy.ndarray) -> list[str]:
    return [f"Training on {len(training)} records; {len(validation)} are set aside for validation."]
