"""What the models before and after training are made to continue, whatever the held-out records hold."""

from __future__ import annotations

import pytest

SYSTEM, USER, ASSISTANT = ({"role": role, "content": content} for role, content in (("system", "be kind"), ("user", "hi"), ("assistant", "hello")))
FORTY = "the quick brown fox jumps over the dogs "


@pytest.mark.parametrize(
    ("record", "prompt"),
    [
        ({"text": FORTY + "and cats"}, FORTY),
        ({"prompt": FORTY * 2, "completion": "a"}, FORTY * 2),
        ({"prompt": "", "completion": FORTY + "and cats"}, FORTY),
        ({"prompt": [USER], "completion": [ASSISTANT]}, "<|user|>hi<|assistant|>"),
        ({"messages": [USER, ASSISTANT, USER, ASSISTANT, USER]}, "<|user|>hi<|assistant|>hello</s><|user|>hi<|assistant|>"),
        ({"messages": [ASSISTANT]}, "hello"),
        ({"prompt": "say it: ", "chosen": "it", "rejected": "that"}, "say it: "),
        ({"chosen": "say it: it", "rejected": "say it: that"}, "say it: it"),
        ({"chosen": [USER, ASSISTANT], "rejected": [USER, USER]}, "<|user|>hi<|assistant|>"),
    ],
)
def test_a_sample_begins_with_what_a_record_says_before_its_answer(tiny_llama, record, prompt):
    from scaimind_trainer.final_evaluation import prompt_of
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    text, ids = prompt_of(record, tokenizer)
    assert text == prompt
    assert tokenizer.decode(ids) == prompt


def test_a_template_that_refuses_a_conversation_without_its_answer_spoils_no_run(job):
    job.write_data([{"messages": [SYSTEM, {**ASSISTANT, "content": f"hello {number}"}]} for number in range(4)])
    template = "{% if messages[-1]['role'] == 'system' %}{{ raise_exception('No user query') }}{% endif %}{{ messages[-1]['content'] }}"
    job.spec["data_config"].update(validation_split=0.25, preprocess={"chat_template": template})
    job.set(max_steps=1)
    attempt = job.new_attempt()

    assert attempt.run() == 0

    assert attempt.events("evaluation")[0]["samples"][0]["prompt"] == "be kind"


def test_a_prompt_is_cut_to_what_the_model_is_trained_on(job):
    job.write_data([{"prompt": f"{number} " * 400, "completion": "a"} for number in range(4)])
    job.spec["data_config"].update(validation_split=0.25, max_seq_length=64, preprocess={"truncation": "left"})
    job.set(max_steps=1)
    attempt = job.new_attempt()

    assert attempt.run() == 0

    assert len(attempt.events("evaluation")[0]["samples"][0]["prompt"]) <= 32
