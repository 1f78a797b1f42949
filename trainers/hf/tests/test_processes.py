"""Several processes under torchrun, on CPUs over gloo."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

READER = Path(__file__).parent / "reader.py"


def start(attempt, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Two processes of the trainer under torchrun, in a session of their own."""
    torchrun = Path(sys.executable).parent / "torchrun"
    return subprocess.Popen(
        [torchrun, "--nproc-per-node=2", "--master-addr=127.0.0.1", f"--master-port={29500 + os.getpid() % 500}", "--no-python", sys.executable, READER],
        env={**os.environ, "SCAIMIND_JOB_DIR": str(attempt.directory), "OMP_NUM_THREADS": "1", **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def until(condition, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


@pytest.mark.parametrize(("version", "kind"), [("2", "FULL_FINETUNE"), ("1", "LORA")])
def test_fsdp_trains_stops_and_goes_on_in_two_processes(job, version, kind):
    job.training["training_type"] = kind
    job.training["framework"].update(type="FSDP", config={"version": version})
    job.set(max_steps=400 if version == "2" else 12, lora_r=8 if kind == "LORA" else None, learning_rate=0.003)
    job.spec["data_config"].update(validation_split=0.25, batch_size=2)
    attempt = job.new_attempt()
    process = start(attempt)
    if version == "2":
        until(lambda: process.poll() is not None or any(line["step"] >= 5 for line in attempt.metrics()))
        os.killpg(process.pid, signal.SIGTERM)
        output, _ = process.communicate(timeout=90)
        assert len(attempt.events("checkpoint")) == 1, output
        step = attempt.events("checkpoint")[0]["step"]
        assert max(attempt.losses()) == step
        job.set(max_steps=None)
        assert attempt.events("failure") == []
    else:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
        assert attempt.events("failure") == []
        assert sorted(attempt.losses()) == list(range(1, 13))
        assert attempt.events("artefact")[0]["kind"] == "adapter"
