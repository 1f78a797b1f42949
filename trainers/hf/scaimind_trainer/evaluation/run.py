"""An evaluation from its benchmarks to their results."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ..requests import Stopped
from .benchmarks import Benchmark, read_benchmarks
from .model import open_model
from .progress import Progress
from .records import read_questions

DEFAULT_BATCH_SIZE = 8


def run_evaluation(job: dict, journal, requests) -> None:
    """Runs the benchmarks of `job["evaluation"]` one after the other and tells each one's result as it is done.

    What can be wrong with names, parameters and data is found before the model is loaded. Of several ranks only the first has anything to do.
    Raises Stopped on request, TrainerFailure for what can be expected to go wrong.
    """
    if int(os.environ.get("RANK") or 0) != 0:
        return
    evaluation = job["evaluation"]
    benchmarks = read_benchmarks(evaluation.get("benchmarks") or [])
    data = _load(benchmarks)
    if requests.stop:
        raise Stopped
    model, tokenizer = open_model(evaluation, (job.get("training_config") or {}).get("base_model") or {})
    journal.event({"type": "phase", "phase": "EVALUATING"})
    progress = Progress(journal, sum(records for _, records in data))
    with _stopping(model, requests):
        for benchmark, (loaded, records) in zip(benchmarks, data, strict=True):
            result = _measure(benchmark, loaded, records, (model, tokenizer), progress)
            journal.event({"type": "benchmark", "index": benchmark.index, "result": result})
            # Of a group, the scores of the whole; a tag has none.
            if values := {name: score for name, score in result["scores"].items() if "." not in name}:
                journal.metrics(benchmark.index + 1, 0, values)
            told = ", ".join(f"{name} {score:.4f}" for name, score in list(result["scores"].items())[:10])
            journal.log(f"{benchmark.name}: {told} ({result['num_samples']} records)")
            progress.finish(records)


def _load(benchmarks: list[Benchmark]) -> list[tuple[object, int]]:
    """The questions of a benchmark, or the tasks of the harness, with the number of records that are measured."""
    # Both packages take seconds to import, and the harness's list of tasks takes seconds to read.
    manager = None
    data: list[tuple[object, int]] = []
    for benchmark in benchmarks:
        if benchmark.metric:
            questions = read_questions(benchmark)
            data.append((questions, len(questions)))
            continue
        from . import harness

        manager = manager or harness.open_tasks()
        task = harness.load_task(benchmark, manager)
        data.append((task, task.records))
    return data


def _measure(benchmark: Benchmark, loaded, records: int, opened: tuple, progress: Progress) -> dict:
    model, tokenizer = opened
    if not benchmark.metric:
        from . import harness

        return harness.measure_task(loaded, model, tokenizer, progress.tell)
    from .measures import measure
    from .scoring import Scorer

    batch_size = benchmark.parameters.get("batch_size", DEFAULT_BATCH_SIZE)
    return measure(benchmark, loaded, Scorer(model, tokenizer, batch_size, progress.rows(records)))


@contextmanager
def _stopping(model, requests) -> Iterator[None]:
    """Leaves with Stopped at the next token that is read or written once a stop is asked for."""

    def look(*_) -> None:
        if requests.stop:
            raise Stopped

    # Every way through a model, an adapter's too, begins with its embeddings.
    hook = model.get_input_embeddings().register_forward_pre_hook(look)
    try:
        yield
    finally:
        hook.remove()
