"""Each training type that a CPU can run, from job.json to an output that loads again."""

from __future__ import annotations

import json

import torch


def falls(losses: dict[int, float]) -> bool:
    values = [losses[step] for step in sorted(losses)]
    return sum(values[-3:]) / 3 < sum(values[:3]) / 3 - 0.05


def test_lora_trains_an_adapter_that_peft_loads_again(job, tiny_llama):
    job.spec["data_config"]["validation_split"] = 0.25
    attempt = job.new_attempt()

    assert attempt.run() == 0

    assert attempt.phases() == ["PREPARING", "TRAINING", "EVALUATING", "EXPORTING"]
    assert attempt.events()[0]["type"] == "ready"
    assert sorted(attempt.losses()) == list(range(1, 21))
    assert falls(attempt.losses())
    (evaluation,) = attempt.events("evaluation")
    assert evaluation["tuned"]["loss"] < evaluation["base"]["loss"]
    assert len(evaluation["samples"]) == 2
    (artefact,) = attempt.events("artefact")
    assert artefact["kind"] == "adapter"
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "README.md"} <= set(artefact["files"])
    assert artefact["bytes"] == sum(path.stat().st_size for path in attempt.output.iterdir())
    last = attempt.events("progress")[-1]
    assert (last["step"], last["total_steps"]) == (20, 20)
    assert last["tokens_seen"] > 20 * 4 * 50

    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM

    tuned = AutoPeftModelForCausalLM.from_pretrained(attempt.output)
    base = AutoModelForCausalLM.from_pretrained(tiny_llama)
    ids = torch.tensor([[5, 6, 7, 8]])
    assert not torch.allclose(tuned(ids).logits, base(ids).logits)


def test_the_model_card_says_what_it_was_made_from(job):
    job.set(max_steps=2)
    attempt = job.new_attempt()

    assert attempt.run() == 0

    card = (attempt.output / "README.md").read_text()
    for words in ("job job-1, attempt 1", "16 records", "sha256", '"lora_r": 8', '"learning_rate": 0.01', "transformers 5."):
        assert words in card
    assert json.loads((attempt.output / "adapter_config.json").read_text())["r"] == 8
