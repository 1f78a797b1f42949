"""The output of an attempt: an adapter or a model as a HuggingFace folder, with its model card."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .durable import describe_files, publish_folder
from .model_card import model_card

if TYPE_CHECKING:
    from .data import LoadedData
    from .settings import Settings
    from .training.attempt import Attempt


def export_output(job: dict[str, Any], attempt: Attempt, trainer: Any, data: LoadedData, scores: dict[str, Any] | None) -> None:
    """Writes `output/` (and, for `merge_adapter`, `output/merged/`), each whole or not at all, and tells each as an artefact. Every rank calls it."""
    written = attempt.directory / ".output.saving"
    if attempt.ranks.is_first:
        shutil.rmtree(written, ignore_errors=True)
    attempt.ranks.wait()
    if not attempt.settings.has_adapter:
        _make_ready_for_use(trainer.model, attempt.settings)
    # A model that is spread over the ranks is gathered here, so all take part.
    trainer.save_model(str(written), _internal_call=True)
    attempt.ranks.wait()
    if not attempt.ranks.is_first:
        return
    (written / "training_args.bin").unlink(missing_ok=True)
    card = model_card(job, attempt, trainer, data, scores)
    has_adapter = attempt.settings.has_adapter
    _publish(attempt, written, "output", "adapter" if has_adapter else "model", card)
    if attempt.settings.output.merge_adapter:
        merged = attempt.directory / ".merged.saving"
        shutil.rmtree(merged, ignore_errors=True)
        _merge(attempt, merged, trainer.processing_class)
        _publish(attempt, merged, "output/merged", "model", card)


def _make_ready_for_use(model: Any, settings: Settings) -> None:
    """Gives a whole model back what it went without in training: its cache, and, where this process has all of it, its own number format."""
    from .training.model import load_config, weight_dtype

    model.config.use_cache = True
    if settings.framework.type == "HF_TRAINER":
        model.to(weight_dtype(settings, load_config(settings)))


def _publish(attempt: Attempt, written: Path, path: str, kind: str, card: str) -> None:
    (written / "README.md").write_text(card)
    files = describe_files(written)
    size = sum(file["bytes"] for file in files.values())
    publish_folder(written, attempt.directory / path, attempt.fence.check)
    attempt.journal.event({"type": "artefact", "kind": kind, "path": path, "files": list(files), "bytes": size})
    attempt.journal.log(f"saved {kind} in {path} ({size} bytes)")


def _merge(attempt: Attempt, folder: Path, tokenizer: Any) -> None:
    """The base model with the adapter of the output merged into it. Made anew on the CPU: the model in training may be spread over ranks."""
    from peft import PeftModel

    from .training.model import load_config, load_model, weight_dtype

    settings = attempt.settings
    base = load_model(settings, weight_dtype(settings, load_config(settings)))
    merged = PeftModel.from_pretrained(base, str(attempt.directory / "output")).merge_and_unload()
    merged.config.use_cache = True
    merged.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
