"""Megatron-LM is the user's own checkout; here a stub of it that tells what it was asked for."""

from __future__ import annotations

import json
import os
import signal
import threading
import time

import pytest

STUB = """
import json, pathlib, signal, sys, time
words = sys.argv[1:]
save = pathlib.Path(words[words.index("--save") + 1])
save.mkdir(parents=True, exist_ok=True)
(save / "arguments.json").write_text(json.dumps(words))
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
steps = int(words[words.index("--train-iters") + 1])
for step in range(1, steps + 1):
    print(f" [2026-01-01] iteration {step:8d}/{steps:8d} | consumed samples: 8 | elapsed time per iteration (ms): 12.5 | "
          f"learning rate: 1.0E-04 | global batch size: 8 | lm loss: {9 / step:.6E} | loss scale: 1.0 | grad norm: 1.500 |")
    (save / "latest_checkpointed_iteration.txt").write_text(str(step))
    if asked:
        sys.exit(0)
    time.sleep(0.02)
"""


@pytest.fixture
def megatron(job, tmp_path):
    """A job for Megatron-LM: its checkout, a checkpoint and data in its formats."""
    checkout, model = tmp_path / "Megatron-LM", tmp_path / "model"
    checkout.mkdir()
    model.mkdir()
    (checkout / "pretrain_gpt.py").write_text(STUB)
    (model / "latest_checkpointed_iteration.txt").write_text("release")
    for ending in ("bin", "idx"):
        (tmp_path / f"text.{ending}").write_bytes(b"")
    job.training["training_type"] = "CONTINUED_PRETRAIN"
    job.training["base_model"]["model_id"] = str(model)
    job.training["base_model"]["dtype"] = "bfloat16"
    job.training["framework"].update(type="MEGATRON", config={"megatron_path": str(checkout), "micro_batch_size": "2"})
    job.training["hyperparameters"] = {"max_steps": "5", "learning_rate": "0.0001"}
    job.spec["data_config"].update(sources=[{"path": str(tmp_path / "text.bin")}], max_seq_length=128, gradient_accumulation_steps=4)
    return job


def test_megatron_is_run_with_arguments_mapped_from_the_job(megatron, tmp_path):
    attempt = megatron.new_attempt()

    assert attempt.run() == 0

    words = json.loads((attempt.output / "arguments.json").read_text())
    told = {word: words[index + 1] for index, word in enumerate(words[:-1]) if word.startswith("--")}
    assert told["--seq-length"] == "128"
    assert (told["--micro-batch-size"], told["--global-batch-size"]) == ("2", "8")
    assert told["--data-path"] == str(tmp_path / "text")
    assert {"--bf16", "--finetune", "--exit-signal-handler"} <= set(words)
    assert sorted(attempt.losses()) == [1, 2, 3, 4, 5]
    assert attempt.events("progress")[-1]["step"] == 5
    assert attempt.events("artefact")[0]["kind"] == "model"


def test_megatron_stops_at_a_checkpoint_and_goes_on_from_it(megatron):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGUSR1)
    megatron.set(max_steps=1000)
    attempt = megatron.new_attempt()

    def stop() -> None:
        while len(attempt.metrics()) < 3:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop, daemon=True).start()
    assert attempt.run() == 85
    signal.signal(signal.SIGTERM, before[0])
    signal.signal(signal.SIGUSR1, before[1])
    (checkpoint,) = attempt.events("checkpoint")
    assert (attempt.directory / checkpoint["path"] / "manifest.json").is_file()

    megatron.set(max_steps=3)
    megatron.spec["resume_from"] = str(attempt.directory / checkpoint["path"])
    resumed = megatron.new_attempt()
    assert resumed.run() == 0
    words = json.loads((resumed.output / "arguments.json").read_text())
    assert words[words.index("--load") + 1] == megatron.spec["resume_from"]
    assert "--finetune" not in words


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda job, tmp: job.training["framework"]["config"].pop("megatron_path"), "training_config.framework.config.megatron_path"),
        (lambda job, tmp: (tmp / "Megatron-LM" / "pretrain_gpt.py").unlink(), "training_config.framework.config.megatron_path"),
        (lambda job, tmp: (tmp / "text.idx").unlink(), "data_config.sources[0].path"),
        (lambda job, tmp: (tmp / "model" / "latest_checkpointed_iteration.txt").unlink(), "training_config.base_model.model_id"),
        (lambda job, tmp: job.set(neftune_noise_alpha=5), "training_config.hyperparameters.neftune_noise_alpha"),
        (lambda job, tmp: job.set(max_steps=None), "training_config.hyperparameters.max_steps"),
        (
            lambda job, tmp: job.training["framework"]["config"].update(tensor_model_parallel_size="2"),
            "training_config.framework.config.tensor_model_parallel_size",
        ),
    ],
)
def test_what_megatron_lacks_or_does_not_know_is_refused_by_name(megatron, tmp_path, change, field):
    change(megatron, tmp_path)
    attempt = megatron.new_attempt()

    assert attempt.run() == 1

    assert attempt.failure["field"] == field
