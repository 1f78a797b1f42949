"""Models that a hub is asked for, and hubs that do not answer."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

MAIN = Path(__file__).parent.parent / "main.py"
B = "training_config.base_model"


def test_a_model_of_a_hub_that_is_not_there_is_refused_at_once_by_its_field(job, tmp_path):
    job.training["base_model"]["model_id"] = "org/model"
    attempt = job.new_attempt()
    with socket.socket() as taken:
        # Nobody listens there, nor can while the port is taken.
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        environment = {"HF_ENDPOINT": url, "HF_HOME": str(tmp_path), "SCAIMIND_JOB_DIR": str(attempt.directory), "PATH": os.environ["PATH"]}
        began = time.monotonic()
        ended = subprocess.run([sys.executable, MAIN], env=environment, capture_output=True, text=True)

    assert ended.returncode == 1
    # The packages take most of it; they alone would try for 23 seconds more.
    assert time.monotonic() - began < 20
    assert (attempt.failure["class"], attempt.failure["field"]) == ("DATA", f"{B}.model_id")
    assert attempt.failure["message"] == f"The model org/model cannot be fetched from {url}: Connection refused; it is not in the cache either."
    assert "HF_ENDPOINT" in attempt.failure["hint"]
    assert "Traceback" not in ended.stderr
    assert "Retrying" not in ended.stderr


@pytest.mark.parametrize(("name", "what"), [("model_id", "The model"), ("tokenizer_id", "The tokenizer")])
def test_what_may_not_be_asked_for_is_refused_by_its_field(job, name, what, capsys):
    job.training["base_model"][name] = "org/none"
    attempt = job.new_attempt()

    assert attempt.run() == 1

    assert attempt.failure["field"] == f"{B}.{name}"
    assert attempt.failure["message"].startswith(f"{what} org/none cannot be fetched from https://huggingface.co: ")
    assert "HF_HUB_OFFLINE is set" in attempt.failure["hint"]
    assert "Traceback" not in capsys.readouterr().err


def test_a_gated_model_is_a_matter_of_access_to_that_model(job, monkeypatch):
    from types import SimpleNamespace

    from huggingface_hub.errors import GatedRepoError
    from transformers import AutoConfig

    def gated(*args, **kwargs):
        response = SimpleNamespace(status_code=403, headers={}, request=None)
        raise OSError("You are trying to access a gated repo.") from GatedRepoError("no", response=response)

    monkeypatch.setattr(AutoConfig, "from_pretrained", gated)
    job.training["base_model"]["model_id"] = "org/model"
    attempt = job.new_attempt()

    assert attempt.run() == 1

    assert (attempt.failure["class"], attempt.failure["field"]) == ("AUTH", f"{B}.model_id")
    assert "HF_TOKEN" in attempt.failure["hint"]


def test_a_full_disk_is_not_the_hubs_doing():
    import errno

    from scaimind_trainer.hub import fetching

    with pytest.raises(OSError, match="No space left"), fetching("The model", "org/model", "field"):
        raise OSError(errno.ENOSPC, "No space left on device")
