"""Several processes under torchrun, on CPUs over gloo."""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jobs import JobFolder

MAIN = Path(__file__).parent.parent / "main.py"


def start(attempt, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Two processes of the trainer under torchrun, in a session of their own."""
    torchrun = Path(sys.executable).parent / "torchrun"
    return subprocess.Popen(
        [torchrun, "--nproc-per-node=2", "--master-addr=127.0.0.1", f"--master-port={29500 + os.getpid() % 500}", "--no-python", sys.executable, MAIN],
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


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def alone_with_the_same_data(job):
    """An attempt of one step in this process."""
    other = JobFolder(job.folder / "alone", job.folder)
    other.spec = copy.deepcopy(job.spec)
    other.training["framework"].update(type="HF_TRAINER", config={})
    other.set(max_steps=1)
    attempt = other.new_attempt()
    assert attempt.run() == 0
    (evaluation,) = attempt.events("evaluation")
    assert evaluation["tokens"] > 0
    return attempt


def held_out_loss(attempt) -> float:
    """The base model's."""
    return attempt.metrics()[0]["values"]["eval_loss"]


def test_fsdp_in_two_processes_stops_at_a_checkpoint_and_goes_on(job):
    job.training["framework"].update(type="FSDP", config={"version": "2", "sharding_strategy": "full_shard"})
    job.set(max_steps=300)
    job.write_data([{"text": f"{number} and " * (number % 5 + 1)} for number in range(17)])
    job.spec["data_config"].update(validation_split=0.3, batch_size=2)
    job.spec["output_config"].update(save_strategy="STEPS", save_steps=5, save_total_limit=100)
    stopped = job.new_attempt()
    process = start(stopped)
    until(lambda: process.poll() is not None or any(line["step"] >= 8 for line in stopped.metrics()))
    # As the launcher does it: the whole group, torchrun too, which passes it on once more.
    os.killpg(process.pid, signal.SIGTERM)
    output, _ = process.communicate(timeout=90)
    assert stopped.events("failure") == [], output
    last = stopped.events("checkpoint")[-1]["step"]
    assert max(stopped.losses()) == last
    assert {"adapter_model.safetensors", "rng_state_0.pth", "rng_state_1.pth"} <= {path.name for path in stopped.checkpoint(last).iterdir()}

    # Five rows are held out, and the two processes read eight.
    alone = alone_with_the_same_data(job)
    assert held_out_loss(stopped) == pytest.approx(held_out_loss(alone), abs=1e-4)

    job.spec["resume_from"] = str(stopped.checkpoint(5))
    resumed = job.new_attempt()
    process = start(resumed)
    until(lambda: process.poll() is not None or any(line["step"] >= last for line in resumed.metrics()))
    # torchrun's workers are in sessions of their own; they are not to outlive it.
    os.killpg(process.pid, signal.SIGKILL)
    output, _ = process.communicate(timeout=90)
    worker = resumed.events("ready")[0]["pid"]
    until(lambda: not is_running(worker), 20)
    losses = resumed.losses()
    assert min(losses) == 6, output
    for step in range(6, last + 1):
        assert losses[step] == pytest.approx(stopped.losses()[step], abs=1e-5)


def test_a_rank_that_hangs_is_named(job):
    job.set(max_steps=100_000)
    job.spec["data_config"].update(batch_size=2)
    attempt = job.new_attempt()
    process = start(attempt, {"SCAIMIND_COLLECTIVE_TIMEOUT_S": "8"})
    until(lambda: process.poll() is not None or any(line["step"] >= 3 for line in attempt.metrics()))
    stuck = int(subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()[1])
    os.kill(stuck, signal.SIGSTOP)
    until(lambda: attempt.events("failure") or process.poll() is not None, 60)
    os.kill(stuck, signal.SIGKILL)
    process.communicate(timeout=60)

    failure = attempt.failure
    assert failure["class"] == "COLLECTIVE_HANG"
    assert failure["rank"] == 1
    assert "rank 1 is missing" in failure["message"]
