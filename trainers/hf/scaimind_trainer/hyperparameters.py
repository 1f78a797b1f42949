"""Every hyperparameter in one table: its kind, the training types that it acts for, its default."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from .parsing import Kind, Problem, boolean, integer, near_miss, number, one_of, text, words

TRAINING_TYPES = ("SFT", "LORA", "QLORA", "DPO", "RLHF", "CONTINUED_PRETRAIN", "FULL_FINETUNE")

SUPERVISED = frozenset({"SFT", "LORA", "QLORA", "CONTINUED_PRETRAIN", "FULL_FINETUNE"})
EVERY = frozenset(TRAINING_TYPES)
# DPO and RLHF train all weights unless `lora_r` is given.
WITH_ADAPTERS = frozenset({"LORA", "QLORA", "DPO", "RLHF"})

OPTIMIZERS = (
    "adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "lion_32bit", "lion_8bit",
    "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit",
)  # fmt: skip
BITSANDBYTES_OPTIMIZERS = ("lion_32bit", "lion_8bit", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit")

SCHEDULERS = (
    "linear", "cosine", "cosine_with_restarts", "constant", "constant_with_warmup", "inverse_sqrt", "polynomial",
)  # fmt: skip

LOSS_TYPES = {
    "SFT": ("nll", "dft"),
    "DPO": ("sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired",
            "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm"),
    "RLHF": ("grpo", "dapo", "dr_grpo", "bnpo"),
}  # fmt: skip


class Rule(NamedTuple):
    """What a hyperparameter may be, for which types it acts, and what it is where it is not given (None: nothing)."""

    kind: Kind
    types: frozenset[str]
    default: Any | Callable[[str], Any] = None


def _learning_rate(training_type: str) -> float:
    # What trl sets for each of its trainers; ten times that for adapters, as its documentation advises.
    return {"LORA": 2e-4, "QLORA": 2e-4, "DPO": 1e-6, "RLHF": 1e-6}.get(training_type, 2e-5)


def _loss_kind(given: str) -> str | None:
    return given if any(given in losses for losses in LOSS_TYPES.values()) else None


_dpo = frozenset({"DPO"})
_rlhf = frozenset({"RLHF"})
_preference = _dpo | _rlhf
_qlora = frozenset({"QLORA"})

RULES: dict[str, Rule] = {
    # transformers' TrainingArguments
    "learning_rate": Rule(number(0, 10, above=True), EVERY, _learning_rate),
    "num_train_epochs": Rule(number(0, 10_000, above=True), EVERY, 1.0),
    "max_steps": Rule(integer(-1, 100_000_000), EVERY, -1),
    "warmup_steps": Rule(integer(0, 10_000_000), EVERY, 0),
    "warmup_ratio": Rule(number(0, 0.999), EVERY, 0.0),
    "lr_scheduler_type": Rule(one_of(*SCHEDULERS), EVERY, "linear"),
    "weight_decay": Rule(number(0, 10), EVERY, 0.0),
    "adam_beta1": Rule(number(0, 0.999999), EVERY, 0.9),
    "adam_beta2": Rule(number(0, 0.999999), EVERY, 0.999),
    "adam_epsilon": Rule(number(0, 1, above=True), EVERY, 1e-8),
    "max_grad_norm": Rule(number(0, 1_000_000), EVERY, 1.0),
    # As transformers has it; the fused kernel computes the same.
    "optim": Rule(one_of(*OPTIMIZERS), EVERY, "adamw_torch_fused"),
    "gradient_checkpointing": Rule(boolean(), EVERY, False),
    "logging_steps": Rule(integer(1, 1_000_000), EVERY, 10),
    "eval_steps": Rule(integer(1, 10_000_000), EVERY - _rlhf),
    "neftune_noise_alpha": Rule(number(0, 1000, above=True), SUPERVISED),
    # peft's LoraConfig
    "lora_r": Rule(integer(1, 4096), WITH_ADAPTERS, lambda kind: 16 if kind in ("LORA", "QLORA") else None),
    "lora_alpha": Rule(integer(1, 65_536), WITH_ADAPTERS, 32),
    "lora_dropout": Rule(number(0, 0.9), WITH_ADAPTERS, 0.0),
    "lora_target_modules": Rule(words(), WITH_ADAPTERS, ["all-linear"]),
    "lora_bias": Rule(one_of("none", "all", "lora_only"), WITH_ADAPTERS, "none"),
    "use_rslora": Rule(boolean(), WITH_ADAPTERS, False),
    "use_dora": Rule(boolean(), WITH_ADAPTERS, False),
    # transformers' BitsAndBytesConfig
    "bnb_4bit_quant_type": Rule(one_of("nf4", "fp4"), _qlora, "nf4"),
    "bnb_4bit_compute_dtype": Rule(one_of("bfloat16", "float16", "float32"), _qlora, "bfloat16"),
    "bnb_4bit_use_double_quant": Rule(boolean(), _qlora, True),
    # trl's SFTConfig
    "packing": Rule(boolean(), SUPERVISED, lambda kind: kind == "CONTINUED_PRETRAIN"),
    "completion_only_loss": Rule(boolean(), SUPERVISED - {"CONTINUED_PRETRAIN"}),
    "assistant_only_loss": Rule(boolean(), SUPERVISED - {"CONTINUED_PRETRAIN"}, False),
    # trl's DPOConfig and GRPOConfig
    "loss_type": Rule(
        Kind(_loss_kind, "the name of a loss"),
        EVERY,
        lambda kind: {"DPO": "sigmoid", "RLHF": "dapo"}.get(kind, "nll"),
    ),
    "beta": Rule(number(0, 1000), _preference, lambda kind: 0.1 if kind == "DPO" else 0.0),
    "label_smoothing": Rule(number(0, 0.4999), _dpo, 0.0),
    "reference_free": Rule(boolean(), _dpo, False),
    "num_generations": Rule(integer(2, 1024), _rlhf, 8),
    "max_completion_length": Rule(integer(1, 131_072), _rlhf, 256),
    "max_prompt_length": Rule(integer(1, 1_048_576), _rlhf),
    "temperature": Rule(number(0, 100, above=True), _rlhf, 1.0),
    "top_p": Rule(number(0, 1, above=True), _rlhf, 1.0),
    "epsilon": Rule(number(0, 1, above=True), _rlhf, 0.2),
    "algorithm": Rule(one_of("grpo"), _rlhf, "grpo"),
    "reward_model": Rule(text(), _rlhf),
    "reward_function": Rule(text(), _rlhf),
    # data
    "skip_bad_records": Rule(boolean(), EVERY, False),
}

PATH = "training_config.hyperparameters"


def read_hyperparameters(given: dict[str, str], training_type: str) -> tuple[dict[str, Any], list[Problem]]:
    """The hyperparameters in force, defaults filled in, and what is wrong with those given. A name that does not act for the type is a problem."""
    problems: list[Problem] = []
    values: dict[str, Any] = {}
    known = [name for name, rule in RULES.items() if training_type in rule.types]
    for name in known:
        default = RULES[name].default
        values[name] = default(training_type) if callable(default) else default
    for name, raw in (given or {}).items():
        rule = RULES.get(name)
        path = f"{PATH}.{name}"
        if rule is None:
            problems.append(Problem(path, f"Unknown hyperparameter {name}{near_miss(name, known)}."))
        elif training_type not in rule.types:
            acts = ", ".join(kind for kind in TRAINING_TYPES if kind in rule.types)
            problems.append(Problem(path, f"{name} does not act for {training_type}; it does for {acts}."))
        else:
            value = rule.kind.read(str(raw))
            if value is None:
                problems.append(Problem(path, f"{name} must be {rule.kind.text}, not {str(raw)!r}."))
            else:
                values[name] = value
    problems += _combinations(given or {}, values, training_type)
    return values, problems


def _combinations(given: dict[str, str], values: dict[str, Any], training_type: str) -> list[Problem]:
    problems: list[Problem] = []

    def refuse(name: str, message: str) -> None:
        problems.append(Problem(f"{PATH}.{name}", message))

    family = training_type if training_type in ("DPO", "RLHF") else "SFT"
    if values["loss_type"] not in LOSS_TYPES[family]:
        refuse("loss_type", f"{training_type} has the losses {', '.join(LOSS_TYPES[family])}, not {values['loss_type']}.")
    if values["warmup_steps"] and values["warmup_ratio"]:
        refuse("warmup_ratio", "Give warmup_steps or warmup_ratio, not both.")
    if values["max_steps"] == 0:
        refuse("max_steps", "max_steps must be 1 or more, or -1 to train for num_train_epochs.")
    if values["max_steps"] > 0 and "num_train_epochs" in given:
        refuse("num_train_epochs", "Give max_steps or num_train_epochs, not both: with max_steps the epochs follow from it.")
    if training_type in ("DPO", "RLHF") and "lora_r" not in given:
        for name in ("lora_alpha", "lora_dropout", "lora_target_modules", "lora_bias", "use_rslora", "use_dora"):
            if name in given:
                refuse(name, f"{training_type} trains adapters where lora_r is given, all weights otherwise: give lora_r too.")
    if training_type == "RLHF":
        if bool(values["reward_model"]) == bool(values["reward_function"]):
            refuse("reward_function", "RLHF needs either reward_function, the path of a .py file, or reward_model.")
    if values.get("assistant_only_loss") and values.get("completion_only_loss"):
        refuse("completion_only_loss", "Give assistant_only_loss or completion_only_loss, not both.")
    return problems
