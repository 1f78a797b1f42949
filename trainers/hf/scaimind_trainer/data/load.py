"""All sources of a job, as the data sets that are trained and validated on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy

from ..problems import TrainerFailure
from .origin import Origin, open_origin
from .plan import DataPlan, read_plan
from .rows import Rows, Scan
from .sample import draw, mix, repeat, set_aside
from .scratch import make_scratch
from .share import once_a_machine
from .size import characters_of

# Only what is trained on is written as Arrow: whoever checks data need not wait for the package.
if TYPE_CHECKING:
    import datasets

# The writer counts rows only, and some are whole books.
HELD_CHARACTERS_MAX = 8 << 20

ROWS, TRAINING, VALIDATION = "rows.arrow", "training.npy", "validation.npy"


@dataclass
class SourceReport:
    """What a source holds: its records before filters and sampling, its bytes, and the SHA-256 of its content in hex, as the coordinator has it."""

    path: str
    records: int
    bytes: int
    sha256: str


@dataclass
class LoadedData:
    """
    The columns are those of trl's trainer: text | prompt, completion | messages | [prompt,] chosen, rejected | prompt and whatever the
    reward asks for. `training` is one epoch; `validation` None: nothing is set aside. No content is in both. `remarks` are for the log.
    """

    training: datasets.Dataset
    validation: datasets.Dataset | None
    sources: list[SourceReport]
    remarks: list[str]


def load_data(job: dict) -> LoadedData:
    """Reads every source of a parsed `job.json`, the same for the same seed. Raises TrainerFailure naming file and line, or the field.

    Rows are read twice, to learn their types and to write those that are drawn; none are held.
    They lie in a temporary folder as long as the process runs, one for all processes of a machine.
    """
    import datasets

    plan = read_plan(job)
    made = once_a_machine(lambda: _prepare(plan))
    folder = Path(made["folder"])
    rows = datasets.Dataset.from_file(str(folder / ROWS))
    training, validation = (numpy.load(folder / name) for name in (TRAINING, VALIDATION))
    return LoadedData(
        training=rows.select(training),
        validation=rows.select(validation) if len(validation) else None,
        sources=[SourceReport(**source) for source in made["sources"]],
        remarks=made["remarks"],
    )


def _prepare(plan: DataPlan) -> dict:
    """Writes the rows, and which of them are for what, into a folder. Answers its path, and what is to be told of the sources."""
    origins = [open_origin(source, plan) for source in plan.sources]
    rows = Rows(plan)
    scans = [rows.scan(source, origin) for source, origin in zip(plan.sources, origins, strict=True)]
    rows.check_mapping()
    drawn, training, validation = choose(plan, origins, scans)
    folder = make_scratch()
    _write(folder / ROWS, plan, origins, rows, drawn)
    numpy.save(folder / TRAINING, training)
    numpy.save(folder / VALIDATION, validation)
    reports = [
        SourceReport(source.path, scan.records, *origin.content())
        for source, origin, scan in zip(plan.sources, origins, scans, strict=True)
    ]
    return {
        "folder": str(folder),
        "sources": [asdict(report) for report in reports],
        "remarks": _remarks(origins, scans, drawn),
    }


def choose(plan: DataPlan, origins: list[Origin], scans: list[Scan]) -> tuple[list[numpy.ndarray], numpy.ndarray, numpy.ndarray]:
    """Which rows of each source are drawn, and which of all that are drawn are for training and for validation. Raises TrainerFailure where none are left."""
    drawn = [draw(len(scan.digests), source.sampling, plan.seed, source.index) for source, scan in zip(plan.sources, scans, strict=True)]
    aside = set_aside([scan.digests[part] for scan, part in zip(scans, drawn, strict=True)], plan.validation_split, plan.seed)
    return drawn, *_arrange(plan, origins, aside)


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


def _write(path: Path, plan: DataPlan, origins: list[Origin], rows: Rows, drawn: list[numpy.ndarray]) -> None:
    """All rows that are drawn, one source after the other."""
    from datasets.arrow_writer import ArrowWriter

    features = rows.columns.features()
    held = 0
    with ArrowWriter(features=features, path=str(path)) as writer:
        for source, origin, part in zip(plan.sources, origins, drawn, strict=True):
            wanted = iter(part)
            next_wanted = next(wanted, None)
            for number, row in enumerate(rows.read(source, origin)):
                if number != next_wanted:
                    continue
                writer.write(features.encode_example(row))
                held += characters_of(row)
                if held > HELD_CHARACTERS_MAX:
                    writer.write_examples_on_file()
                    held = 0
                next_wanted = next(wanted, None)
                if next_wanted is None:
                    break
            if next_wanted is not None:
                raise TrainerFailure("DATA", f"{origin.name} has changed while it was read.", field=source.at("path"))
        writer.finalize()


def _remarks(origins: list[Origin], scans: list[Scan], drawn: list[numpy.ndarray]) -> list[str]:
    """Of each source that does not come whole."""
    remarks = []
    for origin, scan, part in zip(origins, scans, drawn, strict=True):
        told = []
        if scan.filtered:
            told.append(f"{scan.filtered} left out by filters")
        if scan.bad.count:
            told.append(f"{scan.bad.count} skipped as bad ({scan.bad.told()})")
        if len(part) < len(scan.digests):
            told.append(f"{len(part)} drawn")
        if told:
            remarks.append(f"{origin.name}: of {scan.records} records {', '.join(told)}.")
    return remarks
