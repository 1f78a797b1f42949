"""Benchmarks of lm-evaluation-harness, on tasks made here."""

import json
import math

import pytest

CHOICES = [{"question": f"{number} is", "options": ["odd", "even"], "label": number % 2} for number in range(30)]

TASKS = {
    "parity": {
        "dataset_kwargs": {"data_files": {"test": "FILE"}},
        "dataset_path": "json",
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": "{{options}}",
        "doc_to_target": "label",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}, {"metric": "acc_norm", "aggregation": "mean", "higher_is_better": True}],
        "tag": ["numbers"],
    },
    "echo": {
        "dataset_kwargs": {"data_files": {"test": "FILE"}},
        "dataset_path": "json",
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "{{question}}",
        "doc_to_target": "even",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 3},
        "filter_list": [{"name": "first-word", "filter": [{"function": "regex", "regex_pattern": "(\\S+)"}, {"function": "take_first"}]}],
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    },
    "reading": {
        "dataset_kwargs": {"data_files": {"test": "FILE"}},
        "dataset_path": "json",
        "test_split": "test",
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "{{question}}",
        "metric_list": [{"metric": "word_perplexity"}, {"metric": "bits_per_byte"}],
    },
    "bare": {
        "dataset_kwargs": {"data_files": {"test": "FILE"}},
        "dataset_path": "json",
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": "{{options}}",
        "doc_to_target": "label",
        "num_fewshot": 0,
    },
    "distant": {"dataset_path": "acme/distant", "test_split": "test", "output_type": "multiple_choice", "doc_to_text": "q", "doc_to_target": "a", "doc_to_choice": ["a"]},
    "writes_code": {
        "dataset_kwargs": {"data_files": {"test": "FILE"}},
        "dataset_path": "json",
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "{{question}}",
        "doc_to_target": "even",
        "unsafe_code": True,
    },
}


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    """A folder of tasks; a group `all_numbers` of two of them."""
    folder = tmp_path_factory.mktemp("tasks")
    (folder / "parity.jsonl").write_text("".join(json.dumps(record) + "\n" for record in CHOICES))
    for name, task in TASKS.items():
        text = json.dumps({"task": name, **task}).replace("FILE", str(folder / "parity.jsonl"))
        (folder / f"{name}.yaml").write_text(text)
    group = {"group": "all_numbers", "task": ["parity", "more_parity"], "aggregate_metric_list": [{"metric": "acc", "weight_by_size": True}]}
    (folder / "all_numbers.yaml").write_text(json.dumps(group))
    (folder / "more_parity.yaml").write_text((folder / "parity.yaml").read_text().replace('"parity"', '"more_parity"'))
    return folder


@pytest.fixture
def harness(evaluation, tasks, monkeypatch, tmp_path):
    """An evaluation for which the harness has these tasks only."""
    from lm_eval.tasks import TaskManager
    from scaimind_trainer.evaluation import harness as module

    monkeypatch.setattr(module, "open_tasks", lambda: TaskManager(include_path=str(tasks), include_defaults=False))
    monkeypatch.chdir(tmp_path)
    return evaluation


def test_a_task_is_measured_by_name(harness):
    (result,) = harness.run({"name": "parity"})
    acc = result["scores"]["acc"]
    assert set(result["scores"]) == {"acc", "acc_norm"}
    assert result["standard_errors"]["acc"] == pytest.approx(math.sqrt(acc * (1 - acc) / 29))
    assert (result["name"], result["dataset"], result["num_samples"]) == ("parity", "", 30)
    assert result["content_hash"].startswith("sha256:")
    assert len(result["samples"]) == 20
    sample = result["samples"][0]
    assert sample["prompt"] == "0 is" and sample["expected"] == " odd" and sample["answer"] in (" odd", " even")
    assert sample["score"] == float(sample["answer"] == sample["expected"])
    assert harness.journal.told == [(1, result["scores"])]


def test_our_multiple_choice_scores_as_the_harness_does(harness):
    path = harness.write("own.jsonl", [{"prompt": one["question"], "choices": one["options"], "answer": one["label"]} for one in CHOICES])
    theirs, ours = harness.run({"name": "parity"}, {"name": "multiple_choice", "path": path})
    assert ours["scores"] == pytest.approx(theirs["scores"])
    assert ours["standard_errors"] == pytest.approx(theirs["standard_errors"])


def test_so_many_samples_of_a_task_and_its_examples_by_seed(harness):
    parameters = {"num_fewshot": "2", "batch_size": "4", "seed": "7"}
    first, again, other = harness.run(
        *({"name": "parity", "num_samples": 5, "parameters": {**parameters, "seed": seed}} for seed in ("7", "7", "8"))
    )
    assert first["num_samples"] == 5 and len(first["samples"]) == 5
    assert first["samples"][0]["prompt"].count(" is ") == 2
    assert first["samples"] == again["samples"]
    assert [one["prompt"] for one in first["samples"]] != [one["prompt"] for one in other["samples"]]


