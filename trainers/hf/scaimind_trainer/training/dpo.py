"""DPO: learns from pairs of answers, over trl's DPOTrainer."""

from __future__ import annotations

from typing import Any

from datasets import Dataset
from trl import DPOConfig, DPOTrainer

from ..checkpoints import CheckpointKeeper
from .attempt import Attempt, Parts
from .model import source_of
from .observed import observed
from .tokens import check_left_out, refuse_long_rows, refuse_without_template


def dpo_arguments(attempt: Attempt, arguments: dict[str, Any], row_tokens: int) -> DPOConfig:
    """The Trainer's arguments with those of DPO."""
    settings = attempt.settings
    values, data = settings.hyperparameters, settings.data
    return DPOConfig(
        **arguments,
        max_length=row_tokens if data.truncation != "error" else None,
        truncation_mode="keep_end" if data.truncation == "left" else "keep_start",
        pad_to_multiple_of=row_tokens if data.padding == "max_length" else None,
        beta=values["beta"],
        loss_type=values["loss_type"],
        label_smoothing=values["label_smoothing"],
        precompute_ref_log_probs=values["reference_free"],
        # What the reference is loaded by, where all weights change: with adapters it is the model without them.
        model_init_kwargs=None if settings.has_adapter else {**source_of(settings), **settings.model.kwargs},
    )


def dpo_trainer(attempt: Attempt, arguments: DPOConfig, parts: Parts, keeper: CheckpointKeeper) -> DPOTrainer:
    """The trainer over the loaded data. With adapters the reference is the model without them."""
    refuse_without_template(parts.data.training, parts.tokenizer)
    trainer = observed(ReferenceFreeTrainer if attempt.settings.hyperparameters["reference_free"] else DPOTrainer)(
        attempt=attempt,
        keeper=keeper,
        model=parts.model,
        args=arguments,
        train_dataset=parts.data.training,
        eval_dataset=parts.data.validation,
        processing_class=parts.tokenizer,
        peft_config=parts.lora,
    )
    rows = trainer.train_dataset
    if attempt.settings.data.truncation == "error":
        longest = [max(len(row["chosen_ids"]), len(row["rejected_ids"])) + len(row["prompt_ids"]) for row in rows]
        refuse_long_rows(longest, parts.row_tokens)
    check_left_out(attempt, parts, rows, trainer.eval_dataset)
    return trainer


class ReferenceFreeTrainer(DPOTrainer):
    """DPO against a reference that finds both answers equally likely: its log-probabilities are zero instead of a model's."""

    def _precompute_ref_logps(self, dataset: Dataset, name: str, batch_size: int) -> Dataset:
        zeros = [0.0] * len(dataset)
        return dataset.add_column("ref_chosen_logps", zeros).add_column("ref_rejected_logps", zeros)
