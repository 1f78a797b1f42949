"""Records as tokens where the submission asks for something else than trl does by itself."""

from __future__ import annotations

from typing import Any

from datasets import Dataset

from ..problems import TrainerFailure
from ..settings import Settings
from .attempt import Attempt, Parts

PATH = "data_config.preprocess"


def is_conversational(data: Dataset) -> bool:
    """Whether the records are messages, which a chat template makes text of."""
    names = data.column_names
    return "messages" in names or any(name in names and isinstance(data[0][name], list) for name in ("prompt", "completion", "chosen"))


def refuse_without_template(data: Dataset, tokenizer: Any) -> None:
    """Throws TrainerFailure where the records are messages, and nothing says how they become text."""
    if is_conversational(data) and not tokenizer.chat_template:
        raise TrainerFailure(
            "DATA",
            "The records are messages, and the tokenizer has no chat template.",
            field=f"{PATH}.chat_template",
            hint="Give one, or the tokenizer of an instruction-tuned model.",
        )


def check_left_out(attempt: Attempt, parts: Parts, training: Any, held_out: Any) -> None:
    """
    Tells how many records have nothing to learn from within a row, which trl leaves out. Throws TrainerFailure where none of those for
    training, or of those held out, is left.
    """
    most = parts.row_tokens
    for what, given, left in (("training", parts.data.training, training), ("validation", parts.data.validation, held_out)):
        if given is None or len(left) >= len(given):
            continue
        reason = f"nothing that is learnt from lies within the {most} tokens of a row"
        if len(left) == 0:
            raise TrainerFailure("DATA", f"No record is left for {what}: of each, {reason}.", field="data_config.max_seq_length")
        attempt.journal.log(f"warning: {len(given) - len(left)} of {len(given)} records for {what} are left out: of each, {reason}")


def tell_full_rows(attempt: Attempt, lengths: list[int], most: int) -> None:
    """Tells how many held-out records, of these lengths in tokens, fill a row of `most` tokens: of longer ones the rest is not scored."""
    full = sum(length >= most for length in lengths)
    if full:
        attempt.journal.log(f"warning: {full} of {len(lengths)} held-out records fill a row of {most} tokens; what is longer is cut, as in training")


def mark_ends(data: Dataset, tokenizer: Any, settings: Settings) -> Dataset:
    """
    The records as tokens with the beginning and the end marked as `add_bos` and `add_eos` say; unchanged where they say nothing. Where
    one is not given, the beginning is as the tokenizer does it, and the end is marked. Throws TrainerFailure for messages.
    """
    bos, eos = settings.data.add_bos, settings.data.add_eos
    if bos is None and eos is None:
        return data
    if is_conversational(data):
        name = "add_bos" if bos is not None else "add_eos"
        raise TrainerFailure("DATA", "The chat template marks the ends of messages: leave it out.", field=f"{PATH}.{name}")
    if bos and tokenizer.bos_token_id is None:
        raise TrainerFailure("DATA", "The tokenizer has no beginning-of-sequence token.", field=f"{PATH}.add_bos")
    begins_by_itself = tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
    first = [tokenizer.bos_token_id] if (begins_by_itself if bos is None else bos) else []
    last = [] if eos is False else [tokenizer.eos_token_id]
    learns_prompts = settings.hyperparameters.get("completion_only_loss") is False

    def convert(record: dict[str, Any]) -> dict[str, Any]:
        if "text" in record:
            ids = first + tokenizer(record["text"], add_special_tokens=False)["input_ids"] + last
            return {"input_ids": ids, "labels": ids}
        prompt = first + tokenizer(record["prompt"], add_special_tokens=False)["input_ids"]
        completion = tokenizer(record["completion"], add_special_tokens=False)["input_ids"] + last
        ids = prompt + completion
        return {"input_ids": ids, "labels": ids if learns_prompts else [-100] * len(prompt) + completion}

    return data.map(convert, remove_columns=data.column_names)


def refuse_long_rows(lengths: list[int], most: int) -> None:
    """For truncation `error`: throws TrainerFailure that names the first record, from 0, that is longer than `most` tokens."""
    for number, length in enumerate(lengths):
        if length > most:
            raise TrainerFailure(
                "DATA", f"Record {number} of the training data has {length} tokens, and a row has at most {most}.", field="data_config.max_seq_length"
            )
