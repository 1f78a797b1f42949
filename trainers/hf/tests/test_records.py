"""What records become: which of their tokens are learnt from, and how long rows may be."""

from __future__ import annotations

import logging

import numpy
import pytest


@pytest.fixture
def learnt(monkeypatch):
    """The rows that trl's trainer is given, as text: all of it, and what is learnt from."""
    from trl import SFTTrainer

    rows: list[tuple[str, str]] = []
    prepare = SFTTrainer._prepare_dataset

    def spy(self, dataset, tokenizer, *args, **kwargs):
        prepared = prepare(self, dataset, tokenizer, *args, **kwargs)
        for row in prepared:
            tokens = [token for token, label in zip(row["input_ids"], row["labels"], strict=True) if label != -100]
            rows.append((tokenizer.decode(row["input_ids"]), tokenizer.decode(tokens)))
        return prepared

    monkeypatch.setattr(SFTTrainer, "_prepare_dataset", spy)
    return rows


CHAT = [
    {
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "hello"},
            {"role": "user", "content": "bye"},
            {"role": "assistant", "content": "ciao"},
        ]
    }
] * 4
COMPLETIONS = [{"prompt": "two and two is ", "completion": "four"}] * 4


def test_messages_are_rendered_by_the_chat_template_and_learnt_from_whole(job, learnt):
    job.write_data(CHAT)
    job.set(max_steps=1)
    assert job.new_attempt().run() == 0
    whole, tokens = learnt[0]
    assert whole == "<|user|>hi<|assistant|>hello</s><|user|>bye<|assistant|>ciao</s>"
    assert tokens == whole


def test_assistant_only_loss_learns_from_the_answers_alone(job, learnt):
    job.write_data(CHAT)
    job.set(max_steps=1, assistant_only_loss="true")
    assert job.new_attempt().run() == 0
    assert learnt[0][1] == "hello</s>ciao</s>"


def test_the_submissions_chat_template_is_used(job, learnt):
    job.write_data(CHAT)
    job.set(max_steps=1)
    job.spec["data_config"]["preprocess"] = {"chat_template": "{% for m in messages %}[{{ m['content'] }}]{% endfor %}"}
    assert job.new_attempt().run() == 0
    assert learnt[0][0] == "[hi][hello][bye][ciao]"


def test_of_prompt_and_completion_only_the_completion_is_learnt_from_unless_told_otherwise(job, learnt):
    job.write_data(COMPLETIONS)
    job.set(max_steps=1)
    assert job.new_attempt().run() == 0
    assert learnt.pop() == ("two and two is four</s>", "four</s>")
    learnt.clear()

    job.set(completion_only_loss="false")
    assert job.new_attempt().run() == 0
    assert learnt[0] == ("two and two is four</s>", "two and two is four</s>")


def test_the_ends_of_records_are_marked_as_the_submission_says(job, learnt):
    job.write_data(COMPLETIONS)
    job.set(max_steps=1)
    job.spec["data_config"]["preprocess"] = {"add_bos": True, "add_eos": False}
    assert job.new_attempt().run() == 0
    assert learnt[0] == ("<s>two and two is four", "four")


def test_rows_are_cut_on_the_side_that_the_submission_says_or_refused(job, learnt):
    job.write_data([{"text": "abcdefghijklmnop"}] * 4)
    job.set(max_steps=1)
    job.spec["data_config"]["max_seq_length"] = 8
    for side, expected in (("right", "abcdefgh"), ("left", "jklmnop</s>")):
        learnt.clear()
        job.spec["data_config"]["preprocess"] = {"truncation": side}
        assert job.new_attempt().run() == 0
        assert learnt[0][0] == expected

    job.spec["data_config"]["preprocess"] = {"truncation": "error"}
    attempt = job.new_attempt()
    assert attempt.run() == 1
    assert attempt.failure["message"] == "Record 0 of the training data has 17 tokens, and a row has at most 8."
    assert attempt.failure["class"] == "DATA"


def test_a_record_that_is_cut_is_no_cause_for_remarks_of_the_tokenizer(job, caplog, monkeypatch):
    # Where transformers writes was settled when it was imported.
    monkeypatch.setattr(logging.getLogger("transformers.tokenization_utils_base"), "handlers", [caplog.handler])
    job.write_data([{"text": "far longer than the model's 256 positions " * 10}] * 4)
    job.set(max_steps=1)
    assert job.new_attempt().run() == 0
    assert caplog.messages == []


