"""What is wrong with a job before it runs: its data, read as training reads them, and what its model's folder tells. No heavy package is imported."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .data.bad import UnusableRecords
from .data.load import choose
from .data.origin import Origin, open_origin
from .data.plan import DataPlan, SourcePlan, read_plan
from .data.rows import Rows, Scan
from .data.sample import draw
from .parsing import Problem, object_at
from .problems import TrainerFailure

# A rough mean over languages and tokenizers.
CHARACTERS_A_TOKEN = 4


@dataclass
class Found:
    """What reading a source found; `is_usable` False: a problem told why."""

    source: SourcePlan
    origin: Origin
    scan: Scan
    is_usable: bool


def check_data(job: dict[str, Any]) -> dict[str, Any]:
    """
    The problems by field; of each source that was read the records that are drawn and about how many tokens they
    have; no steps, which depend on tokens. Sources without a path are left out, and those on a hub, which the job itself fetches.
    """
    if object_at(job, "training_config.framework").get("type") == "MEGATRON":
        # Its data are files of its own.
        return {"problems": [], "data": [], "total_steps": None}
    problems = _model_problems(job)
    data: list[dict[str, int]] = []
    try:
        plan = _plan_of_all(job)
    except TrainerFailure as failure:
        problems.append(_problem(failure))
    else:
        paths = [source.get("path") for source in object_at(job, "data_config")["sources"]]
        here = [source for source in plan.sources if paths[source.index] and not source.is_hub]
        rows = Rows(plan)
        found = _survey(rows, here, problems)
        data = [_counted(plan, one) for one in found]
        if found and len(found) == len(plan.sources) and all(one.is_usable for one in found):
            try:
                rows.check_mapping()
                choose(plan, [one.origin for one in found], [one.scan for one in found])
            except TrainerFailure as failure:
                problems.append(_problem(failure))
    return {"problems": [problem._asdict() for problem in problems], "data": data, "total_steps": None}


def _plan_of_all(job: dict[str, Any]) -> DataPlan:
    """The plan with a stand-in for paths that are not to be read."""
    config = object_at(job, "data_config")
    sources = [{**source, "path": source.get("path") or "-"} for source in config.get("sources") or []]
    return read_plan({**job, "data_config": {**config, "sources": sources}})


def _survey(rows: Rows, sources: list[SourcePlan], problems: list[Problem]) -> list[Found]:
    found: list[Found] = []
    for source in sources:
        scan = None
        try:
            origin = open_origin(source, rows.plan)
            scan = rows.survey(source, origin)
            rows.judge(source, origin, scan)
            found.append(Found(source, origin, scan, is_usable=True))
        except TrainerFailure as failure:
            problems += _problems_of(failure, source, scan)
            if scan is not None:
                found.append(Found(source, origin, scan, is_usable=False))
    return found


def _problems_of(failure: TrainerFailure, source: SourcePlan, scan: Scan | None) -> list[Problem]:
    """Bad records kind by kind, then how many there are."""
    if scan is None or not isinstance(failure, UnusableRecords):
        return [_problem(failure)]
    at = source.at("path")
    many = f"{scan.bad.count} of {scan.records} records cannot be used."
    return [Problem(at, f"{kind}.") for kind in scan.bad.kinds()] + [Problem(at, f"{many} {failure.hint}" if failure.hint else many)]


def _problem(failure: TrainerFailure) -> Problem:
    return Problem(failure.field or "data_config.sources", failure.message)


def _counted(plan: DataPlan, found: Found) -> dict[str, int]:
    usable = len(found.scan.digests)
    records = len(draw(usable, found.source.sampling, plan.seed, found.source.index)) if usable else 0
    characters = found.scan.characters * records / max(1, usable)
    return {"source": found.source.index, "records": records, "tokens": round(characters / CHARACTERS_A_TOKEN)}


def _model_problems(job: dict[str, Any]) -> list[Problem]:
    """Rows that are longer than the positions of a model in a folder; what its configuration leaves out is not judged."""
    length = int(object_at(job, "data_config").get("max_seq_length") or 0)
    folder = object_at(job, "training_config.base_model").get("model_id") or ""
    if not length or not folder.startswith("/"):
        return []
    try:
        config = json.loads((Path(folder) / "config.json").read_text())
    except (OSError, ValueError):
        # The folder of an adapter has none; one that is broken, the job tells.
        return []
    of_text = object_at({"config": config}, "config.text_config") or object_at({"config": config}, "config")
    positions = of_text.get("max_position_embeddings") or of_text.get("n_positions")
    if not isinstance(positions, int) or length <= positions:
        return []
    return [Problem("data_config.max_seq_length", f"The model has {positions} positions, not {length}.")]
