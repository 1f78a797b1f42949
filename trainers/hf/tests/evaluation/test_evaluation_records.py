"""Benchmarks on a user's own records."""

import json
import math
import shutil
import subprocess
import warnings
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[4]
CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
PAIRS = [{"prompt": f"{number}+1=", "completion": str(number + 1)} for number in range(25)]


@pytest.fixture(scope="module")
def model(tiny_llama):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(tiny_llama).eval(), AutoTokenizer.from_pretrained(tiny_llama)


def nats(model, ids: list[int], first: int) -> list[float]:
    """The loss of each token from `first` on, token by token."""
    import torch

    with torch.no_grad():
        logits = model[0](torch.tensor([ids])).logits[0].log_softmax(-1)
    return [-logits[index - 1, ids[index]].item() for index in range(first, len(ids))]


def test_perplexity_is_of_what_follows_a_prompt_and_of_the_end(evaluation, model):
    (result,) = evaluation.run({"name": "perplexity", "path": evaluation.write("a.jsonl", PAIRS)})
    tokenizer = model[1]
    losses = []
    for pair in PAIRS:
        prompt, whole = (tokenizer(text)["input_ids"] for text in (pair["prompt"], pair["prompt"] + pair["completion"]))
        losses.append(nats(model, [*whole, tokenizer.eos_token_id], len(prompt)))
    mean = sum(map(sum, losses)) / sum(map(len, losses))
    assert result["scores"]["loss"] == pytest.approx(mean, rel=1e-4)
    assert result["scores"]["perplexity"] == pytest.approx(math.exp(mean), rel=1e-4)
    spread = sum((sum(one) - mean * len(one)) ** 2 for one in losses)
    error = math.sqrt(spread * 25 / 24) / sum(map(len, losses))
    assert result["standard_errors"]["loss"] == pytest.approx(error, rel=1e-3)
    assert result["standard_errors"]["perplexity"] == pytest.approx(error * math.exp(mean), rel=1e-3)
    assert result["num_samples"] == 25 and len(result["samples"]) == 20
    assert result["samples"][3] == {"prompt": "3+1=", "expected": "4", "answer": "", "score": pytest.approx(math.exp(sum(losses[3]) / 2), rel=1e-4)}


def test_the_first_token_of_a_text_is_predicted_from_the_mark_of_its_beginning(evaluation, model):
    (result,) = evaluation.run({"name": "perplexity", "path": evaluation.write("a.txt", "one text")})
    ids = [1, *model[1]("one text")["input_ids"], 2]
    assert result["scores"]["loss"] == pytest.approx(sum(nats(model, ids, 1)) / 9, rel=1e-4)
    assert result["standard_errors"]["loss"] == 0


def test_a_text_longer_than_the_context_is_read_in_stretches(evaluation):
    (result,) = evaluation.run({"name": "perplexity", "path": evaluation.write("a.jsonl", [{"text": "word " * 200}])})
    assert 5 < result["scores"]["loss"] < 7


def test_what_an_assistant_says_is_predicted_in_the_chat_template(evaluation, model):
    messages = [*CHAT, {"role": "user", "content": "And?"}, {"role": "assistant", "content": "No"}]
    (result,) = evaluation.run({"name": "perplexity", "path": evaluation.write("a.jsonl", [{"messages": messages}])})
    ids = model[1]("<|user|>Hi<|assistant|>Hello</s><|user|>And?<|assistant|>No</s>", add_special_tokens=False)["input_ids"]
    losses = nats(model, ids, 1)
    # Five letters and two with their ends, and what the template puts between.
    expected = [*losses[22:28], *losses[-3:]]
    assert result["scores"]["loss"] == pytest.approx(sum(expected) / 9, rel=1e-4)


@pytest.fixture
def answering(evaluation, model):
    """Prompts, and what the model continues them with, as far as it is the same in a batch."""
    import torch

    prompts = ["one", "a longer two", "3"]
    answers = []
    for prompt in prompts:
        ids = torch.tensor([model[1](prompt)["input_ids"]])
        made = model[0].generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=4, do_sample=False)
        answers.append(model[1].decode(made[0, ids.shape[1] :], skip_special_tokens=True))
    return prompts, answers


def test_exact_match_is_the_share_of_answers_that_are_what_was_expected(evaluation, answering):
    prompts, answers = answering
    records = [{"prompt": prompt, "answer": f" {answer}\n"} for prompt, answer in zip(prompts, answers, strict=True)]
    path = evaluation.write("a.jsonl", [*records, {"prompt": "4", "completion": "surely not"}])
    (result,) = evaluation.run({"name": "exact_match", "path": path, "parameters": {"max_tokens": "4", "batch_size": "3"}})
    assert result["scores"] == {"exact_match": 0.75}
    assert result["standard_errors"]["exact_match"] == pytest.approx(0.25)
    assert [sample["score"] for sample in result["samples"]] == [1, 1, 1, 0]
    assert [sample["answer"] for sample in result["samples"][:3]] == answers


