"""The arguments that transformers' Trainer gets, of every family."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..settings import Settings
from .distributed import distributed_arguments


def training_arguments(settings: Settings, directory: Path, dtype: torch.dtype) -> dict[str, Any]:
    """
    The arguments by name. Checkpoints, metrics and the log are ours, so the Trainer's own are off; it logs every step, which is where
    metrics come from.
    """
    values, data = settings.hyperparameters, settings.data
    on_cpu = uses_cpu(settings)
    return {
        "output_dir": str(saving_folder(directory)),
        "learning_rate": values["learning_rate"],
        "num_train_epochs": values["num_train_epochs"],
        "max_steps": values["max_steps"],
        # A fraction below 1 is a share of all steps.
        "warmup_steps": values["warmup_steps"] or values["warmup_ratio"],
        "lr_scheduler_type": values["lr_scheduler_type"],
        "weight_decay": values["weight_decay"],
        "adam_beta1": values["adam_beta1"],
        "adam_beta2": values["adam_beta2"],
        "adam_epsilon": values["adam_epsilon"],
        "max_grad_norm": values["max_grad_norm"],
        "optim": values["optim"],
        "activation_checkpointing": values["gradient_checkpointing"],
        "neftune_noise_alpha": values.get("neftune_noise_alpha"),
        "per_device_train_batch_size": data.batch_size,
        "per_device_eval_batch_size": data.batch_size,
        "gradient_accumulation_steps": data.gradient_accumulation_steps,
        "dataloader_num_workers": data.num_workers,
        "dataloader_pin_memory": data.pin_memory,
        # numpy takes seeds of 32 bits.
        "seed": data.seed % 2**32,
        "data_seed": data.seed % 2**32,
        "bf16": dtype == torch.bfloat16,
        "fp16": dtype == torch.float16,
        "use_cpu": on_cpu,
        "eval_strategy": "steps" if values.get("eval_steps") else "no",
        "eval_steps": values.get("eval_steps"),
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "log_level": "warning",
        **distributed_arguments(settings, on_cpu=on_cpu),
    }


def uses_cpu(settings: Settings) -> bool:
    """Whether it runs on CPUs: where the job has no GPUs, or there is none."""
    return settings.gpu_count == 0 or not torch.cuda.is_available()


def saving_folder(directory: Path) -> Path:
    """Where the Trainer writes a checkpoint before it gets its name."""
    return directory / "checkpoints" / ".saving"
