"""Evaluations of a tiny model made here, and what they tell."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ["HF_HUB_OFFLINE"] = "1"

import pytest

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

from make_tiny import make_tiny  # noqa: E402


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a randomly initialised Llama of 2 layers, with a byte-level tokenizer and a chat template."""
    return make_tiny(tmp_path_factory.mktemp("tiny") / "llama")


class Journal:
    """Keeps what is told."""

    def __init__(self):
        self.events: list[dict] = []
        self.told: list[tuple[int, dict]] = []
        self.lines: list[str] = []

    def event(self, event: dict) -> None:
        json.dumps(event, allow_nan=False)
        self.events.append(event)

    def metrics(self, step: int, epoch: float, values: dict) -> None:
        self.told.append((step, values))

    def log(self, line: str) -> None:
        self.lines.append(line)

    def results(self) -> list[dict]:
        """The results of the benchmarks, in order."""
        return [event["result"] for event in self.events if event["type"] == "benchmark"]


class Requests:
    """Asks to stop after so many events; None: never."""

    def __init__(self, journal: Journal, after: int | None = None):
        self._journal = journal
        self._after = after

    @property
    def stop(self) -> bool:
        """Whether to stop now."""
        return self._after is not None and len(self._journal.events) >= self._after


class Evaluation:
    """Runs benchmarks on a model, the tiny one by default."""

    def __init__(self, folder: Path, model: Path):
        self.folder = folder
        self.model = str(model)
        self.base = ""
        self.journal = Journal()

    def write(self, name: str, records) -> str:
        """Writes records as jsonl, or text; answers the path."""
        path = self.folder / name
        path.write_text(records if isinstance(records, str) else "".join(json.dumps(record) + "\n" for record in records))
        return str(path)

    def run(self, *benchmarks: dict, stop_after: int | None = None) -> list[dict]:
        """The results of benchmarks: each the fields of one, its data as `path`."""
        from scaimind_trainer.evaluation import run_evaluation

        given = [{"name": "", "dataset": one.get("path", ""), "path": "", "num_samples": 0, "parameters": {}, **one} for one in benchmarks]
        job = {"training_config": {"base_model": {}}, "evaluation": {"model": self.model, "base": self.base, "benchmarks": given}}
        run_evaluation(job, self.journal, Requests(self.journal, stop_after))
        return self.journal.results()

    def refusal(self, *benchmarks: dict):
        """The failure that it ends in."""
        from scaimind_trainer.problems import TrainerFailure

        with pytest.raises(TrainerFailure) as caught:
            self.run(*benchmarks)
        return caught.value


@pytest.fixture
def evaluation(tmp_path: Path, tiny_llama: Path) -> Evaluation:
    """An evaluation of the tiny model."""
    return Evaluation(tmp_path, tiny_llama)