def test_contains_looks_for_what_was_expected_anywhere_in_the_answer(evaluation, answering):
    prompts, answers = answering
    records = [{"prompt": prompt, "completion": answer.strip()[1:3].swapcase()} for prompt, answer in zip(prompts, answers, strict=True)]
    path = evaluation.write("a.jsonl", records)
    parameters = {"max_tokens": "4", "ignore_case": "true"}
    (result,) = evaluation.run({"name": "mine", "path": path, "parameters": {"metric": "contains", **parameters}})
    assert result["scores"] == {"contains": 1} and result["name"] == "mine"


def test_multiple_choice_is_answered_by_the_likeliest_choice(evaluation, model):
    choices = ["Paris", "the capital of France", "x"]
    records = [{"prompt": f"{number} is", "choices": choices, "answer": right} for number, right in enumerate([0, "x", "B", 1])]
    (result,) = evaluation.run({"name": "multiple_choice", "path": evaluation.write("a.jsonl", records)})
    right, by_byte = [], []
    for record, index in zip(records, [0, 2, 1, 1], strict=True):
        prompt = model[1](record["prompt"])["input_ids"]
        losses = [sum(nats(model, model[1](f"{record['prompt']} {choice}")["input_ids"], len(prompt))) for choice in choices]
        right.append(losses.index(min(losses)) == index)
        shares = [loss / len(choice) for loss, choice in zip(losses, choices, strict=True)]
        by_byte.append(shares.index(min(shares)) == index)
    assert result["scores"] == {"acc": sum(right) / 4, "acc_norm": sum(by_byte) / 4}
    assert [sample["score"] for sample in result["samples"]] == right
    assert result["samples"][1]["expected"] == "x"


def test_so_many_samples_are_the_first(evaluation):
    path = evaluation.write("a.jsonl", [*PAIRS[:2], {"bad": 1}])
    (result,) = evaluation.run({"name": "perplexity", "path": path, "num_samples": 2})
    assert result["num_samples"] == 2


def test_long_samples_keep_the_end_of_the_prompt_and_the_beginning_of_all_else(evaluation):
    path = evaluation.write("a.jsonl", [{"prompt": "x" * 1500 + "END", "completion": "BEGIN" + "y" * 1500}])
    (result,) = evaluation.run({"name": "exact_match", "path": path, "parameters": {"max_tokens": "1"}})
    (sample,) = result["samples"]
    assert len(sample["prompt"]) == 1000 and sample["prompt"].endswith("END")
    assert len(sample["expected"]) == 1000 and sample["expected"].startswith("BEGIN")


def test_batches_make_no_difference(evaluation):
    path = evaluation.write("a.jsonl", [*PAIRS, {"prompt": "long " * 30, "completion": "end"}])
    one, many = evaluation.run(*({"name": "perplexity", "path": path, "parameters": {"batch_size": size}} for size in ("1", "16")))
    assert one["scores"]["loss"] == pytest.approx(many["scores"]["loss"], rel=1e-5)


def test_records_have_the_hash_that_the_embedded_trainer_gives_them(evaluation):
    from scaimind_trainer.evaluation.benchmarks import read_benchmarks
    from scaimind_trainer.evaluation.records import content_hash, read_questions

    records = [
        {"text": 'a "text"\n\u2028\x7f\x01'},
        {"completion": "b", "prompt": "ü"},
        {"prompt": "", "completion": "c"},
        {"messages": [{"role": "system", "content": "s"}, *CHAT, CHAT[0]]},
    ]
    path = evaluation.write("a.jsonl", records)
    (benchmark,) = read_benchmarks([{"name": "perplexity", "dataset": "", "path": path}])
    told = content_hash(read_questions(benchmark))
    assert told == "sha256:0d834c6854e6a8d05038b2354d7fd96a9d44cb876600ce18c12788102fd696d9"
    if not shutil.which("node") or not (REPOSITORY / "node_modules/tsx").exists():
        warnings.warn("Not compared with the embedded trainer's own code: there is no node, or its packages are not installed.", stacklevel=1)
        return
    code = """
    import { createHash } from 'node:crypto'
    import { TEXT_RECORDS } from './src/trainer/data/record.ts'
    import { readSource } from './src/trainer/data/records.ts'
    const hash = createHash('sha256')
    for (const record of readSource(process.argv[1], 'jsonl', TEXT_RECORDS).records) hash.update(`${JSON.stringify(record)}\\n`)
    console.log(`sha256:${hash.digest('hex')}`)
    """
    command = ["node", "--import", "tsx", "--input-type=module", "-e", code, "--", path]
    assert subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.strip() == told


