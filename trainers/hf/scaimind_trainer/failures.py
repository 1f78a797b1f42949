"""Exceptions of the packages as failures of a job: a class, a message for people, a hint that helps."""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .problems import TrainerFailure

if TYPE_CHECKING:
    from .settings import Settings


@dataclass
class Facts:
    """What is known of a run so far; an estimate needs it. Counts of parameters, bytes a weight and a computed number, tokens a row."""

    settings: Settings | None = None
    parameters: int = 0
    trainable: int = 0
    weight_bytes: int = 2
    hidden_size: int = 0
    layers: int = 0
    row_tokens: int = 0
    computed_bytes: int = 2


HANG = re.compile(
    r"(NCCL|gloo|ProcessGroup).*(timed out|timeout)|Timed out waiting|Watchdog caught collective", re.IGNORECASE | re.DOTALL
)


# Packages that the trainer's environment has only where someone wants them, by the name they are imported by.
INSTALLED_BY = {
    "bitsandbytes": "scaimind trainers install --extra qlora",
    "deepspeed": "scaimind trainers install --extra deepspeed",
    "flash_attn": "pip install flash-attn",
    "vllm": "pip install vllm",
}

FULL_DISK = "Free space below the data folder and TMPDIR, or keep less: output_config.save_total_limit, or save_steps that come less often."


def to_failure(error: Exception, facts: Facts) -> TrainerFailure:
    """What an exception means. A TrainerFailure is answered as it is."""
    if isinstance(error, TrainerFailure):
        return error
    message = _first_line(error)
    if _is_out_of_memory(error):
        return TrainerFailure("OUT_OF_MEMORY", f"Out of memory: {message}", hint=memory_hint(facts))
    if failure := _access_failure(error, message):
        return failure
    if HANG.search(str(error)):
        return TrainerFailure("COLLECTIVE_HANG", f"A collective timed out: {message}")
    if _is_of_template(error):
        return TrainerFailure("DATA", f"The chat template does not take the records: {message}", field="data_config.preprocess.chat_template")
    if isinstance(error, ImportError):
        return TrainerFailure("CODE", message, hint=_package_hint(error))
    if isinstance(error, OSError):
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return TrainerFailure("UNKNOWN", message, hint=FULL_DISK if is_full else None)
    return TrainerFailure("CODE", f"{type(error).__name__}: {message}")


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:2000]


def _is_out_of_memory(error: Exception) -> bool:
    names = {kind.__name__ for kind in type(error).__mro__}
    return (
        isinstance(error, MemoryError)
        or "OutOfMemoryError" in names
        or bool(re.search(r"out of memory|can't allocate memory|CUBLAS_STATUS_ALLOC_FAILED|not enough memory", str(error), re.IGNORECASE))
    )


def _is_of_template(error: Exception) -> bool:
    return any(kind.__name__ == "TemplateError" for kind in type(error).__mro__)


def _access_failure(error: Exception, message: str) -> TrainerFailure | None:
    """AUTH where the hub says that the caller may not have it. The hub's errors come wrapped, so the chain is looked through."""
    seen: BaseException | None = error
    while seen is not None:
        name = type(seen).__name__
        status = getattr(getattr(seen, "response", None), "status_code", None)
        if name == "GatedRepoError" or status in (401, 403) or re.search(r"\bgated repo\b|\b401 Client Error|\b403 Client Error", str(seen)):
            return TrainerFailure(
                "AUTH",
                f"The hub refuses access: {message}",
                hint="Accept the model's terms on the hub, and give a token that may read it as HF_TOKEN in training_config.environment.",
            )
        seen = seen.__cause__ or seen.__context__
    return None


def _package_hint(error: ImportError) -> str | None:
    found = next((name for name in INSTALLED_BY if name in str(error) or name == error.name), None)
    return f"Install it in the trainer's environment: {INSTALLED_BY[found]}." if found else None


def memory_hint(facts: Facts) -> str:
    """
    Which knobs would help, the largest saving first. The figures are rough: about 34 bytes of 16-bit activations a token, layer and
    hidden unit (Korthikanti et al. 2022), a fifth of it left with checkpointing, Adam's two moments of 4 bytes a trained weight.
    """
    settings = facts.settings
    if settings is None:
        return "Lower data_config.batch_size or max_seq_length."
    if facts.parameters == 0:
        return "It was full before training began: give a smaller model, QLORA with its 4-bit weights, or a machine with more memory."
    data, values = settings.data, settings.hyperparameters
    rows = data.batch_size * (2 if settings.training_type == "DPO" else 1)
    activations = rows * facts.row_tokens * facts.layers * facts.hidden_size * 34 * facts.computed_bytes / 2
    if values["gradient_checkpointing"]:
        activations /= 5
    savings: list[tuple[float, str]] = []
    if data.batch_size > 1:
        other = data.gradient_accumulation_steps * 2
        savings.append((activations / 2, f"data_config.batch_size {data.batch_size // 2} with gradient_accumulation_steps {other}, the same training"))
    if not values["gradient_checkpointing"]:
        savings.append((activations * 0.8, "hyperparameters.gradient_checkpointing true, some 20 to 30 % slower"))
    if facts.row_tokens > 256:
        savings.append((activations / 2, f"data_config.max_seq_length {facts.row_tokens // 2}"))
    if not values["optim"].endswith("8bit") and values["optim"] != "adafactor":
        savings.append((facts.trainable * 6, f"hyperparameters.optim adamw_8bit, which needs bitsandbytes ({INSTALLED_BY['bitsandbytes']})"))
    if facts.weight_bytes > facts.computed_bytes:
        # Weights, gradients and Adam's moments, in 2 bytes each instead of 4.
        savings.append((facts.trainable * 8, "base_model.dtype bfloat16, in which small steps are lost"))
    if not settings.has_adapter:
        adapters = "hyperparameters.lora_r 16" if settings.training_type in ("DPO", "RLHF") else "training_type LORA"
        savings.append((facts.trainable * (facts.weight_bytes + 8) * 0.99, f"{adapters}, which trains adapters only"))
    elif settings.training_type == "LORA":
        savings.append((facts.parameters * (facts.weight_bytes - 0.55), "training_type QLORA, with 4-bit weights"))
    told = [f"{knob} (saves about {_size(saved)})" for saved, knob in sorted(savings, key=lambda entry: -entry[0]) if saved > 0]
    return f"What would help, by rough estimate: {'; '.join(told)}." if told else "Lower data_config.batch_size or max_seq_length."


def _size(count: float) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{max(count / 2**20, 0.1):.1f} MiB"
