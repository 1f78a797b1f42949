"""What an evaluation asks for, read strictly from `job.json`."""

from __future__ import annotations

from dataclasses import dataclass

from ..parsing import Kind, Problem, boolean, integer, one_of, read_map
from ..problems import TrainerFailure

# The names, parameters and scores that the embedded trainer has too mean the same here.
METRICS = ("perplexity", "exact_match", "contains", "multiple_choice")

BATCH_SIZE = integer(1, 4096)
AUTO_BATCH_SIZE = Kind(lambda text: text if text == "auto" else BATCH_SIZE.read(text), f"{BATCH_SIZE.text}, or auto")

RECORDS_PARAMETERS = {"metric": one_of(*METRICS), "batch_size": BATCH_SIZE}
ANSWER_PARAMETERS = {**RECORDS_PARAMETERS, "max_tokens": integer(1, 4096), "ignore_case": boolean()}
HARNESS_PARAMETERS = {
    "num_fewshot": integer(0, 1000),
    "batch_size": AUTO_BATCH_SIZE,
    "seed": integer(0, (1 << 32) - 1),
    "apply_chat_template": boolean(),
}


@dataclass(frozen=True)
class Benchmark:
    """One benchmark to run. With a `metric` it is on the records of `path`, else a `task` of the harness."""

    index: int
    name: str
    # As it was asked for.
    dataset: str
    # At most so many records, from the first; 0: all. Of a group of tasks: of each task.
    num_samples: int
    parameters: dict
    metric: str = ""
    path: str = ""
    task: str = ""

    def at(self, name: str) -> str:
        """The path of one of its fields in the submission."""
        return f"benchmarks[{self.index}].{name}"


def read_benchmarks(given: list[dict]) -> list[Benchmark]:
    """Reads benchmarks with their names and parameters; whether the harness has a task is seen later. Looks at no file. Raises TrainerFailure."""
    if not given:
        raise TrainerFailure("CODE", "Name at least one benchmark.", field="benchmarks")
    return [_read(index, one) for index, one in enumerate(given)]


def _read(index: int, given: dict) -> Benchmark:
    name, dataset, path = (given.get(field) or "" for field in ("name", "dataset", "path"))
    parameters = given.get("parameters") or {}
    at = f"benchmarks[{index}]"
    on_records = path.startswith("/")
    metric = _metric_of(name, parameters, at) if on_records else ""
    if not on_records and name in METRICS:
        raise TrainerFailure("CODE", f"{name} is measured on records: name a file, or an uploaded data set.", field=f"{at}.dataset")
    kinds = _kinds_of(metric)
    problems: list[Problem] = []
    values = read_map(f"{at}.parameters", parameters, kinds, problems)
    if problems:
        raise TrainerFailure("CODE", problems[0].message, field=problems[0].path)
    values.pop("metric", None)
    return Benchmark(
        index=index,
        name=name,
        dataset=dataset,
        num_samples=int(given.get("num_samples") or 0),
        parameters=values,
        metric=metric,
        path=path if on_records else "",
        task="" if on_records else dataset or name,
    )


def _metric_of(name: str, parameters: dict, at: str) -> str:
    metric = parameters.get("metric", name)
    if metric not in METRICS:
        field = f"{at}.parameters.metric" if "metric" in parameters else f"{at}.name"
        message = f"Benchmarks on records are {', '.join(METRICS)}, not {metric!r}: give one of them as the name, or as the parameter metric."
        raise TrainerFailure("CODE", message, field=field)
    if name in METRICS and name != metric:
        raise TrainerFailure("CODE", f"The benchmark is named {name}, and its metric is {metric}.", field=f"{at}.parameters.metric")
    return metric


def _kinds_of(metric: str) -> dict[str, Kind]:
    if metric == "":
        return HARNESS_PARAMETERS
    return ANSWER_PARAMETERS if metric in ("exact_match", "contains") else RECORDS_PARAMETERS