def test_a_score_after_a_filter_is_named_by_it(harness):
    (result,) = harness.run({"name": "my own name", "dataset": "echo", "num_samples": 3})
    assert set(result["scores"]) == {"exact_match_first_word"}
    assert (result["name"], result["dataset"]) == ("my own name", "echo")
    assert result["samples"][0]["expected"] == "even"


def test_scores_that_are_no_means_have_errors_too(harness):
    (result,) = harness.run({"name": "reading"})
    assert set(result["scores"]) == {"word_perplexity", "bits_per_byte"}
    assert set(result["standard_errors"]) == {"word_perplexity", "bits_per_byte"}
    assert all(0 < error < result["scores"][name] for name, error in result["standard_errors"].items())


def test_a_group_has_its_own_score_and_those_of_its_tasks(harness):
    (result,) = harness.run({"name": "all_numbers", "num_samples": 4})
    assert {"acc", "parity.acc", "more_parity.acc"} <= set(result["scores"])
    assert result["num_samples"] == 8
    assert [sample["prompt"] for sample in result["samples"][:3]] == ["0 is", "0 is", "1 is"]
    assert set(harness.journal.told[0][1]) == {"acc"}


def test_a_tag_has_the_scores_of_its_tasks(harness):
    (result,) = harness.run({"name": "numbers", "num_samples": 2})
    assert {"parity.acc", "more_parity.acc"} <= set(result["scores"])
    assert harness.journal.told == []


def test_a_model_without_finite_scores_has_failed(harness, tiny_llama, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_llama)
    torch.nn.init.constant_(model.lm_head.weight, float("nan"))
    model.save_pretrained(tmp_path / "broken")
    AutoTokenizer.from_pretrained(tiny_llama).save_pretrained(tmp_path / "broken")
    harness.model = str(tmp_path / "broken")
    for benchmark in ({"name": "reading"}, {"name": "perplexity", "path": harness.write("a.txt", "one")}):
        refused = harness.refusal(benchmark)
        assert (refused.class_name, refused.field) == ("NAN_LOSS", "model_uri")


def test_progress_is_told_in_records_of_all_benchmarks(harness):
    path = harness.write("own.jsonl", [{"text": "a"}] * 10)
    harness.run({"name": "parity"}, {"name": "reading", "num_samples": 7}, {"name": "perplexity", "path": path})
    progress = [event for event in harness.journal.events if event["type"] == "progress"]
    assert (progress[-1]["step"], progress[-1]["total_steps"]) == (47, 47)
    assert [event["step"] for event in progress] == sorted(event["step"] for event in progress)


def test_a_stop_is_noticed_while_a_task_runs(harness):
    from scaimind_trainer.requests import Stopped

    for name in ("parity", "echo", "reading"):
        harness.journal.events.clear()
        with pytest.raises(Stopped):
            harness.run({"name": name}, stop_after=1)


def test_a_task_that_is_not_there_is_refused_with_those_that_are_close(harness):
    refused = harness.refusal({"name": "parity"}, {"name": "partiy"})
    assert (refused.class_name, refused.field) == ("CODE", "benchmarks[1].name")
    assert "no task 'partiy'. Did you mean parity" in refused.message
    assert harness.refusal({"name": "x", "dataset": "zzzz"}).field == "benchmarks[0].dataset"


def test_a_task_whose_data_cannot_be_fetched_says_which_hub_and_why(harness):
    refused = harness.refusal({"name": "distant"})
    assert (refused.class_name, refused.field) == ("DATA", "benchmarks[0].name")
    assert "The data of distant (acme/distant) cannot be fetched from https://huggingface.co: " in refused.message
    assert "offline" in refused.message.lower() or "HF_HUB_OFFLINE" in refused.hint


def test_a_task_that_runs_what_the_model_writes_is_refused(harness):
    refused = harness.refusal({"name": "writes_code"})
    assert refused.field == "benchmarks[0].name" and "runs code that the model writes" in refused.message


def test_parameters_that_mean_nothing_are_refused_by_name(harness):
    assert harness.refusal({"name": "parity", "parameters": {"max_tokens": "4"}}).field == "benchmarks[0].parameters.max_tokens"
    assert harness.refusal({"name": "bare", "parameters": {"num_fewshot": "2"}}).field == "benchmarks[0].parameters.num_fewshot"
    assert harness.refusal({"name": "parity", "parameters": {"batch_size": "some"}}).field == "benchmarks[0].parameters.batch_size"


def test_the_harness_brings_its_named_benchmarks():
    from scaimind_trainer.evaluation.harness import open_tasks

    assert {"mmlu", "hellaswag", "gsm8k", "arc_challenge", "truthfulqa_mc2"} <= set(open_tasks().all_tasks)
