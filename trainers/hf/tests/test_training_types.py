"""Each training type that a CPU can run, from job.json to an output that loads again."""

from __future__ import annotations

import json
import math

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


def pairs(count: int = 16) -> list[dict]:
    return [{"prompt": f"question {number}: ", "chosen": "yes, certainly", "rejected": "no, never"} for number in range(count)]


def test_sft_and_full_finetune_train_a_whole_model(job):
    job.training["training_type"] = "FULL_FINETUNE"
    job.set(lora_r=None, learning_rate=0.003)
    attempt = job.new_attempt()

    assert attempt.run() == 0

    assert falls(attempt.losses())
    (artefact,) = attempt.events("artefact")
    assert artefact["kind"] == "model"

    from transformers import AutoModelForCausalLM

    AutoModelForCausalLM.from_pretrained(attempt.output)


def test_weights_of_16_bits_are_trained_in_32_so_that_small_steps_are_not_lost(job, tiny_llama, tmp_path, capsys):
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    given = tmp_path / "bfloat16"
    base = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.bfloat16)
    base.save_pretrained(given)
    AutoTokenizer.from_pretrained(tiny_llama).save_pretrained(given)
    before = load_file(given / "model.safetensors")
    job.training.update(training_type="FULL_FINETUNE", base_model={"model_id": str(given), "model_kwargs": {}})
    job.set(lora_r=None, learning_rate=1e-6, max_steps=20, lr_scheduler_type="constant")
    job.spec["output_config"]["save_strategy"] = "STEPS"
    changed = {}
    for dtype in ("", "bfloat16"):
        job.training["base_model"]["dtype"] = dtype
        attempt = job.new_attempt()
        assert attempt.run() == 0
        after = load_file(attempt.output / "model.safetensors")
        assert {weight.dtype for weight in after.values()} == {torch.bfloat16}
        assert json.loads((attempt.output / "config.json").read_text())["use_cache"] is True
        changed[dtype] = sum(int((after[name] != before[name]).sum()) for name in after)
        kept = load_file(attempt.checkpoint(20) / "model.safetensors")
        assert {weight.dtype for weight in kept.values()} == {torch.bfloat16 if dtype else torch.float32}
        assert ("small steps are lost" in capsys.readouterr().out) == bool(dtype)
    assert changed[""] > 5 * changed["bfloat16"]


def test_continued_pretraining_packs_its_texts_into_full_rows(job):
    job.training["training_type"] = "CONTINUED_PRETRAIN"
    job.set(lora_r=None, learning_rate=0.003)
    job.spec["data_config"].update(max_seq_length=64, batch_size=2)
    attempt = job.new_attempt()

    assert attempt.run() == 0

    assert falls(attempt.losses())
    # 2 rows of 64 tokens, but for the one that the texts end in.
    assert attempt.events("progress")[-1]["tokens_seen"] > 20 * 2 * 64 * 0.9


def test_held_out_texts_are_scored_to_their_ends_where_texts_are_packed(job, capsys):
    job.training["training_type"] = "CONTINUED_PRETRAIN"
    job.write_data([{"text": f"{number:02} the quick brown fox " * 40} for number in range(20)])
    job.set(lora_r=None, max_steps=1)
    job.spec["data_config"].update(max_seq_length=64, validation_split=0.15)
    told = {}
    for packing in ("true", "false"):
        job.set(packing=packing)
        attempt = job.new_attempt()
        assert attempt.run() == 0
        (told[packing],) = attempt.events("evaluation")
        cut = "3 of 3 held-out records fill a row of 64 tokens" in capsys.readouterr().out
        assert cut == (packing == "false")
    # Three texts of 23 * 40 characters and an end each, in rows of which the first token is not predicted.
    tokens = 3 * (23 * 40 + 1)
    assert told["true"]["tokens"] == tokens - math.ceil(tokens / 64)
    assert told["false"]["tokens"] == 3 * 63


def test_packed_records_are_learnt_from_like_unpacked_ones(job):
    job.set(packing="true")
    job.spec["data_config"].update(max_seq_length=256, batch_size=1)
    attempt = job.new_attempt()

    assert attempt.run() == 0

    assert falls(attempt.losses())
    assert any(line["values"].get("samples_per_second", 0) > 0 for line in attempt.metrics())


def test_dpo_with_adapters_prefers_the_chosen_answers(job, capsys):
    job.training["training_type"] = "DPO"
    job.write_data(pairs())
    job.set(learning_rate=0.005)
    job.spec["data_config"]["validation_split"] = 0.25
    attempt = job.new_attempt()

    assert attempt.run() == 0

    assert falls(attempt.losses())
    values = attempt.metrics()[-2]["values"]
    assert values["rewards_chosen"] > values["rewards_rejected"]
    assert values["rewards_margin"] > 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("step 20/20 "))
    assert f" rewards_margin {values['rewards_margin']:.4f} rewards_accuracy 1.0000 " in line
    assert attempt.events("artefact")[0]["kind"] == "adapter"
    (evaluation,) = attempt.events("evaluation")
    assert evaluation["tokens"] > 0


