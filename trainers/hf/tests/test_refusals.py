"""What this trainer does not do it refuses by field, before anything heavy is loaded."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

MAIN = Path(__file__).parent.parent / "main.py"
H = "training_config.hyperparameters"
F = "training_config.framework"
B = "training_config.base_model"


def problems(job) -> dict[str, str]:
    from scaimind_trainer.settings import check_job

    return {problem.path: problem.message for problem in check_job(job.spec)[1]}


def put(job, path: str, value) -> None:
    *parents, last = path.split(".")
    place = job.spec
    for name in parents:
        place[name] = place.get(name) or {}
        place = place[name]
    place[last] = value


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (f"{H}.learning_rat", "0.1", "did you mean learning_rate?"),
        (f"{H}.learning_rate", "fast", "a number above 0 up to 10"),
        (f"{H}.lora_r", "8.5", "a whole number from 1 to 4096"),
        (f"{H}.beta", "0.1", "does not act for LORA; it does for DPO, RLHF"),
        (f"{H}.loss_type", "sigmoid", "LORA has the losses nll, dft"),
        (f"{H}.optim", "adam", "one of adamw_torch"),
        (f"{H}.packing", "yes", "true or false"),
        (f"{H}.num_train_epochs", "2", "max_steps or num_train_epochs, not both"),
        (f"{H}.eval_steps", "5", "give data_config.validation_split"),
        (f"{F}.type", "TPU", "one of HF_TRAINER"),
        (f"{F}.config", {"zero_stage": "2"}, "nothing can be set here"),
        (f"{F}.custom_script_path", "/a.py", "only for framework type CUSTOM"),
        (f"{F}.distributed", {"strategy": "zero3"}, "must be ddp"),
        (f"{F}.distributed", {"backend": "mpi"}, "nccl or gloo"),
        (f"{F}.distributed", {"config": {"bucket_cap": "5"}}, "did you mean bucket_cap_mb?"),
        (f"{B}.source", "huggingface", "is a folder"),
        (f"{B}.revision", "main", "has no revisions"),
        (f"{B}.dtype", "int8", "one of auto"),
        (f"{B}.model_kwargs", {"attn_implementatio": "sdpa"}, "did you mean attn_implementation?"),
        ("data_config.batch_size", 100_000, "a whole number from 1 to 65536"),
        ("data_config.preprocess", {"truncation": "middle"}, "right or left or error"),
        ("data_config.preprocess", {"padding": "max_length"}, "needs data_config.max_seq_length"),
        ("output_config.save_strategy", "BEST", "STEPS, EPOCH or NONE"),
        ("output_config.export_format", "gguf", "exports safetensors"),
    ],
)
def test_a_field_that_cannot_act_is_refused_by_name(job, path, value, words):
    put(job, path, value)

    found = problems(job)

    told = {where: message for where, message in found.items() if where.startswith(path)}
    assert any(words in message for message in told.values()), found


@pytest.mark.parametrize(
    ("kind", "path", "value", "field"),
    [
        ("SFT", f"{H}.lora_r", "8", f"{H}.lora_r"),
        ("FULL_FINETUNE", "output_config.merge_adapter", True, "output_config.merge_adapter"),
        ("FULL_FINETUNE", f"{B}.dtype", "float16", f"{B}.dtype"),
        ("CONTINUED_PRETRAIN", f"{H}.assistant_only_loss", "true", f"{H}.assistant_only_loss"),
        ("CONTINUED_PRETRAIN", "data_config.preprocess", {"truncation": "left"}, "data_config.preprocess.truncation"),
        ("QLORA", f"{F}.type", "FSDP", f"{F}.type"),
        ("DPO", f"{H}.use_dora", "true", f"{H}.use_dora"),
        ("DPO", f"{H}.max_prompt_length", "10", f"{H}.max_prompt_length"),
        ("RLHF", "data_config.validation_split", 0.1, "data_config.validation_split"),
        ("RLHF", f"{H}.algorithm", "ppo", f"{H}.algorithm"),
        ("LORA", f"{F}.type", "MEGATRON", f"{F}.type"),
    ],
)
def test_a_combination_that_cannot_act_is_refused_by_name(job, kind, path, value, field):
    job.training["training_type"] = kind
    if kind not in ("LORA", "QLORA"):
        job.set(lora_r=None)
    put(job, path, value)

    assert field in problems(job)


def test_a_wrong_field_is_told_before_anything_heavy_is_loaded(job):
    job.set(lora_rr=3)
    attempt = job.new_attempt()
    began = time.monotonic()

    ended = subprocess.run([sys.executable, MAIN], env={"SCAIMIND_JOB_DIR": str(attempt.directory), "PATH": ""}, capture_output=True, text=True)

    assert ended.returncode == 1
    assert time.monotonic() - began < 5
    assert [event["type"] for event in attempt.events()] == ["ready", "phase", "failure"]
    assert attempt.failure["field"] == f"{H}.lora_rr"
    assert "did you mean lora_r?" in attempt.failure["message"]
    assert ended.stderr.startswith(f"error: {H}.lora_rr: Unknown hyperparameter")


def test_without_a_job_it_says_how_it_is_used_and_what_it_is(job):
    ended = subprocess.run([sys.executable, MAIN], env={}, capture_output=True, text=True)
    assert ended.returncode == 2
    assert "SCAIMIND_JOB_DIR=DIR" in ended.stderr

    version = json.loads(subprocess.run([sys.executable, MAIN, "--version"], env={}, capture_output=True, text=True).stdout)
    assert version["trainer"] == "hf"
    assert version["packages"]["transformers"].startswith("5.")


def test_qlora_is_refused_where_four_bit_weights_cannot_be_had(job):
    job.training["training_type"] = "QLORA"
    attempt = job.new_attempt()

    assert attempt.run() == 1

    assert attempt.failure["field"] == "training_config.training_type"
    assert "there is no CUDA device here" in attempt.failure["message"]
    assert "LORA" in attempt.failure["hint"]


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (f"{F}.type", "DEEPSPEED", f"{F}.type"),
        (f"{H}.optim", "adamw_8bit", f"{H}.optim"),
        (f"{B}.model_kwargs", {"attn_implementation": "flash_attention_2"}, f"{B}.model_kwargs.attn_implementation"),
        (f"{F}.distributed", {"world_size": 4}, f"{F}.distributed.world_size"),
        (f"{B}.model_id", "/no/such/model", f"{B}.model_id"),
        ("resource_config.gpu_count", 1, "resource_config.gpu_count"),
        (f"{F}", {"type": "FSDP", "config": {"version": "1"}}, f"{F}.config.version"),
        ("data_config.max_seq_length", 1024, "data_config.max_seq_length"),
        (f"{H}.lora_target_modules", "q_proj,v_pro", f"{H}.lora_target_modules"),
        (f"{H}.lora_target_modules", "lm_head", f"{H}.lora_target_modules"),
    ],
)
def test_what_the_environment_or_the_model_lacks_is_refused_by_name(job, path, value, field):
    put(job, path, value)
    attempt = job.new_attempt()

    assert attempt.run() == 1

    assert attempt.failure["field"] == field


@pytest.mark.parametrize(
    ("path", "value", "hint"),
    [
        (f"{F}.type", "DEEPSPEED", "Run scaimind trainers install --extra deepspeed, or give FSDP."),
        (f"{H}.optim", "adamw_8bit", "Run scaimind trainers install --extra qlora, or give adamw_torch."),
    ],
)
def test_a_package_that_is_missing_comes_with_the_command_that_installs_it(job, monkeypatch, path, value, hint):
    from scaimind_trainer.training import distributed

    monkeypatch.setattr(distributed.importlib.util, "find_spec", lambda name: None)
    put(job, path, value)
    attempt = job.new_attempt()

    assert attempt.run() == 1

    assert attempt.failure["hint"] == hint
