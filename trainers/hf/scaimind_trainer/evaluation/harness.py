"""The named benchmarks of lm-evaluation-harness."""

from __future__ import annotations

import difflib
import hashlib
import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, zip_longest

from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from ..hub import hub_failure
from ..problems import TrainerFailure
from .benchmarks import Benchmark
from .samples import Sample, kept
from .statistics import mean_of, ratio_of

DEFAULT_BATCH_SIZE = 8
DEFAULT_SEED = 1234
# Only for scores that are no means, whose errors have no formula.
BOOTSTRAP_ITERATIONS = 1000
ROLLING_REQUESTS = 64
NEAR_MISSES = 5


def open_tasks() -> TaskManager:
    """Looks through the harness's tasks; takes seconds."""
    return TaskManager()


@dataclass
class LoadedTask:
    """A task or group of tasks with its data: `roots` is what the harness is given, `tasks` all that is measured, by name."""

    benchmark: Benchmark
    roots: list
    tasks: dict
    # Records that are measured, of all tasks.
    records: int
    manager: TaskManager


def load_task(benchmark: Benchmark, manager: TaskManager) -> LoadedTask:
    """Finds a task by name and fetches its data. Raises TrainerFailure, with names that are close where there is no such task."""
    name = benchmark.task
    field = benchmark.at("dataset" if benchmark.dataset else "name")
    if name not in manager.task_index:
        close = difflib.get_close_matches(name, manager.all_tasks, n=NEAR_MISSES, cutoff=0.6)
        hint = f"Did you mean {', '.join(close)}?" if close else "Benchmarks of your own are measured on a file, with the parameter metric."
        raise TrainerFailure("CODE", f"lm-evaluation-harness has no task {name!r}. {hint}", field=field)
    try:
        loaded = manager.load([name])
    except ImportError as error:
        raise TrainerFailure("CODE", f"{name} needs a package that is not installed: {error}.", field=field) from error
    except Exception as error:
        raise _load_failure(name, manager, error, field) from error
    tasks = loaded["tasks"]
    for one, task in tasks.items():
        if getattr(task, "UNSAFE_CODE", False):
            raise TrainerFailure("CODE", f"{one} runs code that the model writes, which is not done here.", field=field)
        if getattr(task, "MULTIMODAL", False):
            raise TrainerFailure("CODE", f"{one} shows the model more than text, which is not done here.", field=field)
    if benchmark.parameters.get("num_fewshot") and all(task.get_config("num_fewshot") == 0 for task in tasks.values()):
        # The harness would go on without a word.
        raise TrainerFailure("CODE", f"{name} is always asked without examples.", field=benchmark.at("parameters.num_fewshot"))
    groups = loaded.get("groups") or {}
    limit = benchmark.num_samples or math.inf
    records = sum(min(limit, len(task.eval_docs)) for task in tasks.values())
    return LoadedTask(benchmark, [groups[name]] if name in groups else list(tasks.values()), tasks, int(records), manager)


def measure_task(loaded: LoadedTask, model, tokenizer, told: Callable[[float, int], None]) -> dict:
    """
    The result of a task, as a `benchmark` event tells it. `told` is called with the records that are done, of all, and the tokens of
    each batch. Raises TrainerFailure.
    """
    benchmark = loaded.benchmark
    parameters = benchmark.parameters
    seed = parameters.get("seed", DEFAULT_SEED)
    batch_size = parameters.get("batch_size", DEFAULT_BATCH_SIZE)
    reader = _Reader(pretrained=model, tokenizer=tokenizer, batch_size=batch_size)
    reader.told = lambda share, tokens: told(share * loaded.records, tokens)
    try:
        with _in_one_process():
            results = simple_evaluate(
                model=reader,
                tasks=loaded.roots,
                task_manager=loaded.manager,
                num_fewshot=parameters.get("num_fewshot"),
                limit=benchmark.num_samples or None,
                apply_chat_template=parameters.get("apply_chat_template", False),
                bootstrap_iters=BOOTSTRAP_ITERATIONS,
                random_seed=seed,
                numpy_random_seed=seed,
                torch_random_seed=seed,
                fewshot_random_seed=seed,
            )
    except (AssertionError, ValueError, KeyError) as error:
        # How the harness refuses what a task cannot do: too many few-shot examples, no chat template, no room for an answer.
        message = " ".join(str(error).split())[:600].rstrip(".")
        raise TrainerFailure("CODE", f"{benchmark.task} cannot be run so: {message}.", field=benchmark.at("parameters")) from error
    return to_result(benchmark, results)


def to_result(benchmark: Benchmark, results: dict) -> dict:
    """
    The harness's results in our words: `acc`, `exact_match_strict_match` for an answer taken out by a filter; of a task in a group
    `task.acc`. Raises TrainerFailure where no score is a finite number.
    """
    scores: dict[str, float] = {}
    errors: dict[str, float] = {}
    samples = {name: _first_filter(found) for name, found in results["samples"].items()}
    for task, found in results["results"].items():
        prefix = "" if task == benchmark.task else f"{task}."
        for key, value in found.items():
            metric, comma, filter_name = key.partition(",")
            if not comma or metric.endswith("_stderr") or not _is_number(value):
                continue
            name = prefix + (metric if filter_name == "none" else f"{metric}_{filter_name}".replace("-", "_"))
            scores[name] = float(value)
            error = found.get(f"{metric}_stderr,{filter_name}")
            if _is_number(error):
                errors[name] = float(error)
            elif (own := _error_of(results["samples"].get(task, []), metric, filter_name, value)) is not None:
                errors[name] = own
    if not scores:
        raise TrainerFailure("NAN_LOSS", f"The model gives no finite score on {benchmark.task}.", field="model_uri")
    return {
        "name": benchmark.name,
        "dataset": benchmark.dataset,
        "num_samples": sum(count["effective"] for count in results["n-samples"].values()),
        "content_hash": _content_hash(samples),
        "scores": scores,
        "standard_errors": errors,
        "samples": kept(_samples(samples.values())),
    }


