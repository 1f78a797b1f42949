"""Which module trains which type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Family(NamedTuple):
    """How a family of training types makes the Trainer's arguments, and the trainer itself."""

    arguments: Callable[..., Any]
    trainer: Callable[..., Any]


def family_of(training_type: str) -> Family:
    """The family of a training type. Imports only that family's trainer of trl, which takes seconds."""
    if training_type == "DPO":
        from .dpo import dpo_arguments, dpo_trainer

        return Family(dpo_arguments, dpo_trainer)
    if training_type == "RLHF":
        from .rlhf import rlhf_arguments, rlhf_trainer

        return Family(rlhf_arguments, rlhf_trainer)
    from .sft import sft_arguments, sft_trainer

    return Family(sft_arguments, sft_trainer)
