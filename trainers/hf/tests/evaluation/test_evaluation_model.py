"""Models that are evaluated: folders of models, adapters and checkpoints."""

import json
import shutil

import pytest

RECORDS = [{"prompt": "a", "completion": "b"}]


@pytest.fixture(scope="module")
def adapter(tiny_llama, tmp_path_factory):
    """An adapter that changes what the tiny model says; its file names a base that is not there."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    folder = tmp_path_factory.mktemp("adapter")
    get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_llama), config).save_pretrained(folder)
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "base_model_name_or_path": "/nowhere"}))
    return folder


def loss(evaluation) -> float:
    return evaluation.run({"name": "perplexity", "path": evaluation.write("a.jsonl", RECORDS)})[-1]["scores"]["loss"]


def refusal(evaluation):
    return evaluation.refusal({"name": "perplexity", "path": evaluation.write("a.jsonl", RECORDS)})


def test_an_adapter_is_read_with_the_base_that_the_job_names(evaluation, adapter, tiny_llama):
    plain = loss(evaluation)
    evaluation.model, evaluation.base = str(adapter), str(tiny_llama)
    assert loss(evaluation) != pytest.approx(plain, abs=1e-3)


def test_a_checkpoint_may_keep_the_model_in_a_folder_of_its_own(evaluation, tiny_llama, tmp_path):
    plain = loss(evaluation)
    shutil.copytree(tiny_llama, tmp_path / "step-10" / "model")
    evaluation.model = str(tmp_path / "step-10")
    assert loss(evaluation) == pytest.approx(plain)


def test_an_adapter_stops_on_request_too(evaluation, adapter, tiny_llama):
    from scaimind_trainer.requests import Stopped

    evaluation.model, evaluation.base = str(adapter), str(tiny_llama)
    with pytest.raises(Stopped):
        evaluation.run({"name": "exact_match", "path": evaluation.write("a.jsonl", RECORDS)}, stop_after=1)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("/nowhere/model", "There is no model in model: no such folder."),
        ("EMPTY", "it has neither config.json nor adapter_config.json"),
        ("BROKEN", "The model cannot be read: "),
        ("ADAPTER", "The model cannot be read: "),
        ("org/model", "The model org/model cannot be fetched from https://huggingface.co: "),
        ("", "Name a model."),
    ],
)
def test_a_model_that_cannot_be_read_is_refused(evaluation, adapter, tmp_path, model, message):
    empty, broken = tmp_path / "empty", tmp_path / "broken"
    empty.mkdir()
    broken.mkdir()
    (broken / "config.json").write_text("{")
    evaluation.model = {"EMPTY": str(empty), "BROKEN": str(broken), "ADAPTER": str(adapter)}.get(model, model)
    refused = refusal(evaluation)
    assert (refused.class_name, refused.field) == ("DATA", "model_uri")
    assert message in refused.message