def test_results_are_told_as_they_come_with_progress_between(evaluation):
    a, b = evaluation.write("a.jsonl", PAIRS), evaluation.write("b.txt", "one\n\ntwo")
    evaluation.run({"name": "perplexity", "path": a, "dataset": "ds_1"}, {"name": "perplexity", "path": b})
    events = evaluation.journal.events
    assert events[0] == {"type": "phase", "phase": "EVALUATING"}
    assert [event["index"] for event in events if event["type"] == "benchmark"] == [0, 1]
    progress = [event for event in events if event["type"] == "progress"]
    assert [event["step"] for event in progress] == sorted(event["step"] for event in progress)
    assert (progress[-1]["step"], progress[-1]["total_steps"], progress[-1]["eta_seconds"]) == (27, 27, 0)
    assert progress[-1]["tokens_seen"] > 100
    assert [(step, sorted(values)) for step, values in evaluation.journal.told] == [(1, ["loss", "perplexity"]), (2, ["loss", "perplexity"])]
    assert evaluation.journal.results()[0]["dataset"] == "ds_1"
    assert evaluation.journal.lines[0].startswith("perplexity: perplexity ")


def test_a_stop_is_noticed_between_two_batches_and_between_two_tokens(evaluation):
    from scaimind_trainer.requests import Stopped

    path = evaluation.write("a.jsonl", PAIRS)
    for name in ("perplexity", "exact_match"):
        evaluation.journal.events.clear()
        with pytest.raises(Stopped):
            evaluation.run({"name": name, "path": path}, stop_after=1)
        assert [event["type"] for event in evaluation.journal.events] == ["phase"]


@pytest.mark.parametrize(
    ("benchmark", "field", "message"),
    [
        ({"name": "bytes_accuracy", "path": "FILE"}, "benchmarks[0].name", "Benchmarks on records are perplexity, exact_match"),
        ({"name": "mine", "path": "FILE", "parameters": {"metric": "f1"}}, "benchmarks[0].parameters.metric", "not 'f1'"),
        ({"name": "contains", "path": "FILE", "parameters": {"metric": "perplexity"}}, "benchmarks[0].parameters.metric", "is named contains"),
        ({"name": "perplexity"}, "benchmarks[0].dataset", "name a file"),
        ({"name": "perplexity", "path": "FILE", "parameters": {"max_tokens": "1"}}, "benchmarks[0].parameters.max_tokens", "Unknown setting"),
        ({"name": "exact_match", "path": "FILE", "parameters": {"max_token": "1"}}, "benchmarks[0].parameters.max_token", "did you mean max_tokens?"),
        ({"name": "exact_match", "path": "FILE", "parameters": {"max_tokens": "0"}}, "benchmarks[0].parameters.max_tokens", "from 1 to 4096"),
        ({"name": "exact_match", "path": "FILE", "parameters": {"ignore_case": "yes"}}, "benchmarks[0].parameters.ignore_case", "true or false"),
        ({"name": "exact_match", "path": "FILE"}, "benchmarks[0].dataset", 'a.jsonl:1: expected "prompt" and "completion" (or "answer"), or "messages"'),
        ({"name": "multiple_choice", "path": "CHOICES"}, "benchmarks[0].dataset", 'choices.jsonl:1: "answer" must be the index'),
        ({"name": "perplexity", "path": "EMPTY"}, "benchmarks[0].dataset", "has no records"),
        ({"name": "perplexity", "path": "/nowhere.jsonl"}, "benchmarks[0].dataset", "There is no file nowhere.jsonl."),
        ({"name": "perplexity", "path": "/data.bin"}, "benchmarks[0].dataset", "cannot be told from its name"),
    ],
)
def test_what_cannot_be_measured_is_refused_by_field(evaluation, benchmark, field, message):
    choices = [{"prompt": "a", "choices": ["b", "c"], "answer": "D"}]
    paths = {"FILE": evaluation.write("a.jsonl", [{"text": "a"}]), "EMPTY": evaluation.write("b.jsonl", ""), "CHOICES": evaluation.write("choices.jsonl", choices)}
    refused = evaluation.refusal({**benchmark, "path": paths.get(benchmark.get("path"), benchmark.get("path", ""))})
    assert refused.field == field
    assert message in refused.message
    assert evaluation.journal.events == []


def test_an_evaluation_without_benchmarks_is_refused(evaluation):
    assert evaluation.refusal().field == "benchmarks"


def test_only_the_first_rank_evaluates(evaluation, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert evaluation.run({"name": "perplexity", "path": "/nowhere"}) == []
    assert json.dumps(evaluation.journal.events) == "[]"
