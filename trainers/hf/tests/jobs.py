"""A job's folder as the coordinator makes it, and attempts that run in it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

TEXTS = [{"text": f"the quick brown fox number {number} jumps over the lazy dog"} for number in range(16)]


class JobFolder:
    """`spec` is what the next attempt's `job.json` says."""

    def __init__(self, folder: Path, model: Path):
        self.folder = folder
        self.attempts = 0
        self.data = folder / "train.jsonl"
        folder.mkdir(parents=True)
        self.write_data(TEXTS)
        self.spec: dict[str, Any] = {
            "version": 1,
            "job_id": "job-1",
            "tenant_id": "tenant-1",
            "token": "token",
            "name": "a tiny job",
            "training_config": {
                "training_type": "LORA",
                "base_model": {"model_id": str(model), "model_kwargs": {}},
                "framework": {"type": "HF_TRAINER", "config": {}, "distributed": None, "custom_script_path": ""},
                "hyperparameters": {"max_steps": "20", "learning_rate": "0.01", "lora_r": "8"},
            },
            "data_config": {
                "sources": [{"path": str(self.data), "format": "", "type": ""}],
                "preprocess": None,
                "max_seq_length": 0,
                "batch_size": 4,
                "gradient_accumulation_steps": 1,
                "num_workers": 0,
                "pin_memory": False,
                "validation_split": 0,
                "seed": "42",
            },
            "resource_config": {"gpu_count": 0},
            "output_config": {"save_strategy": "NONE", "save_steps": 0, "save_total_limit": 0, "merge_adapter": False, "export_format": ""},
            "resume_from": None,
        }

    def write_data(self, records: list[dict[str, Any]]) -> None:
        """Writes the records that are trained on."""
        self.data.write_text("".join(json.dumps(record) + "\n" for record in records))

    @property
    def training(self) -> dict[str, Any]:
        """The spec's `training_config`."""
        return self.spec["training_config"]

    def set(self, **hyperparameters: Any) -> None:
        """Sets hyperparameters; None leaves one out."""
        for name, value in hyperparameters.items():
            self.training["hyperparameters"].pop(name, None)
            if value is not None:
                self.training["hyperparameters"][name] = str(value)

    def new_attempt(self) -> Attempt:
        """The folder of a next attempt, with its `job.json` and its fence."""
        self.attempts += 1
        directory = self.folder / "attempts" / str(self.attempts)
        directory.mkdir(parents=True)
        fence = self.folder / "fence"
        fence.mkdir(exist_ok=True)
        (fence / str(self.attempts)).write_text("token")
        (directory / "job.json").write_text(json.dumps({**copy.deepcopy(self.spec), "attempt": self.attempts}))
        return Attempt(directory)


class Attempt:
    """What an attempt left in its folder."""

    def __init__(self, directory: Path):
        self.directory = directory

    def run(self) -> int:
        """Runs it in this process; answers the exit code."""
        from scaimind_trainer.run import run_attempt

        return run_attempt(self.directory)

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """What it told, or of that only one type."""
        return [event for event in self._lines("events.jsonl") if kind in (None, event["type"])]

    def phases(self) -> list[str]:
        """The phases that it told, in order."""
        return [event["phase"] for event in self.events("phase")]

    def losses(self) -> dict[int, float]:
        """Training loss by step."""
        return {line["step"]: line["values"]["loss"] for line in self._lines("metrics.jsonl") if "loss" in line["values"]}

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl."""
        return self._lines("metrics.jsonl")

    @property
    def failure(self) -> dict[str, Any]:
        """The failure that it told."""
        (failure,) = self.events("failure")
        return failure

    @property
    def output(self) -> Path:
        """Its output."""
        return self.directory / "output"

    def checkpoint(self, step: int) -> Path:
        """The checkpoint of a step."""
        return self.directory / "checkpoints" / f"step-{step}"

    def _lines(self, name: str) -> list[dict[str, Any]]:
        path = self.directory / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
