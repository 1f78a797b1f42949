"""The checkpoints of an attempt: HuggingFace folders that are complete by their manifest."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .durable import describe_files, publish_folder
from .problems import TrainerFailure

if TYPE_CHECKING:
    from .training.attempt import Attempt

MANIFEST = "manifest.json"
STATE = "scaimind.json"
"""Beside the Trainer's files: what the checkpoint is one of, and what was measured before training."""

# The Trainer's own arguments, pickled: nobody reads them, and they name folders of the attempt that made them.
LEFT_OUT = ("training_args.bin", "README.md")


class CheckpointKeeper:
    """Saves at most once a step, and deletes the oldest beyond the limit. Only of its own attempt: what it goes on from belongs to another."""

    def __init__(self, attempt: Attempt, fingerprint: dict[str, Any]):
        self._attempt = attempt
        self._output = attempt.settings.output
        self._fingerprint = fingerprint
        self._kept: list[int] = []
        # Scores of the model before training, which an attempt that goes on cannot measure.
        self.base: dict[str, Any] | None = None

    def is_due(self, step: int, last_step: int) -> bool:
        """Whether a checkpoint is to be saved after this step."""
        if self._output.save_strategy == "NONE":
            return False
        return step == last_step or (self._output.save_strategy == "STEPS" and step % self._output.save_steps == 0)

    def is_due_after_epoch(self) -> bool:
        """Whether a checkpoint is to be saved after each epoch."""
        return self._output.save_strategy == "EPOCH"

    def save(self, trainer: Any, step: int, metrics: dict[str, float], write: Callable[[], None]) -> None:
        """
        Saves the trainer's state as `checkpoints/step-<step>`. Every rank calls it; `write` writes its part into the Trainer's own
        folder, which rank 0 completes and gives its name once all have written.
        """
        if step in self._kept:
            return
        attempt, ranks = self._attempt, self._attempt.ranks
        attempt.journal.phase("CHECKPOINTING")
        written = Path(trainer.args.output_dir) / f"checkpoint-{step}"
        if ranks.is_first:
            shutil.rmtree(written, ignore_errors=True)
        ranks.wait()
        write()
        ranks.wait()
        self._kept.append(step)
        if ranks.is_first:
            self._publish(written, step, metrics)
        # No rank goes on, perhaps to its end, before the checkpoint is there.
        ranks.wait()
        attempt.journal.phase("TRAINING")

    def _publish(self, written: Path, step: int, metrics: dict[str, float]) -> None:
        journal = self._attempt.journal
        for name in LEFT_OUT:
            (written / name).unlink(missing_ok=True)
        state = {"step": step, "metrics": metrics, "fingerprint": self._fingerprint, "base": self.base}
        (written / STATE).write_text(json.dumps(state, indent=2) + "\n")
        files = describe_files(written)
        manifest = {"version": 1, "step": step, "files": files}
        (written / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
        name = f"step-{step}"
        path = f"checkpoints/{name}"
        publish_folder(written, self._attempt.directory / path, self._attempt.fence.check)
        size = sum(file["bytes"] for file in files.values()) + os.path.getsize(self._attempt.directory / path / MANIFEST)
        journal.event({"type": "checkpoint", "checkpoint_id": name, "step": step, "path": path, "bytes": size, "metrics": dict(metrics)})
        journal.log(f"saved checkpoint {name} ({size} bytes)")
        while len(self._kept) > self._output.save_total_limit:
            self._delete_oldest()

    def _delete_oldest(self) -> None:
        step = self._kept.pop(0)
        path = f"checkpoints/step-{step}"
        # A newer attempt may be going on from it.
        self._attempt.fence.check()
        # The manifest goes first: a half-deleted checkpoint must not look complete.
        (self._attempt.directory / path / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(self._attempt.directory / path, ignore_errors=True)
        self._attempt.journal.event({"type": "checkpoint_deleted", "checkpoint_id": f"step-{step}", "step": step, "path": path})


def open_checkpoint(folder: Path, fingerprint: dict[str, Any]) -> dict[str, Any]:
    """
    The state in a checkpoint to go on from: its `step`, `metrics` and `base`. Throws TrainerFailure that names the file where the
    folder is not complete and unchanged, or the part of the job that is not the one it was made for.
    """

    def refuse(reason: str) -> TrainerFailure:
        return TrainerFailure("DATA", f"Checkpoint {folder.name} cannot be used: {reason}.", field="training_config.resume_from_checkpoint")

    try:
        manifest = json.loads((folder / MANIFEST).read_text())
    except FileNotFoundError as error:
        raise refuse("it has no manifest.json, so it was never completed") from error
    found = describe_files(folder)
    for name, expected in manifest["files"].items():
        if name not in found:
            raise refuse(f"{name} is missing")
        if found[name]["bytes"] != expected["bytes"]:
            raise refuse(f"{name} has {found[name]['bytes']} bytes, and the manifest says {expected['bytes']}")
        if found[name]["sha256"] != expected["sha256"]:
            raise refuse(f"the contents of {name} are not those that the manifest names")
    if STATE not in manifest["files"]:
        raise refuse(f"it has no {STATE}, so another trainer made it")
    state = json.loads((folder / STATE).read_text())
    made = state["fingerprint"]
    for part, name in PART_NAMES.items():
        if made.get(part) != fingerprint[part]:
            # Checkpoints of before have no values.
            differing = _differing(made["fields"], fingerprint["fields"]) if "fields" in made else []
            raise refuse(f"it was made with {'; '.join(differing) or f'another {name}'}")
    return state


PART_NAMES = {"base_model": "base model", "training": "training_config", "data": "data_config, or the data has changed"}

# These change what is told or kept, not what is trained.
NOT_TRAINING = ("logging_steps", "eval_steps")

# Longer values, as chat templates, are not told.
VALUE_CHARACTERS_MAX = 60
SOURCES = "data_config.sources"


def fingerprint_of(attempt: Attempt, data_hashes: list[str]) -> dict[str, Any]:
    """
    What a run depends on: hashes part by part, which say whether a checkpoint may be gone on from, and under `fields` the values by the
    submission's fields, so that a refusal can say which one differs.
    """
    settings = attempt.settings
    values = {name: value for name, value in settings.hyperparameters.items() if name not in NOT_TRAINING}
    model, data = settings.model, settings.data
    base = {name: getattr(model, name) for name in ("model_id", "revision", "dtype", "tokenizer_id")}
    rows = {name: getattr(data, name) for name in ("max_seq_length", "batch_size", "gradient_accumulation_steps", "validation_split", "seed")}
    preprocess = {name: getattr(data, name) for name in ("add_bos", "add_eos", "truncation", "chat_template")}
    return {
        "base_model": _hash(list(base.values())),
        "training": _hash([settings.training_type, values]),
        "data": _hash([data_hashes, *rows.values(), *preprocess.values()]),
        "fields": {
            **_below("training_config.base_model", base),
            "training_config.training_type": settings.training_type,
            **_below("training_config.hyperparameters", values),
            SOURCES: data_hashes,
            **_below("data_config", rows),
            **_below("data_config.preprocess", preprocess),
        },
    }


def _below(path: str, values: dict[str, Any]) -> dict[str, Any]:
    return {f"{path}.{name}": value for name, value in values.items()}


def _differing(made: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """The fields that differ, with both values where they are short."""
    told = []
    for name in {**made, **now}:
        before, after = made.get(name), now.get(name)
        if before == after:
            continue
        values = [json.dumps(value, ensure_ascii=False) for value in (before, after)]
        if name == SOURCES:
            told.append(f"other {name}, or they have changed")
        elif max(map(len, values)) > VALUE_CHARACTERS_MAX:
            told.append(f"another {name}")
        else:
            told.append(f"{name} {values[0]}, not {values[1]}")
    return told


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
