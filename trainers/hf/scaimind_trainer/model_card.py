"""The README.md of an output: what it is, what it was made from, how good it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from . import __version__

if TYPE_CHECKING:
    from .data import LoadedData
    from .training.attempt import Attempt


def model_card(job: dict[str, Any], attempt: Attempt, trainer: Any, data: LoadedData, scores: dict[str, Any] | None) -> str:
    """The model card as Markdown, with the hub's metadata on top."""
    from .run import package_versions

    settings = attempt.settings
    model = settings.model
    revision = model.revision or getattr(trainer.model.config, "_commit_hash", None)
    state, metrics = trainer.state, trainer.observer.metrics
    library = "peft" if settings.has_adapter else "transformers"
    tables = [
        "| on the validation split | loss (nats a token) | perplexity |",
        "| --- | --- | --- |",
        *(f"| {name} | {score['loss']:.4f} | {score['perplexity']:.3f} |" for name, score in (scores or {}).items()),
    ]
    in_force = {
        "hyperparameters": {name: value for name, value in settings.hyperparameters.items() if value is not None},
        "data": {**settings.data.__dict__, "row_tokens": attempt.facts.row_tokens},
        "framework": {"type": settings.framework.type, **settings.framework.config, "processes": attempt.ranks.world_size},
        "weights": {"all": attempt.facts.parameters, "trained": attempt.facts.trainable},
    }
    versions = {"scaimind_trainer": __version__, **{name: version for name, version in package_versions().items() if version}}
    lines = [
        "---",
        f"base_model: {json.dumps(model.model_id)}",
        f"library_name: {library}",
        "tags:",
        "- scaimind",
        f"- {settings.training_type.lower()}",
        "---",
        "",
        f"# {_line(settings.name) or settings.job_id}",
        "",
        f"Made by ScaiMind: {settings.training_type} on {model.model_id}{f' at revision {revision}' if revision else ''}, "
        f"job {settings.job_id}, attempt {settings.attempt}.",
        f"{state.global_step} steps, {state.epoch or 0:.4g} epochs, {int(state.num_input_tokens_seen)} tokens.",
        "",
        "## Metrics",
        "",
        *[f"- last {name}: {value:.4f}" for name, value in metrics.items()],
        "",
        *(tables if scores else ["No validation split was asked for, so nothing is known about data that it was not trained on."]),
        "",
        "## Data",
        "",
        *[f"- {_line(source.path)}: {source.records} records, {source.bytes} bytes, sha256 `{source.sha256}`" for source in data.sources],
        "",
        "## Settings",
        "",
        "```json",
        json.dumps(in_force, indent=2, ensure_ascii=False),
        "```",
        "",
        "## Versions",
        "",
        *[f"- {name} {version}" for name, version in versions.items()],
    ]
    return "\n".join(lines) + "\n"


def _line(text: str) -> str:
    return " ".join(text.split())