def test_rows_are_padded_to_the_longest_or_to_the_most_that_a_row_may_have(job, monkeypatch):
    from trl import SFTTrainer

    widths = []
    step = SFTTrainer.training_step

    def spy(self, model, inputs, *args, **kwargs):
        widths.append(inputs["input_ids"].shape[1])
        return step(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(SFTTrainer, "training_step", spy)
    job.write_data([{"text": "abc"}] * 4)
    job.set(max_steps=1)
    job.spec["data_config"]["max_seq_length"] = 32
    for padding in ("longest", "max_length"):
        job.spec["data_config"]["preprocess"] = {"padding": padding}
        assert job.new_attempt().run() == 0
    assert widths == [4, 32]


@pytest.mark.parametrize(
    ("hyperparameter", "records", "field"),
    [
        ("completion_only_loss", CHAT, "training_config.hyperparameters.completion_only_loss"),
        ("assistant_only_loss", COMPLETIONS, "training_config.hyperparameters.assistant_only_loss"),
    ],
)
def test_a_loss_that_the_records_have_no_part_for_is_refused(job, hyperparameter, records, field):
    job.write_data(records)
    job.set(**{hyperparameter: "true"})
    attempt = job.new_attempt()
    assert attempt.run() == 1
    assert attempt.failure["field"] == field


def test_records_with_nothing_to_learn_from_within_a_row_are_counted(job, capsys):
    long, short = {"prompt": "hi " * 20, "completion": "a"}, {"prompt": "hi", "completion": "a"}
    job.write_data([long] * 3 + [short])
    job.set(max_steps=1)
    job.spec["data_config"]["max_seq_length"] = 16
    assert job.new_attempt().run() == 0
    assert "3 of 4 records for training are left out: of each, nothing that is learnt from lies within the 16 tokens of a row" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["SFT", "DPO"])
def test_held_out_records_with_nothing_to_measure_are_refused(job, kind, monkeypatch):
    from scaimind_trainer.data import load

    # Of the contents the longer one is held out.
    monkeypatch.setattr(load, "set_aside", lambda digests, share, seed: [numpy.array([False, False, False, True])])
    job.training["training_type"] = kind
    answer = {"completion": "a"} if kind == "SFT" else {"chosen": "a", "rejected": "b"}
    job.write_data([{"prompt": "hi", **answer}] * 3 + [{"prompt": "hi " * 20, **answer}])
    job.set(max_steps=1, lora_r=None)
    job.spec["data_config"].update(max_seq_length=16, validation_split=0.25)
    attempt = job.new_attempt()
    assert attempt.run() == 1
    assert attempt.failure["message"].startswith("No record is left for validation")
    assert attempt.failure["field"] == "data_config.max_seq_length"


@pytest.mark.parametrize(
    ("template", "hyperparameters", "field"),
    [
        ("{{ raise_exception('System role not supported') }}", {}, "data_config.preprocess.chat_template"),
        ("{% for m in messages %}{{ m['content']", {}, "data_config.preprocess.chat_template"),
        ("{{ messages[0]['content'] }}", {"assistant_only_loss": "true"}, "training_config.hyperparameters.assistant_only_loss"),
    ],
)
def test_a_chat_template_that_does_not_take_the_records_is_to_blame(job, template, hyperparameters, field):
    job.write_data(CHAT)
    job.set(max_steps=1, **hyperparameters)
    job.spec["data_config"]["preprocess"] = {"chat_template": template}
    attempt = job.new_attempt()
    assert attempt.run() == 1
    assert (attempt.failure["class"], attempt.failure["field"]) == ("DATA", field)


@pytest.mark.parametrize("kind", ["SFT", "DPO", "RLHF"])
def test_messages_without_a_chat_template_are_refused(job, kind, monkeypatch):
    from transformers import PreTrainedTokenizerFast

    load = PreTrainedTokenizerFast.from_pretrained.__func__

    def without_template(cls, *args, **kwargs):
        tokenizer = load(cls, *args, **kwargs)
        tokenizer.chat_template = None
        return tokenizer

    monkeypatch.setattr(PreTrainedTokenizerFast, "from_pretrained", classmethod(without_template))
    job.training["training_type"] = kind
    reward = job.folder / "reward.py"
    reward.write_text("def reward(completions, **columns):\n    return [0.0] * len(completions)\n")
    job.set(max_steps=1, lora_r=None, **({"reward_function": reward, "num_generations": 4} if kind == "RLHF" else {}))
    question, answer = [CHAT[0]["messages"][0]], [CHAT[0]["messages"][1]]
    records = {"SFT": CHAT[0], "DPO": {"prompt": question, "chosen": answer, "rejected": question}, "RLHF": {"prompt": question}}
    job.write_data([records[kind]] * 4)
    attempt = job.new_attempt()
    assert attempt.run() == 1
    assert attempt.failure["field"] == "data_config.preprocess.chat_template"
