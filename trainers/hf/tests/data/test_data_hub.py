"""Data sets of a hub: one on loopback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub import Hub
from workspace import Workspace

# The packages read where the hub is when they are imported.
LOAD = """
import json, sys
from scaimind_trainer.data import load_data
from scaimind_trainer.problems import TrainerFailure
for source in json.load(sys.stdin):
    job = {"training_config": {"training_type": "SFT"}, "data_config": {"sources": [{"type": "huggingface", **source}]}}
    try:
        loaded = load_data(job)
        told = {"rows": loaded.training.to_list(), "source": vars(loaded.sources[0])}
    except TrainerFailure as failure:
        told = vars(failure)
    print(json.dumps(told), flush=True)
"""

SOURCES = {
    "train": {"path": "acme/poems"},
    "test": {"path": "acme/poems", "split": "test"},
    "columns": {"path": "acme/poems", "columns": ["text"], "filters": {"n": ">1"}},
    "packed": {"path": "acme/packed:short"},
    "no split": {"path": "acme/poems", "split": "dev"},
    "no config": {"path": "acme/packed:long"},
    "missing": {"path": "acme/none"},
    "gated": {"path": "gated/poems"},
    "local": {"path": "../acme/poems"},
    "format": {"path": "acme/poems", "format": "jsonl"},
}

CARD = """---
configs:
- config_name: short
  data_files: short.parquet
---
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What loading each of the sources ends in, and where the hub was."""
    root = tmp_path_factory.mktemp("hub")
    files = Workspace(root)
    files.write("acme/poems/train.jsonl", [{"text": "a", "n": 1}, {"text": "b", "n": 2}])
    files.write("acme/poems/test.jsonl", [{"text": "c", "n": 3}])
    files.write("acme/packed/short.parquet", [{"text": "d"}])
    files.write("acme/packed/README.md", CARD)
    files.write("gated/poems/train.jsonl", [{"text": "e"}])
    hub = Hub(root)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(root / "home"), "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", LOAD], input=json.dumps(list(SOURCES.values())), env=environment, cwd=root / "gated", capture_output=True, text=True
    )
    hub.close()
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return dict(zip(SOURCES, answers, strict=True)) | {"url": hub.url}


def test_a_data_set_is_loaded_by_id_split_and_config(told):
    assert told["train"]["rows"] == [{"text": "a"}, {"text": "b"}]
    assert told["test"]["rows"] == [{"text": "c"}]
    assert told["packed"]["rows"] == [{"text": "d"}]


def test_filters_see_columns_that_are_not_kept(told):
    assert told["columns"]["rows"] == [{"text": "b"}]


def test_its_hash_is_that_of_its_records_however_they_are_packed(told):
    assert told["packed"]["source"]["sha256"] == "60cc5eba5727d14747a1dcb27d3d4d5651a8d2ed501b12028c6ed92138e6e3e8"
    assert told["packed"]["source"]["bytes"] == len('{"text":"d"}\n')


@pytest.mark.parametrize(
    ("name", "class_name", "field", "message"),
    [
        ("no split", "DATA", "split", "Should be one of ['train', 'test']"),
        ("no config", "DATA", "path", "Available: ['short']"),
        ("missing", "DATA", "path", "doesn't exist on the Hub"),
        ("gated", "AUTH", "path", "gated"),
        ("local", "DATA", "path", "org/name or org/name:config"),
        ("format", "DATA", "format", "leave this empty"),
    ],
)
def test_what_cannot_be_loaded_is_refused_by_field(told, name, class_name, field, message):
    refused = told[name]
    assert (refused["class_name"], refused["field"]) == (class_name, f"data_config.sources[0].{field}")
    assert message in refused["message"]


def test_a_failure_names_the_hub_that_was_asked(told):
    assert told["url"] in told["missing"]["message"]
    assert "HF_TOKEN" in told["gated"]["hint"]
