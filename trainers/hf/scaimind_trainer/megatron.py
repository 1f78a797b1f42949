"""
Megatron-LM: runs the `pretrain_gpt.py` of the user's own checkout with arguments mapped from the job.

Megatron-LM reads and writes its own formats, so base model, data and output are those: a checkpoint folder of Megatron-LM, data made by
its `tools/preprocess_data.py`, and an output that its converters make a HuggingFace folder of. What it does not know is refused by name.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from .durable import describe_files, publish_folder
from .fence import Fence
from .journal import Journal
from .parsing import object_at
from .problems import TrainerFailure
from .requests import Requests, Stopped
from .settings import Settings

CONFIG = "training_config.framework.config"
H = "training_config.hyperparameters"

ACTING = frozenset(
    {
        "learning_rate", "max_steps", "warmup_steps", "warmup_ratio", "lr_scheduler_type", "weight_decay", "adam_beta1", "adam_beta2",
        "adam_epsilon", "max_grad_norm", "optim", "gradient_checkpointing", "logging_steps", "eval_steps",
    }
)  # fmt: skip
"""The hyperparameters that are mapped to arguments of Megatron-LM."""

SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant", "constant_with_warmup": "constant"}

# Settings of `framework.config` that Megatron-LM knows by the same name, with a dash for each underscore.
PASSED = (
    "tensor_model_parallel_size", "pipeline_model_parallel_size", "context_parallel_size", "num_layers", "hidden_size",
    "ffn_hidden_size", "num_attention_heads", "max_position_embeddings", "tokenizer_type", "tokenizer_model", "vocab_file", "merge_file",
)  # fmt: skip
SWITCHES = ("swiglu", "sequence_parallel", "use_distributed_optimizer")

TRACKER = "latest_checkpointed_iteration.txt"

LINE = re.compile(r"iteration\s+(\d+)/\s*(\d+)\s*\|")
VALUES = {
    "loss": re.compile(r"lm loss:\s*([-+.\dEe]+|nan|inf)"),
    "grad_norm": re.compile(r"grad norm:\s*([-+.\dEe]+)"),
    "learning_rate": re.compile(r"learning rate:\s*([-+.\dEe]+)"),
}
STEP_MS = re.compile(r"elapsed time per iteration \(ms\):\s*([.\d]+)")


def run_megatron(
    job: dict[str, Any], settings: Settings, *, directory: Path, journal: Journal, fence: Fence, requests: Requests
) -> None:
    """Runs this rank's part of Megatron-LM to its end. Throws Stopped once a requested stop is done, TrainerFailure for what is refused or fails."""
    world_size, rank = int(os.environ.get("WORLD_SIZE") or 1), int(os.environ.get("RANK") or 0)
    script = find_script(settings)
    written = directory / ".megatron.saving"
    arguments = megatron_arguments(job, settings, save=written, world_size=world_size)
    journal.phase("TRAINING")
    process = subprocess.Popen(
        [sys.executable, "-u", str(script), *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    # Megatron-LM tells its steps on the last rank, which so is the one to tell them here.
    teller = Journal(directory, fence, 0) if rank == world_size - 1 else None
    last = _follow(process, teller, fence, requests)
    code = process.wait()
    if requests.stop:
        if rank == 0 and requests.save_on_stop and (written / TRACKER).is_file():
            _publish_checkpoint(written, directory, journal, fence)
        raise Stopped
    if code != 0:
        raise TrainerFailure("CODE", f"Megatron-LM ended with {code}: {last}")
    if rank == 0:
        journal.phase("EXPORTING")
        files = describe_files(written)
        publish_folder(written, directory / "output", fence.check)
        size = sum(file["bytes"] for file in files.values())
        journal.event({"type": "artefact", "kind": "model", "path": "output", "files": list(files), "bytes": size})


def find_script(settings: Settings) -> Path:
    """`pretrain_gpt.py` of the checkout that the job or the operator names. Throws TrainerFailure where there is none."""
    given = settings.framework.config.get("megatron_path")
    checkout = given or os.environ.get("SCAIMIND_MEGATRON_PATH")
    if not checkout:
        raise TrainerFailure(
            "UNKNOWN",
            "Megatron-LM is not installed here: name a checkout of https://github.com/NVIDIA/Megatron-LM.",
            field=f"{CONFIG}.megatron_path",
            hint="The operator may set SCAIMIND_MEGATRON_PATH for all jobs.",
        )
    script = Path(checkout) / "pretrain_gpt.py"
    if not script.is_file():
        reason = "has no pretrain_gpt.py" if Path(checkout).is_dir() else "does not exist"
        raise TrainerFailure("UNKNOWN", f"{checkout} is no checkout of Megatron-LM: it {reason}.", field=f"{CONFIG}.megatron_path")
    return script


def megatron_arguments(job: dict[str, Any], settings: Settings, *, save: Path, world_size: int) -> list[str]:
    """The arguments of `pretrain_gpt.py`. Throws TrainerFailure that names the field that Megatron-LM has no use for, or lacks."""
    config, values, data = settings.framework.config, settings.hyperparameters, settings.data
    given = object_at(job, H)
    for name in given:
        if name not in ACTING:
            raise TrainerFailure("UNKNOWN", f"{name} does not act with MEGATRON.", field=f"{H}.{name}")
    if values["max_steps"] < 1:
        raise TrainerFailure("UNKNOWN", "Megatron-LM counts steps, not epochs: give max_steps.", field=f"{H}.max_steps")
    if values["lr_scheduler_type"] not in SCHEDULES:
        raise TrainerFailure("UNKNOWN", f"Megatron-LM has the schedules {', '.join(SCHEDULES)}.", field=f"{H}.lr_scheduler_type")
    if not values["optim"].startswith("adamw_torch"):
        raise TrainerFailure("UNKNOWN", "With MEGATRON the optimizer is Adam: leave optim out.", field=f"{H}.optim")
    if not data.max_seq_length:
        raise TrainerFailure("UNKNOWN", "Megatron-LM needs the tokens of a row.", field="data_config.max_seq_length")
    split = 1
    for name in ("tensor_model_parallel_size", "pipeline_model_parallel_size", "context_parallel_size"):
        split *= config.get(name, 1)
    if world_size % split:
        raise TrainerFailure("UNKNOWN", f"{world_size} processes cannot be split in {split} parts of a model.", field=f"{CONFIG}.tensor_model_parallel_size")
    micro = config.get("micro_batch_size", data.batch_size)
    whole = config.get("global_batch_size", micro * data.gradient_accumulation_steps * (world_size // split))
    if whole % (micro * (world_size // split)):
        raise TrainerFailure("UNKNOWN", f"global_batch_size must be a multiple of {micro * (world_size // split)}.", field=f"{CONFIG}.global_batch_size")

    words: list[Any] = [
        "--seq-length", data.max_seq_length, "--micro-batch-size", micro, "--global-batch-size", whole,
        "--train-iters", values["max_steps"], "--lr", values["learning_rate"], "--lr-decay-style", SCHEDULES[values["lr_scheduler_type"]],
        "--weight-decay", values["weight_decay"], "--adam-beta1", values["adam_beta1"], "--adam-beta2", values["adam_beta2"],
        "--adam-eps", values["adam_epsilon"], "--clip-grad", values["max_grad_norm"], "--seed", data.seed % 2**31,
        "--log-interval", values["logging_steps"], "--num-workers", data.num_workers, "--save", save, "--exit-signal-handler",
        "--split", f"{100 * (1 - data.validation_split):g},{100 * data.validation_split:g},0", "--data-path", *_data_prefixes(job),
    ]  # fmt: skip
    if values["warmup_ratio"]:
        words += ["--lr-warmup-fraction", values["warmup_ratio"]]
    elif values["warmup_steps"]:
        words += ["--lr-warmup-iters", values["warmup_steps"]]
    words += ["--eval-iters", 10, "--eval-interval", values["eval_steps"]] if values["eval_steps"] else ["--eval-iters", 0]
    if settings.output.save_strategy == "STEPS":
        words += ["--save-interval", settings.output.save_steps]
    if settings.model.dtype in ("bfloat16", "float16"):
        words += ["--bf16" if settings.model.dtype == "bfloat16" else "--fp16"]
    if values["gradient_checkpointing"]:
        words += ["--recompute-activations"]
    for name in PASSED:
        if name in config:
            words += [f"--{name.replace('_', '-')}", config[name]]
    if "num_query_groups" in config:
        words += ["--group-query-attention", "--num-query-groups", config["num_query_groups"]]
    if config.get("use_rotary_position_embeddings"):
        words += ["--position-embedding-type", "rope"]
    words += [f"--{name.replace('_', '-')}" for name in SWITCHES if config.get(name)]
    return [str(word) for word in [*words, *_load_words(settings)]]


def _load_words(settings: Settings) -> list[Any]:
    if settings.resume_from:
        return ["--load", settings.resume_from]
    folder = Path(settings.model.model_id)
    if not (folder / TRACKER).is_file():
        raise TrainerFailure(
            "UNKNOWN",
            f"Megatron-LM starts from its own checkpoints, and {folder} has no {TRACKER}.",
            field="training_config.base_model.model_id",
            hint="Convert the model with tools/checkpoint/convert.py of Megatron-LM, and name the folder that it makes.",
        )
    return ["--load", folder, "--finetune", "--use-checkpoint-args"]


def _data_prefixes(job: dict[str, Any]) -> list[str]:
    """Megatron-LM's names of data: a path without `.bin`, which has that file and `.idx` beside it. Weights come before."""
    words: list[str] = []
    for index, source in enumerate(object_at(job, "data_config").get("sources") or []):
        prefix = source["path"].removesuffix(".bin").removesuffix(".idx")
        if not (Path(f"{prefix}.bin").is_file() and Path(f"{prefix}.idx").is_file()):
            raise TrainerFailure(
                "DATA",
                f"{source['path']} is no data of Megatron-LM: a .bin with its .idx, as tools/preprocess_data.py makes them.",
                field=f"data_config.sources[{index}].path",
            )
        for name in ("columns", "filters", "split"):
            if source.get(name):
                raise TrainerFailure("DATA", f"{name} does not act on data of Megatron-LM.", field=f"data_config.sources[{index}].{name}")
        weight = (source.get("sampling") or {}).get("weight")
        words += [weight, prefix] if weight else [prefix]
    return words


def _follow(process: subprocess.Popen[str], teller: Journal | None, fence: Fence, requests: Requests) -> str:
    """Passes its output on, tells its steps, and passes a stop on to it. Answers the last line."""
    last, passed_on = "", False

    def pass_on(_signal: int, _frame: object) -> None:
        nonlocal passed_on
        before(_signal, _frame)
        if not passed_on:
            passed_on = True
            # Without a checkpoint there is nothing that its own handler would be needed for.
            process.send_signal(signal.SIGTERM if requests.save_on_stop else signal.SIGKILL)

    before: Any = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, pass_on)
    assert process.stdout
    for line in process.stdout:
        last = line.strip() or last
        print(line, end="", flush=True)
        fence.check(1.0)
        if teller:
            _tell(teller, line)
    return last


def _tell(journal: Journal, line: str) -> None:
    found = LINE.search(line)
    if not found:
        return
    step, total = int(found[1]), int(found[2])
    values = {name: float(match[1]) for name, pattern in VALUES.items() if (match := pattern.search(line))}
    journal.metrics(step, 0, values)
    duration = STEP_MS.search(line)
    left = round(float(duration[1]) / 1000 * (total - step)) if duration else None
    journal.event({"type": "progress", "step": step, "total_steps": total, "eta_seconds": left})


def _publish_checkpoint(written: Path, directory: Path, journal: Journal, fence: Fence) -> None:
    step = int((written / TRACKER).read_text())
    manifest = {"version": 1, "step": step, "files": describe_files(written)}
    (written / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    journal.phase("CHECKPOINTING")
    path = f"checkpoints/step-{step}"
    publish_folder(written, directory / path, fence.check)
    size = sum(file["bytes"] for file in manifest["files"].values())
    journal.event({"type": "checkpoint", "checkpoint_id": f"step-{step}", "step": step, "path": path, "bytes": size, "metrics": {}})