class _Reader(HFLM):
    """Tells what share of the requests that it knows of is done."""

    told: Callable[[float, int], None]

    def __init__(self, **options):
        super().__init__(**options)
        self._asked = 0
        self._done = 0.0
        self._is_rolling = False

    def loglikelihood_rolling(self, requests, disable_tqdm=False):
        # How many stretches the texts have is not known before all are read, so they are counted as texts.
        self._asked += len(requests)
        self._is_rolling = True
        answers = []
        for start in range(0, len(requests), ROLLING_REQUESTS):
            part = requests[start : start + ROLLING_REQUESTS]
            answers += super().loglikelihood_rolling(part, disable_tqdm=True)
            self._tell(len(part), 0)
        self._is_rolling = False
        return answers

    def generate_until(self, requests, disable_tqdm=False):
        self._asked += len(requests)
        return super().generate_until(requests, disable_tqdm=True)

    def _loglikelihood_tokens(self, requests, disable_tqdm=False, override_bs=None):
        if not self._is_rolling:
            self._asked += len(requests)
        return super()._loglikelihood_tokens(requests, disable_tqdm=True, override_bs=override_bs)

    def _model_call(self, inps, *args, **options):
        logits = super()._model_call(inps, *args, **options)
        self._tell(0 if self._is_rolling else inps.shape[0], inps.numel())
        return logits

    def _model_generate(self, context, max_length, stop, **options):
        made = super()._model_generate(context, max_length, stop, **options)
        self._tell(context.shape[0], made.numel())
        return made

    def _tell(self, requests: int, tokens: int) -> None:
        self._done += requests
        # Trial batches that look for a size are read before anything is asked.
        self.told(min(1.0, self._done / self._asked) if self._asked else 0.0, tokens)


@contextmanager
def _in_one_process() -> Iterator[None]:
    """A fork of this process would hold the model and its signal handlers too."""
    before = os.environ.get("DISABLE_MULTIPROC")
    os.environ["DISABLE_MULTIPROC"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["DISABLE_MULTIPROC"]
        else:
            os.environ["DISABLE_MULTIPROC"] = before


def _load_failure(name: str, manager: TaskManager, error: Exception, field: str) -> TrainerFailure:
    is_of_hub = isinstance(error, OSError) or type(error).__module__.split(".")[0] in ("datasets", "huggingface_hub", "requests", "httpx")
    if not is_of_hub:
        message = " ".join(str(error).split())[:600].rstrip(".")
        return TrainerFailure("CODE", f"{name} cannot be set up: {type(error).__name__}: {message}.", field=field)
    path = (manager.task_index[name].cfg or {}).get("dataset_path")
    return hub_failure(f"The data of {name}" + (f" ({path})" if path else ""), error, field)


def _first_filter(samples: list[dict]) -> list[dict]:
    """Each record once, in order: there is a sample a filter."""
    first = samples[0]["filter"] if samples else ""
    return sorted((sample for sample in samples if sample["filter"] == first), key=lambda sample: sample["doc_id"])


def _content_hash(samples: dict[str, list[dict]]) -> str:
    digest = hashlib.sha256()
    for name, found in sorted(samples.items()):
        for sample in found:
            digest.update(f"{name} {sample['doc_hash']}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def _error_of(samples: list[dict], metric: str, filter_name: str, score: float) -> float | None:
    """The standard error of a mean, or of what is made of log-likelihoods and what they are shared out to: words, bytes."""
    values = [sample.get(metric) for sample in samples if sample["filter"] == filter_name]
    if not values:
        return None
    if all(map(_is_number, values)):
        mean, error = mean_of(values)
        return error if math.isclose(mean, score) else None
    if not all(isinstance(value, tuple) and len(value) == 2 and all(map(_is_number, value)) for value in values):
        return None
    ratio, error = ratio_of(values)
    if math.isclose(math.exp(min(-ratio, 700.0)), score):
        # The error of an exponential, to first order.
        return score * error
    return error / math.log(2) if math.isclose(-ratio / math.log(2), score) else None


def _samples(tasks: Iterable[list[dict]]) -> Iterator[Sample]:
    """Of every task by turns."""
    return (_sample(one) for one in chain.from_iterable(zip_longest(*tasks)) if one is not None)


def _sample(sample: dict) -> Sample:
    arguments, responses = sample["arguments"], [response[0] for response in sample["resps"]]
    prompt, target = str(arguments[0][0]), sample["target"]
    answer = ""
    if isinstance(responses[0], str):
        answer = str(sample["filtered_resps"][0])
    elif len(arguments) > 1:
        # A choice is the likeliest continuation.
        likeliest = max(range(len(responses)), key=lambda index: responses[index][0])
        answer = str(arguments[likeliest][1])
        if isinstance(target, int) and 0 <= target < len(arguments):
            target = arguments[target][1]
    score = next((float(sample[metric]) for metric in sample["metrics"] if _is_number(sample[metric])), 0.0)
    return Sample(prompt, str(target), answer, score)


def _is_number(value) -> bool:
    try:
        return not isinstance(value, (str, tuple, list)) and math.isfinite(value)
    except TypeError:
        return False
