"""SFT, LORA, QLORA, CONTINUED_PRETRAIN and FULL_FINETUNE: the next token's loss, over trl's SFTTrainer."""

from __future__ import annotations

from typing import Any

from trl import SFTConfig, SFTTrainer, get_training_chat_template
from trl.chat_template_utils import has_generation_markers

from ..checkpoints import CheckpointKeeper
from ..problems import TrainerFailure
from .attempt import Attempt, Parts
from .observed import observed
from .tokens import check_left_out, mark_ends, refuse_long_rows, refuse_without_template, tell_full_rows

PATH = "training_config.hyperparameters"


def sft_arguments(attempt: Attempt, arguments: dict[str, Any], row_tokens: int) -> SFTConfig:
    """The Trainer's arguments with those of supervised training."""
    settings = attempt.settings
    values, data = settings.hyperparameters, settings.data
    # Whoever wants long records refused must see their whole length.
    shortens = data.truncation != "error"
    # Plain text flows over the rows' ends; records of other kinds stay whole.
    flows = settings.training_type == "CONTINUED_PRETRAIN"
    return SFTConfig(
        **arguments,
        max_length=row_tokens if shortens else None,
        truncation_mode="keep_end" if data.truncation == "left" else "keep_start",
        packing=values["packing"],
        packing_strategy="wrapped" if flows else "bfd",
        # So that documents held out are scored to their ends. Of other records a row holds one, as much of it as in training.
        eval_packing=values["packing"] and flows,
        pad_to_multiple_of=row_tokens if data.padding == "max_length" else None,
        completion_only_loss=values.get("completion_only_loss"),
        assistant_only_loss=values.get("assistant_only_loss") or False,
        loss_type=values["loss_type"],
    )


def sft_trainer(attempt: Attempt, arguments: SFTConfig, parts: Parts, keeper: CheckpointKeeper) -> SFTTrainer:
    """The trainer over the loaded data. Throws TrainerFailure where the data is not of the kind that a hyperparameter acts on."""
    settings = attempt.settings
    training, validation = parts.data.training, parts.data.validation
    _check_kind(settings.hyperparameters, training, parts.tokenizer)
    trainer = observed(SFTTrainer)(
        attempt=attempt,
        keeper=keeper,
        model=parts.model,
        args=arguments,
        train_dataset=mark_ends(training, parts.tokenizer, settings),
        eval_dataset=mark_ends(validation, parts.tokenizer, settings) if validation is not None else None,
        processing_class=parts.tokenizer,
        peft_config=parts.lora,
    )
    if settings.data.truncation == "error":
        refuse_long_rows([len(ids) for ids in trainer.train_dataset["input_ids"]], parts.row_tokens)
    held_out = trainer.eval_dataset
    # Packed rows are fewer than the records in them.
    check_left_out(attempt, parts, training if arguments.packing else trainer.train_dataset, validation if arguments.eval_packing else held_out)
    if held_out is not None and not arguments.eval_packing:
        tell_full_rows(attempt, [len(ids) for ids in held_out["input_ids"]], parts.row_tokens)
    return trainer


def _check_kind(values: dict[str, Any], data: Any, tokenizer: Any) -> None:
    names = data.column_names
    if values.get("completion_only_loss") and "completion" not in names:
        message = f"completion_only_loss acts on records of prompt and completion; these have {', '.join(names)}."
        raise TrainerFailure("DATA", message, field=f"{PATH}.completion_only_loss")
    if values.get("assistant_only_loss") and "messages" not in names:
        message = f"assistant_only_loss acts on records of messages; these have {', '.join(names)}."
        raise TrainerFailure("DATA", message, field=f"{PATH}.assistant_only_loss")
    refuse_without_template(data, tokenizer)
    if values.get("assistant_only_loss") and not has_generation_markers(tokenizer.chat_template):
        try:
            get_training_chat_template(tokenizer)
        except ValueError as error:
            raise TrainerFailure(
                "DATA",
                "assistant_only_loss needs a chat template that marks answers by {% generation %}, and the tokenizer's does not.",
                field=f"{PATH}.assistant_only_loss",
                hint="Give data_config.preprocess.chat_template with {% generation %} and {% endgeneration %} around what the assistant says.",
            ) from error
