"""SFT, LORA, QLORA, CONTINUED_PRETRAIN and FULL_FINETUNE: the next token's loss, over trl's SFTTrainer."""

from __future__ import annotations

from typing import Any

from trl import SFTConfig, SFTTrainer

from ..checkpoints import CheckpointKeeper
from ..problems import TrainerFailure
from .attempt import Attempt, Parts
from .observed import observed
from .tokens import is_conversational, mark_ends, refuse_long_rows

PATH = "training_config.hyperparameters"


def sft_arguments(attempt: Attempt, arguments: dict[str, Any], row_tokens: int) -> SFTConfig:
    """The Trainer's arguments with those of supervised training."""
    settings = attempt.settings
    values, data = settings.hyperparameters, settings.data
    # Whoever wants long records refused must see their whole length.
    shortens = data.truncation != "error"
    return SFTConfig(
        **arguments,
        max_length=row_tokens if shortens else None,
        truncation_mode="keep_end" if data.truncation == "left" else "keep_start",
        packing=values["packing"],
        # Plain text flows over the rows' ends; records of other kinds stay whole.
        packing_strategy="wrapped" if settings.training_type == "CONTINUED_PRETRAIN" else "bfd",
        eval_packing=False,
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
    if len(trainer.train_dataset) == 0:
        message = f"Nothing is left to train on: every record's prompt fills the {parts.row_tokens} tokens of a row."
        raise TrainerFailure("DATA", message, field="data_config.max_seq_length")
    return trainer


def _check_kind(values: dict[str, Any], data: Any, tokenizer: Any) -> None:
    names = data.column_names
    if values.get("completion_only_loss") and "completion" not in names:
        message = f"completion_only_loss acts on records of prompt and completion; these have {', '.join(names)}."
        raise TrainerFailure("DATA", message, field=f"{PATH}.completion_only_loss")
    if values.get("assistant_only_loss") and "messages" not in names:
        message = f"assistant_only_loss acts on records of messages; these have {', '.join(names)}."
        raise TrainerFailure("DATA", message, field=f"{PATH}.assistant_only_loss")
    if is_conversational(data) and not tokenizer.chat_template:
        raise TrainerFailure(
            "DATA",
            "The records are messages, and the tokenizer has no chat template.",
            field="data_config.preprocess.chat_template",
            hint="Give one, or the tokenizer of an instruction-tuned model.",
        )