def test_dpo_trains_all_weights_without_lora_r_and_needs_no_reference_where_asked(job):
    job.training["training_type"] = "DPO"
    job.write_data(pairs())
    for reference_free in ("false", "true"):
        job.set(lora_r=None, learning_rate=0.001, max_steps=10, reference_free=reference_free)
        attempt = job.new_attempt()
        assert attempt.run() == 0
        assert falls(attempt.losses())
        assert attempt.events("artefact")[0]["kind"] == "model"


REWARD = """
def reward(completions, prompts=None, **columns):
    assert columns["answer"][0] == "e"
    return [sum(letter.isascii() and letter.isalpha() for letter in text) / max(len(text), 1) for text in completions]
"""


def rlhf(job) -> None:
    job.training["training_type"] = "RLHF"
    job.write_data([{"prompt": f"say e {number}", "answer": "e"} for number in range(16)])
    path = job.folder / "reward.py"
    path.write_text(REWARD)
    job.set(
        learning_rate=0.02, max_steps=25, reward_function=path, num_generations=8, max_completion_length=12, beta=0.01
    )
    job.spec["data_config"]["batch_size"] = 16


def test_rlhf_learns_what_a_reward_function_rewards(job, capsys):
    rlhf(job)
    attempt = job.new_attempt()

    assert attempt.run() == 0

    rewards = [line["values"]["reward"] for line in attempt.metrics() if "reward" in line["values"]]
    assert sum(rewards[-4:]) > sum(rewards[:4])
    assert "kl" in attempt.metrics()[-1]["values"]
    assert f" reward {rewards[-1]:.4f} " in capsys.readouterr().out
    assert attempt.events("progress")[-1]["tokens_seen"] > 0


def test_a_reward_function_that_fails_is_named(job):
    rlhf(job)
    path = job.folder / "reward.py"
    for source, words in (
        ("def reward(completions, **columns):\n    return [1.0]\n", "a list of 16 numbers"),
        ("def reward(completions, **columns):\n    raise ValueError('no')\n", "ValueError: no"),
        ("reward = 3\n", "no function reward"),
    ):
        path.write_text(source)
        attempt = job.new_attempt()
        assert attempt.run() == 1
        assert words in attempt.failure["message"]
        assert attempt.failure["class"] == "CODE"
        assert attempt.failure["field"] == "training_config.hyperparameters.reward_function"


def test_rlhf_learns_from_a_reward_model(job, tiny_llama, tmp_path):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    rlhf(job)
    folder = tmp_path / "reward-model"
    AutoModelForSequenceClassification.from_pretrained(tiny_llama, num_labels=1).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_llama).save_pretrained(folder)
    job.set(reward_function=None, reward_model=folder, max_steps=2, beta=None)
    attempt = job.new_attempt()

    assert attempt.run() == 0

    assert all("reward" in line["values"] for line in attempt.metrics())


def test_a_merged_adapter_computes_what_model_and_adapter_do(job):
    job.spec["output_config"]["merge_adapter"] = True
    job.set(max_steps=5)
    attempt = job.new_attempt()

    assert attempt.run() == 0

    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM

    ids = torch.tensor([[5, 6, 7, 8]])
    tuned = AutoPeftModelForCausalLM.from_pretrained(attempt.output)
    merged = AutoModelForCausalLM.from_pretrained(attempt.output / "merged")
    assert torch.allclose(tuned(ids).logits, merged(ids).logits, atol=1e-4)
    assert [event["path"] for event in attempt.events("artefact")] == ["output", "output/merged"]


def test_settings_of_the_optimizer_the_adapter_and_the_data_reach_the_trainer(job):
    job.training["base_model"]["dtype"] = "bfloat16"
    job.spec["data_config"].update(num_workers=1, gradient_accumulation_steps=2)
    job.set(
        max_steps=10,
        learning_rate=0.01,
        lr_scheduler_type="cosine",
        warmup_ratio=0.5,
        optim="adafactor",
        gradient_checkpointing="true",
        neftune_noise_alpha=5,
        use_rslora="true",
        use_dora="true",
        lora_bias="lora_only",
        lora_target_modules="q_proj,v_proj",
        loss_type="dft",
    )
    attempt = job.new_attempt()

    assert attempt.run() == 0

    rates = [line["values"]["learning_rate"] for line in attempt.metrics()]
    assert max(rates) == rates[5] == 0.01
    assert rates[0] < rates[1] < rates[4] > rates[9]
    config = json.loads((attempt.output / "adapter_config.json").read_text())
    assert (config["use_dora"], config["use_rslora"], config["bias"]) == (True, True, "lora_only")
    assert sorted(config["target_modules"]) == ["q_proj", "v_proj"]
    assert attempt.events("progress")[-1]["tokens_seen"] > 10 * 2 * 4 * 50
