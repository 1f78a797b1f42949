"""What goes wrong is told with its class and with what would help."""

from __future__ import annotations

import pytest


def test_a_loss_that_is_not_finite_names_the_first_bad_step_and_its_records(job, monkeypatch):
    from trl import SFTTrainer

    compute = SFTTrainer.compute_loss
    calls = []

    def poisoned(self, model, inputs, **kwargs):
        loss = compute(self, model, inputs, **kwargs)
        calls.append(1)
        return loss * float("nan") if len(calls) == 7 else loss

    monkeypatch.setattr(SFTTrainer, "compute_loss", poisoned)
    job.spec["data_config"].update(batch_size=1, gradient_accumulation_steps=2)
    job.spec["output_config"].update(save_strategy="STEPS", save_steps=1)
    attempt = job.new_attempt()

    assert attempt.run() == 1

    failure = attempt.failure
    assert (failure["class"], failure["first_bad_step"]) == ("NAN_LOSS", 4)
    assert "in the batch of the rows number " in failure["message"]
    assert failure["message"].count("number") == 1
    assert "learning_rate" in failure["hint"]
    assert max(attempt.losses()) == 3
    assert [event["step"] for event in attempt.events("checkpoint")] == [1, 2, 3]


def test_a_gradient_that_explodes_is_a_failure_too(job):
    job.set(learning_rate=10, max_grad_norm=0, optim="sgd", max_steps=200)
    job.training["training_type"] = "SFT"
    job.set(lora_r=None)
    attempt = job.new_attempt()

    assert attempt.run() == 1

    assert attempt.failure["class"] == "NAN_LOSS"


def test_out_of_memory_says_what_would_help_and_what_it_would_save(job, monkeypatch):
    import torch
    from trl import SFTTrainer

    def full(self, *args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(SFTTrainer, "compute_loss", full)
    attempt = job.new_attempt()

    assert attempt.run() == 1

    assert attempt.failure["class"] == "OUT_OF_MEMORY"
    for words in ("batch_size 2 with gradient_accumulation_steps 2", "gradient_checkpointing", "saves about", "QLORA"):
        assert words in attempt.failure["hint"]


def test_out_of_memory_before_training_does_not_blame_the_batch(job, monkeypatch):
    import torch
    from transformers import AutoModelForCausalLM

    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", full)
    attempt = job.new_attempt()

    assert attempt.run() == 1

    assert attempt.failure["class"] == "OUT_OF_MEMORY"
    assert attempt.failure["hint"].startswith("It was full before training began")


def test_dpo_is_advised_to_train_adapters_by_dpo():
    from scaimind_trainer.failures import Facts, memory_hint
    from scaimind_trainer.settings import check_job

    settings, _ = check_job({"training_config": {"training_type": "DPO", "base_model": {"model_id": "org/llama-7b"}}})
    hint = memory_hint(Facts(settings, 7_000_000_000, 7_000_000_000, 2, 4096, 32, 2048))
    assert "hyperparameters.lora_r 16, which trains adapters only" in hint
    assert "training_type LORA" not in hint


def test_a_full_disk_says_what_takes_less():
    import errno

    from scaimind_trainer.failures import Facts, to_failure

    failure = to_failure(OSError(errno.ENOSPC, "No space left on device"), Facts())
    assert "No space left on device" in failure.message
    assert "save_total_limit" in failure.hint


def test_the_estimate_of_memory_is_of_the_right_size():
    from scaimind_trainer.failures import Facts, memory_hint
    from scaimind_trainer.settings import check_job

    spec = {
        "training_config": {"training_type": "FULL_FINETUNE", "base_model": {"model_id": "org/llama-7b"}},
        "data_config": {"batch_size": 8},
    }
    settings, problems = check_job(spec)
    assert problems == []
    hint = memory_hint(Facts(settings, 7_000_000_000, 7_000_000_000, 2, 4096, 32, 2048))
    # 8 x 2048 tokens, 32 layers of 4096: 68 GiB of activations; Adam in 32 bits and gradients: 65 GiB.
    assert "batch_size 4 with gradient_accumulation_steps 2, the same training (saves about 34.0 GiB)" in hint
    assert "gradient_checkpointing true, some 20 to 30 % slower (saves about 54.4 GiB)" in hint
    assert "LORA, which trains adapters only (saves about 64.5 GiB)" in hint
    assert "bfloat16" not in hint
    kept_in_32_bits = memory_hint(Facts(settings, 7_000_000_000, 7_000_000_000, 4, 4096, 32, 2048, computed_bytes=2))
    assert "base_model.dtype bfloat16, in which small steps are lost (saves about 52.2 GiB)" in kept_in_32_bits


@pytest.mark.parametrize(
    ("message", "class_name"),
    [
        ("401 Client Error: Unauthorized for url: https://hub/api", "AUTH"),
        ("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes", "OUT_OF_MEMORY"),
        ("[Rank 0] Watchdog caught collective operation timeout: WorkNCCL", "COLLECTIVE_HANG"),
        ("something else", "CODE"),
    ],
)
def test_exceptions_have_a_class(message, class_name):
    from scaimind_trainer.failures import Facts, to_failure

    assert to_failure(RuntimeError(message), Facts()).class_name == class_name


def test_a_gated_model_is_a_matter_of_access():
    from types import SimpleNamespace

    from huggingface_hub.errors import GatedRepoError
    from scaimind_trainer.failures import Facts, to_failure

    response = SimpleNamespace(status_code=403, headers={}, request=None)
    try:
        try:
            raise GatedRepoError("Access to model m is restricted.", response=response)
        except GatedRepoError as error:
            raise OSError("You are trying to access a gated repo.") from error
    except OSError as error:
        failure = to_failure(error, Facts())

    assert failure.class_name == "AUTH"
    assert "HF_TOKEN" in failure.hint
