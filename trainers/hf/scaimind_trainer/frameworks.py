"""What runs the training loop: `training_config.framework`, read strictly."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .parsing import Kind, Problem, boolean, integer, is_unset, object_at, one_of, read_map, text, words

PATH = "training_config.framework"

FRAMEWORKS = ("HF_TRAINER", "DEEPSPEED", "FSDP", "MEGATRON")

SHARDING_STRATEGIES = ("full_shard", "shard_grad_op", "no_shard", "hybrid_shard", "hybrid_shard_zero2")

CONFIG: dict[str, dict[str, Kind]] = {
    "HF_TRAINER": {},
    "DEEPSPEED": {
        "zero_stage": integer(0, 3),
        "offload_optimizer": one_of("none", "cpu"),
        "offload_param": one_of("none", "cpu"),
        "bf16": boolean(),
        "fp16": boolean(),
        "overlap_comm": boolean(),
        "contiguous_gradients": boolean(),
        "reduce_bucket_size": integer(1, 10**12),
        "allgather_bucket_size": integer(1, 10**12),
        "stage3_prefetch_bucket_size": integer(1, 10**12),
        "stage3_param_persistence_threshold": integer(0, 10**12),
    },
    "FSDP": {
        "sharding_strategy": one_of(*SHARDING_STRATEGIES),
        "auto_wrap_policy": one_of("TRANSFORMER_BASED_WRAP", "SIZE_BASED_WRAP", "NO_WRAP"),
        "transformer_layer_cls_to_wrap": words(),
        "min_num_params": integer(1, 10**12),
        "cpu_offload": boolean(),
        "version": integer(1, 2),
        "activation_checkpointing": boolean(),
    },
    "MEGATRON": {
        "megatron_path": text(),
        "tensor_model_parallel_size": integer(1, 1024),
        "pipeline_model_parallel_size": integer(1, 1024),
        "context_parallel_size": integer(1, 1024),
        "micro_batch_size": integer(1, 65_536),
        "global_batch_size": integer(1, 1_000_000),
        "num_layers": integer(1, 10_000),
        "hidden_size": integer(1, 1_000_000),
        "ffn_hidden_size": integer(1, 10_000_000),
        "num_attention_heads": integer(1, 10_000),
        "num_query_groups": integer(1, 10_000),
        "max_position_embeddings": integer(1, 100_000_000),
        "tokenizer_type": text(),
        "tokenizer_model": text(),
        "vocab_file": text(),
        "merge_file": text(),
        "swiglu": boolean(),
        "use_rotary_position_embeddings": boolean(),
        "sequence_parallel": boolean(),
        "use_distributed_optimizer": boolean(),
    },
}

# `distributed.strategy` is the framework's own word for how the work is split; what it stands for in `config`.
STRATEGIES: dict[str, dict[str, tuple[str, Any] | None]] = {
    "HF_TRAINER": {"ddp": None},
    "DEEPSPEED": {f"zero{stage}": ("zero_stage", stage) for stage in range(4)},
    "FSDP": {strategy: ("sharding_strategy", strategy) for strategy in SHARDING_STRATEGIES},
    "MEGATRON": {},
}

DISTRIBUTED: dict[str, dict[str, Kind]] = {
    "HF_TRAINER": {
        "timeout_seconds": integer(1, 604_800),
        "find_unused_parameters": boolean(),
        "bucket_cap_mb": integer(1, 100_000),
    },
    "DEEPSPEED": {"timeout_seconds": integer(1, 604_800)},
    "FSDP": {"timeout_seconds": integer(1, 604_800)},
    "MEGATRON": {"timeout_seconds": integer(1, 604_800)},
}


@dataclass(frozen=True)
class FrameworkSettings:
    """The framework, its own settings by name (only those given), and how its processes work together."""

    type: str
    config: dict[str, Any] = field(default_factory=dict)
    world_size: int = 0
    backend: str = ""
    distributed: dict[str, Any] = field(default_factory=dict)


def read_framework(job: dict[str, Any], training_type: str, problems: list[Problem]) -> FrameworkSettings:
    """Reads `training_config.framework`; what cannot act with the training type is a problem."""
    fields = object_at(job, PATH)
    kind = fields.get("type") or "HF_TRAINER"
    if kind == "CUSTOM":
        problems.append(Problem(f"{PATH}.type", "CUSTOM runs a script of yours, not this trainer."))
        kind = "HF_TRAINER"
    elif kind not in FRAMEWORKS:
        problems.append(Problem(f"{PATH}.type", f"The framework must be one of {', '.join(FRAMEWORKS)}, not {kind}."))
        kind = "HF_TRAINER"
    if not is_unset(fields.get("custom_script_path")):
        problems.append(Problem(f"{PATH}.custom_script_path", "A script is run only for framework type CUSTOM."))
    config = read_map(f"{PATH}.config", fields.get("config"), CONFIG[kind], problems)
    distributed = fields.get("distributed") or {}
    strategy = distributed.get("strategy") or ""
    if strategy:
        _apply_strategy(kind, strategy, config, problems)
    backend = distributed.get("backend") or ""
    if backend not in ("", "nccl", "gloo"):
        problems.append(Problem(f"{PATH}.distributed.backend", f"backend must be nccl or gloo, not {backend}."))
    _refuse_combinations(kind, config, training_type, problems)
    return FrameworkSettings(
        type=kind,
        config=config,
        world_size=int(distributed.get("world_size") or 0),
        backend=backend,
        distributed=read_map(f"{PATH}.distributed.config", distributed.get("config"), DISTRIBUTED[kind], problems),
    )


def _apply_strategy(kind: str, strategy: str, config: dict[str, Any], problems: list[Problem]) -> None:
    path = f"{PATH}.distributed.strategy"
    known = STRATEGIES[kind]
    if strategy not in known:
        wanted = f"must be {' or '.join(known)}" if known else "is not used"
        problems.append(Problem(path, f"With {kind} the strategy {wanted}, not {strategy}."))
        return
    entry = known[strategy]
    if entry is None:
        return
    name, value = entry
    if config.setdefault(name, value) != value:
        problems.append(Problem(path, f"The strategy {strategy} contradicts framework.config.{name} = {config[name]}."))


def _refuse_combinations(kind: str, config: dict[str, Any], training_type: str, problems: list[Problem]) -> None:
    def refuse(path: str, message: str) -> None:
        problems.append(Problem(f"{PATH}.{path}", message))

    if kind == "DEEPSPEED":
        stage = config.get("zero_stage", 2)
        if training_type == "QLORA" and stage == 3:
            refuse("config.zero_stage", "QLORA does not work with ZeRO stage 3, which would split the 4-bit weights: give 0, 1 or 2.")
        if config.get("offload_param") == "cpu" and stage != 3:
            refuse("config.offload_param", "Parameters can be offloaded only with zero_stage 3.")
        if config.get("offload_optimizer") == "cpu" and stage == 0:
            refuse("config.offload_optimizer", "The optimizer can be offloaded only with zero_stage 1, 2 or 3.")
        if config.get("bf16") and config.get("fp16"):
            refuse("config.fp16", "Give bf16 or fp16, not both.")
    if kind == "FSDP":
        if training_type == "QLORA":
            refuse("type", "QLORA does not run under FSDP in this trainer: give HF_TRAINER, or DEEPSPEED with zero_stage 0, 1 or 2.")
        if config.get("version", 2) == 2 and config.get("sharding_strategy") in ("no_shard", "hybrid_shard", "hybrid_shard_zero2"):
            refuse("config.sharding_strategy", f"{config['sharding_strategy']} is of FSDP version 1: give version 1 too.")
        if "min_num_params" in config and config.get("auto_wrap_policy") != "SIZE_BASED_WRAP":
            refuse("config.min_num_params", "min_num_params acts only with auto_wrap_policy SIZE_BASED_WRAP.")
        if "transformer_layer_cls_to_wrap" in config and config.get("auto_wrap_policy", "TRANSFORMER_BASED_WRAP") != "TRANSFORMER_BASED_WRAP":
            refuse("config.transformer_layer_cls_to_wrap", "It acts only with auto_wrap_policy TRANSFORMER_BASED_WRAP.")
    if kind == "MEGATRON" and training_type not in ("CONTINUED_PRETRAIN", "FULL_FINETUNE"):
        refuse("type", f"Megatron-LM's pretrain_gpt.py trains all weights on text; it does not do {training_type}.")
