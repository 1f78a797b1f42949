"""The model and its tokenizer, as the submission names them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from ..failures import INSTALLED_BY
from ..hub import fetching
from ..parsing import near_miss
from ..problems import TrainerFailure
from ..settings import Settings

PATH = "training_config.base_model"

# Rows of packed tokens where the submission names no length: longer ones cost memory that nobody asked for.
PACKED_TOKENS = 2048


def source_of(settings: Settings) -> dict[str, Any]:
    """The arguments that every `from_pretrained` of this model gets."""
    model = settings.model
    return {"trust_remote_code": model.trust_remote_code, **({"revision": model.revision} if model.revision else {})}


def load_config(settings: Settings) -> Any:
    """The model's configuration. Throws TrainerFailure where there is no such model."""
    model_id = settings.model.model_id
    if model_id.startswith("/") and not (Path(model_id) / "config.json").is_file():
        reason = "that folder has no config.json" if Path(model_id).is_dir() else "there is no such folder"
        raise TrainerFailure("UNKNOWN", f"{model_id} is no model: {reason}.", field=f"{PATH}.model_id")
    with fetching("The model", model_id, f"{PATH}.model_id"):
        return AutoConfig.from_pretrained(model_id, **source_of(settings))


def weight_dtype(settings: Settings, config: Any) -> torch.dtype:
    """The number format that is computed in, and that the output has: the submission's, else the model's own, else float32."""
    named = settings.model.dtype
    if named not in ("", "auto"):
        return getattr(torch, named)
    own = getattr(config, "dtype", None) or torch.float32
    return getattr(torch, own) if isinstance(own, str) else own


def trained_dtype(settings: Settings, dtype: torch.dtype) -> torch.dtype:
    """
    What the weights are kept in while they are trained. Where all of them are, and the submission names no format, that is float32: a
    step is often less than the last bit of a 16-bit weight, and rounding would undo it. Adapters, FSDP and DeepSpeed see to it by themselves.
    """
    is_ours = settings.framework.type == "HF_TRAINER" and not settings.has_adapter
    return torch.float32 if is_ours and settings.model.dtype in ("", "auto") else dtype


def load_tokenizer(settings: Settings) -> Any:
    """The tokenizer, with the submission's chat template and a padding token."""
    given = settings.model.tokenizer_id
    source = {"trust_remote_code": settings.model.trust_remote_code} if given else source_of(settings)
    try:
        with fetching("The tokenizer", given or settings.model.model_id, f"{PATH}.{'tokenizer_id' if given else 'model_id'}"):
            tokenizer = AutoTokenizer.from_pretrained(given or settings.model.model_id, **source)
    except (OSError, ValueError) as error:
        if given and Path(given).is_absolute():
            raise TrainerFailure("UNKNOWN", f"{given} has no tokenizer: {error}", field=f"{PATH}.tokenizer_id") from error
        raise
    if settings.data.chat_template:
        tokenizer.chat_template = settings.data.chat_template
    if tokenizer.eos_token is None:
        raise TrainerFailure("UNKNOWN", "The tokenizer has no end-of-sequence token.", field=f"{PATH}.tokenizer_id")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(settings: Settings, dtype: torch.dtype) -> Any:
    """The model with its weights; in 4 bits for QLORA."""
    arguments = {**source_of(settings), "dtype": dtype, **settings.model.kwargs}
    if settings.training_type == "QLORA":
        arguments["quantization_config"] = quantization(settings)
        arguments["device_map"] = {"": torch.cuda.current_device()}
    with fetching("The model", settings.model.model_id, f"{PATH}.model_id"):
        model = AutoModelForCausalLM.from_pretrained(settings.model.model_id, **arguments)
    model.config.use_cache = False
    return model


def check_quantization() -> None:
    """Throws TrainerFailure where 4-bit weights cannot be had: without CUDA, or without bitsandbytes."""
    reason = None
    if not torch.cuda.is_available():
        reason = "there is no CUDA device here"
    elif importlib.util.find_spec("bitsandbytes") is None:
        reason = f"bitsandbytes is not installed in the trainer's environment ({INSTALLED_BY['bitsandbytes']})"
    if reason:
        raise TrainerFailure(
            "UNKNOWN",
            f"QLORA trains on 4-bit weights through bitsandbytes, and {reason}.",
            field="training_config.training_type",
            hint="Give LORA, which trains the same adapters on weights that are not quantised.",
        )


def quantization(settings: Settings) -> BitsAndBytesConfig:
    """The 4-bit format that the hyperparameters ask for."""
    values = settings.hyperparameters
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=values["bnb_4bit_quant_type"],
        bnb_4bit_compute_dtype=getattr(torch, values["bnb_4bit_compute_dtype"]),
        bnb_4bit_use_double_quant=values["bnb_4bit_use_double_quant"],
        bnb_4bit_quant_storage=getattr(torch, values["bnb_4bit_compute_dtype"]),
    )


def lora_config(settings: Settings, model: Any) -> LoraConfig | None:
    """
    The adapters that the hyperparameters ask for; None where all weights are trained. Throws TrainerFailure for a module that the
    model has not.
    """
    if not settings.has_adapter:
        return None
    values = settings.hyperparameters
    targets = values["lora_target_modules"]
    if targets == ["all-linear"]:
        modules: Any = "all-linear"
    else:
        names = {name.rsplit(".", 1)[-1] for name, module in model.named_modules() if name and not list(module.children())}
        heads = [name for name, module in model.named_modules() if module is model.get_output_embeddings()]
        for target in targets:
            if target.rsplit(".", 1)[-1] not in names:
                raise TrainerFailure(
                    "UNKNOWN",
                    f"The model has no module {target}{near_miss(target, names)}.",
                    field="training_config.hyperparameters.lora_target_modules",
                )
            if target in heads:
                # trl computes losses from the head's weights directly; an adapter on it would never be trained.
                raise TrainerFailure(
                    "UNKNOWN",
                    f"{target} computes the model's output, and takes no adapter here.",
                    field="training_config.hyperparameters.lora_target_modules",
                )
        modules = targets
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=values["lora_r"],
        lora_alpha=values["lora_alpha"],
        lora_dropout=values["lora_dropout"],
        target_modules=modules,
        bias=values["lora_bias"],
        use_rslora=values["use_rslora"],
        use_dora=values["use_dora"],
    )


def row_tokens(settings: Settings, config: Any, tokenizer: Any) -> int:
    """
    Most tokens of a row: the submission's, else what model and tokenizer allow, for packed rows at most 2048. Throws TrainerFailure
    where the model allows fewer.
    """
    allowed = getattr(config.get_text_config(), "max_position_embeddings", None) or 1_000_000
    given = settings.data.max_seq_length
    if given > allowed:
        raise TrainerFailure("DATA", f"The model has {allowed} positions, not {given}.", field="data_config.max_seq_length")
    if given:
        return given
    # A tokenizer without a limit of its own names an astronomical one.
    allowed = min(allowed, tokenizer.model_max_length or allowed)
    return min(allowed, PACKED_TOKENS) if settings.hyperparameters.get("packing") else allowed
