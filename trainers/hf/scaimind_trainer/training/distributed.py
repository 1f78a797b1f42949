"""How the processes of an attempt work together: DDP, DeepSpeed's ZeRO, or FSDP."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

import torch

from ..failures import INSTALLED_BY
from ..hyperparameters import BITSANDBYTES_OPTIMIZERS
from ..problems import TrainerFailure
from ..settings import Settings

PATH = "training_config.framework"


def check_processes(settings: Settings) -> None:
    """Throws TrainerFailure where the processes are not those that the submission asks for, or a package is missing."""
    wanted = settings.framework.world_size
    started = int(os.environ.get("WORLD_SIZE") or 1)
    if wanted and wanted != started:
        raise TrainerFailure("UNKNOWN", f"{wanted} processes are asked for, and {started} were started.", field=f"{PATH}.distributed.world_size")
    if settings.gpu_count > 0 and not torch.cuda.is_available():
        raise TrainerFailure("NODE", f"The job has {settings.gpu_count} GPUs, and CUDA finds none here.", field="resource_config.gpu_count")
    if settings.framework.type == "FSDP" and settings.framework.config.get("version") == 1 and not torch.cuda.is_available():
        raise TrainerFailure("UNKNOWN", "FSDP version 1 needs GPUs: give version 2.", field=f"{PATH}.config.version")
    if settings.framework.type == "DEEPSPEED" and importlib.util.find_spec("deepspeed") is None:
        raise TrainerFailure(
            "UNKNOWN",
            "DeepSpeed is not installed in the trainer's environment.",
            field=f"{PATH}.type",
            hint=f"Run {INSTALLED_BY['deepspeed']}, or give FSDP.",
        )
    attention = settings.model.kwargs.get("attn_implementation", "")
    if attention.startswith("flash_attention") and importlib.util.find_spec("flash_attn") is None:
        raise TrainerFailure(
            "UNKNOWN",
            f"{attention} needs flash-attn, which is not installed in the trainer's environment.",
            field="training_config.base_model.model_kwargs.attn_implementation",
            hint=f"Run {INSTALLED_BY['flash_attn']}, or give sdpa.",
        )
    if settings.hyperparameters["optim"] in BITSANDBYTES_OPTIMIZERS and importlib.util.find_spec("bitsandbytes") is None:
        raise TrainerFailure(
            "UNKNOWN",
            f"{settings.hyperparameters['optim']} needs bitsandbytes, which is not installed in the trainer's environment.",
            field="training_config.hyperparameters.optim",
            hint=f"Run {INSTALLED_BY['bitsandbytes']}, or give adamw_torch.",
        )


def distributed_arguments(settings: Settings, *, on_cpu: bool) -> dict[str, Any]:
    """The arguments of transformers' Trainer for the framework."""
    framework = settings.framework
    arguments: dict[str, Any] = {}
    if "timeout_seconds" in framework.distributed:
        arguments["ddp_timeout"] = framework.distributed["timeout_seconds"]
    if int(os.environ.get("WORLD_SIZE") or 1) > 1 and (framework.backend or on_cpu):
        arguments["ddp_backend"] = framework.backend or "gloo"
    if framework.type == "HF_TRAINER":
        # Every trained weight takes part in every step of what is trained here; looking for others costs time.
        arguments["ddp_find_unused_parameters"] = framework.distributed.get("find_unused_parameters", False)
        arguments["ddp_bucket_cap_mb"] = framework.distributed.get("bucket_cap_mb")
    elif framework.type == "FSDP":
        arguments["fsdp"] = True
        arguments["fsdp_config"] = fsdp_config(settings)
    elif framework.type == "DEEPSPEED":
        arguments["deepspeed"] = deepspeed_config(settings)
    return arguments


def fsdp_config(settings: Settings) -> dict[str, Any]:
    """transformers' `fsdp_config`. Checkpoints hold the full state, so that they are HuggingFace folders."""
    given = settings.framework.config
    version = given.get("version", 2)
    strategy = given.get("sharding_strategy", "full_shard")
    config: dict[str, Any] = {
        "version": version,
        "auto_wrap_policy": given.get("auto_wrap_policy", "TRANSFORMER_BASED_WRAP"),
        "cpu_offload": given.get("cpu_offload", False),
        "state_dict_type": "FULL_STATE_DICT",
        # FSDP2 only knows whether weights are given back after the forward pass, which is what tells the two strategies apart.
        "reshard_after_forward": strategy == "full_shard" if version == 2 else strategy,
    }
    for name in ("activation_checkpointing", "min_num_params", "transformer_layer_cls_to_wrap"):
        if name in given:
            config[name] = given[name]
    if config.get("activation_checkpointing") and settings.hyperparameters["gradient_checkpointing"]:
        raise TrainerFailure(
            "UNKNOWN",
            "Give framework.config.activation_checkpointing or hyperparameters.gradient_checkpointing, not both.",
            field=f"{PATH}.config.activation_checkpointing",
        )
    return config


def deepspeed_config(settings: Settings) -> dict[str, Any]:
    """DeepSpeed's configuration; what is `auto` the Trainer fills in from its own arguments."""
    given = settings.framework.config
    stage = given.get("zero_stage", 2)
    zero: dict[str, Any] = {"stage": stage}
    for name in ("overlap_comm", "contiguous_gradients", "reduce_bucket_size", "allgather_bucket_size",
                 "stage3_prefetch_bucket_size", "stage3_param_persistence_threshold"):  # fmt: skip
        if name in given:
            zero[name] = given[name]
    for name in ("offload_optimizer", "offload_param"):
        if given.get(name) == "cpu":
            zero[name] = {"device": "cpu", "pin_memory": settings.data.pin_memory}
    if stage == 3:
        # Without it a checkpoint would hold no weights that anything but DeepSpeed can read.
        zero["stage3_gather_16bit_weights_on_model_save"] = True
    return {
        "zero_optimization": zero,
        "bf16": {"enabled": given.get("bf16", "auto")},
        "fp16": {"enabled": given.get("fp16", "auto")},
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "train_batch_size": "auto",
    }


def shard_on_cpu(trainer: Any) -> None:
    """
    Turns FSDP on where accelerate does not: it shards on accelerators only, and a rehearsal of several processes on CPUs would
    silently be plain data parallelism.
    """
    from accelerate.state import AcceleratorState, PartialState
    from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

    accelerator = trainer.accelerator
    if accelerator.distributed_type != DistributedType.MULTI_CPU or trainer.args.fsdp_plugin_args is None:
        return
    plugin = FullyShardedDataParallelPlugin(**trainer.args.fsdp_plugin_args)
    accelerator.state.fsdp_plugin = plugin
    accelerator.state.distributed_type = DistributedType.FSDP
    AcceleratorState._shared_state["fsdp_plugin"] = plugin
    for state in (AcceleratorState, PartialState):
        state._shared_state["distributed_type"] = DistributedType.FSDP
    trainer.is_fsdp_enabled = True
