"""RLHF: learns from the rewards of its own completions, over trl's GRPOTrainer."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import AutoModelForSequenceClassification, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

from ..checkpoints import CheckpointKeeper
from ..hub import fetching
from ..problems import TrainerFailure
from .attempt import Attempt, Parts
from .model import source_of
from .observed import observed
from .tokens import refuse_without_template

PATH = "training_config.hyperparameters"


def rlhf_arguments(attempt: Attempt, arguments: dict[str, Any], row_tokens: int) -> GRPOConfig:
    """The Trainer's arguments with those of GRPO. Throws TrainerFailure where a batch does not hold whole groups of completions."""
    settings = attempt.settings
    values = settings.hyperparameters
    group = settings.data.batch_size * settings.data.gradient_accumulation_steps * attempt.ranks.world_size
    if group % values["num_generations"]:
        raise TrainerFailure(
            "UNKNOWN",
            f"num_generations must divide batch_size × gradient_accumulation_steps × processes ({group}).",
            field=f"{PATH}.num_generations",
        )
    return GRPOConfig(
        **arguments,
        beta=values["beta"],
        loss_type=values["loss_type"],
        num_generations=values["num_generations"],
        max_completion_length=min(values["max_completion_length"], row_tokens),
        temperature=values["temperature"],
        top_p=values["top_p"],
        epsilon=values["epsilon"],
        # What the reference is loaded by, where beta asks for one and all weights change.
        model_init_kwargs={**source_of(settings), **settings.model.kwargs} if values["beta"] and not settings.has_adapter else None,
    )


def rlhf_trainer(attempt: Attempt, arguments: GRPOConfig, parts: Parts, keeper: CheckpointKeeper) -> GRPOTrainer:
    """The trainer over the prompts. Throws TrainerFailure where there is no usable reward or no prompt that is short enough."""
    values = attempt.settings.hyperparameters
    refuse_without_template(parts.data.training, parts.tokenizer)
    prompts = _short_prompts(attempt, parts)
    tokenizer_of_reward = None
    if values["reward_function"]:
        reward: Any = load_reward_function(values["reward_function"])
    else:
        reward, tokenizer_of_reward = _load_reward_model(attempt, values["reward_model"])
    return observed(GRPOTrainer)(
        attempt=attempt,
        keeper=keeper,
        model=parts.model,
        reward_funcs=reward,
        args=arguments,
        train_dataset=prompts,
        processing_class=parts.tokenizer,
        reward_processing_classes=tokenizer_of_reward,
        peft_config=parts.lora,
    )


def _short_prompts(attempt: Attempt, parts: Parts) -> Any:
    most = attempt.settings.hyperparameters["max_prompt_length"]
    if most is None:
        return parts.data.training

    def is_short(record: dict[str, Any]) -> bool:
        prompt = record["prompt"]
        if isinstance(prompt, list):
            prompt = parts.tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
        return len(parts.tokenizer(prompt)["input_ids"]) <= most

    kept = parts.data.training.filter(is_short)
    dropped = len(parts.data.training) - len(kept)
    if dropped:
        attempt.journal.log(f"warning: {dropped} prompts are longer than max_prompt_length ({most} tokens) and are left out")
    if len(kept) == 0:
        raise TrainerFailure("DATA", f"Every prompt is longer than {most} tokens.", field=f"{PATH}.max_prompt_length")
    return kept


def load_reward_function(path: str) -> Callable[..., list[float]]:
    """The function `reward(completions, prompts=None, **columns)` of a Python file, its answers checked. Throws TrainerFailure where there is none."""
    field = f"{PATH}.reward_function"
    if not Path(path).is_file():
        raise TrainerFailure("CODE", f"There is no file {path}.", field=field)
    spec = importlib.util.spec_from_file_location("scaimind_reward", path)
    if spec is None or spec.loader is None:
        raise TrainerFailure("CODE", f"{path} is not a Python file.", field=field)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise TrainerFailure("CODE", f"{path} cannot be loaded: {type(error).__name__}: {error}", field=field) from error
    given = getattr(module, "reward", None)
    if not callable(given):
        raise TrainerFailure("CODE", f"{path} has no function reward(completions, prompts=None, **columns).", field=field)

    def reward(completions: list[Any], prompts: list[Any] | None = None, **columns: Any) -> list[float]:
        try:
            values = given(completions, prompts=prompts, **columns)
        except Exception as error:
            raise TrainerFailure("CODE", f"reward failed: {type(error).__name__}: {error}", field=field) from error
        if not isinstance(values, (list, tuple)) or len(values) != len(completions):
            raise TrainerFailure("CODE", f"reward must answer a list of {len(completions)} numbers, one a completion.", field=field)
        for value in values:
            if not isinstance(value, (int, float)) or not math.isfinite(value):
                raise TrainerFailure("CODE", f"reward answered {value!r}, which is not a finite number.", field=field)
        return [float(value) for value in values]

    return reward


def _load_reward_model(attempt: Attempt, model_id: str) -> tuple[Any, Any]:
    field = f"{PATH}.reward_model"
    if model_id.startswith("/") and not (Path(model_id) / "config.json").is_file():
        raise TrainerFailure("UNKNOWN", f"{model_id} is no folder of a model.", field=field)
    trust = {"trust_remote_code": attempt.settings.model.trust_remote_code}
    with fetching("The reward model", model_id, field):
        model = AutoModelForSequenceClassification.from_pretrained(model_id, num_labels=1, **trust)
        tokenizer = AutoTokenizer.from_pretrained(model_id, **trust)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.config.pad_token_id = tokenizer.pad_token_id
    return model, tokenizer
