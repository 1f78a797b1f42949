"""What records become: which of their tokens are learnt from, and how long rows may be."""

from __future__ import annotations

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
