"""One attempt from job.json to its exit code."""

from __future__ import annotations

import ctypes
import importlib.metadata
import json
import logging
import os
import signal
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

from . import __version__
from .failures import Facts, to_failure
from .fence import FENCED, Fence
from .hub import leave_unreachable_hub, names_hub
from .journal import Journal
from .parsing import object_at
from .problems import TrainerFailure
from .requests import STOPPED, Requests, Stopped

USAGE = """The trainer for real models.

  SCAIMIND_JOB_DIR=DIR python main.py     run the attempt that DIR/job.json describes
  python main.py --check                  tell what is wrong with the job on standard input, and what its data hold, as JSON
  python main.py --version                print its version and those of its packages as JSON
"""

PR_SET_PDEATHSIG = 1

PACKAGES = (
    "torch", "transformers", "peft", "trl", "accelerate", "datasets", "lm-eval", "bitsandbytes", "deepspeed", "flash-attn", "vllm",
)  # fmt: skip


def main(arguments: list[str]) -> int:
    """Does what the command line and the environment ask for; answers the exit code."""
    directory = os.environ.get("SCAIMIND_JOB_DIR")
    if arguments == ["--version"]:
        print(json.dumps({"trainer": "hf", "version": __version__, "packages": package_versions()}))
        return 0
    if arguments == ["--check"]:
        # Whoever asked may have been killed, and its question with it.
        die_with_starter()
        from .check import check_data

        print(json.dumps(check_data(json.load(sys.stdin))))
        return 0
    if arguments == ["--help"]:
        print(USAGE, end="")
        return 0
    if arguments or not directory:
        print(USAGE, end="", file=sys.stderr)
        return 2
    if int(os.environ.get("WORLD_SIZE") or 1) == 1:
        return run_attempt(Path(directory))
    die_with_starter()
    code = run_attempt(Path(directory))
    if code not in (0, STOPPED):
        # The teardown of a process group waits for ranks that may be gone.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    if "torch" in sys.modules:
        import torch.distributed as dist

        if dist.is_initialized():
            dist.destroy_process_group()
    return code


def die_with_starter() -> None:
    """
    Asks Linux to kill this process when the one that started it is gone. torchrun gives each worker a session of its own, so killing
    torchrun's group, as a launcher does in the end, would leave its workers running.
    """
    starter = os.getppid()
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    except (OSError, AttributeError):
        # Not Linux: nothing runs several GPUs there.
        return
    if os.getppid() != starter:
        os._exit(1)


def package_versions() -> dict[str, str | None]:
    """The versions of the packages that matter to a run; null for one that is not installed."""

    def version(name: str) -> str | None:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return None

    return {name: version(name) for name in PACKAGES}


def run_attempt(directory: Path) -> int:
    """
    Runs the attempt in `directory`. Answers 0 for done, 85 for stopped on request, 1 for failed; where a newer attempt of the job has
    begun the process ends at once with 86.
    """
    requests = Requests(directory)
    requests.listen()
    fence = Fence(directory, _leave_fenced)
    journal = Journal(directory, fence, int(os.environ.get("RANK") or 0), requests.ask_to_stop)
    facts = Facts()
    try:
        fence.check()
        journal.event({"type": "ready", "signals": ["USR1", "TERM"], "pid": os.getpid()})
        journal.phase("PREPARING")
        _run(read_job(directory), directory, journal, fence, requests, facts)
        return 0
    except Stopped:
        return STOPPED
    except Exception as error:  # noqa: BLE001
        _fail(journal, error, facts)
        return 1


def _run(job: dict[str, Any], directory: Path, journal: Journal, fence: Fence, requests: Requests, facts: Facts) -> None:
    # The heavy packages are imported only below, so that the handlers are in place while they load and a wrong field is told at once.
    if job.get("evaluation"):
        quiet_environment()
        if names_hub(job):
            leave_unreachable_hub()
        from .evaluation import run_evaluation

        run_evaluation(job, journal, requests)
        return
    from .settings import read_settings

    settings = read_settings(job)
    facts.settings = settings
    if settings.framework.type == "MEGATRON":
        from .megatron import run_megatron

        run_megatron(job, settings, directory=directory, journal=journal, fence=fence, requests=requests)
        return
    quiet_environment(sharded=settings.framework.type in ("FSDP", "DEEPSPEED"))
    if names_hub(job):
        leave_unreachable_hub()
    from .training.train import train

    train(job, settings, directory=directory, journal=journal, fence=fence, requests=requests, facts=facts)


def read_job(directory: Path) -> dict[str, Any]:
    """`job.json` of the attempt in `directory`. Throws TrainerFailure where it cannot be read."""
    path = directory / "job.json"
    try:
        return object_at({"job": json.loads(path.read_text())}, "job")
    except (OSError, ValueError) as error:
        raise TrainerFailure("UNKNOWN", f"{path} cannot be read: {error}") from error


def quiet_environment(*, sharded: bool = False) -> None:
    """Settings of the packages that belong to a trainer nobody watches: nothing is sent, no bars, no prompts, no remarks on what we see to."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    # What is too long for the model is cut after it has become tokens.
    tokenizers = logging.getLogger("transformers.tokenization_utils_base")
    if _is_told not in tokenizers.filters:
        tokenizers.addFilter(_is_told)
    # How many threads a process has is the machine's affair.
    warnings.filterwarnings("ignore", message="OMP_NUM_THREADS/MKL_NUM_THREADS unset")
    if (os.environ.get("WORLD_SIZE") or "1") == "1" and not sharded:
        # One process needs no process group, which these would make accelerate set up.
        for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
            os.environ.pop(name, None)


def _is_told(record: logging.LogRecord) -> bool:
    """Whether a remark of a tokenizer is of use to whoever reads the log."""
    return "sequence length is longer than" not in record.getMessage()


def _leave_fenced() -> None:
    sys.stdout.flush()
    os._exit(FENCED)


def _fail(journal: Journal, error: Exception, facts: Facts) -> None:
    """One clear line for what was expected; the stack only for what was not."""
    failure = to_failure(error, facts)
    place = f"{failure.field}: " if failure.field else ""
    hint = f" {failure.hint}" if failure.hint else ""
    if failure is not error and failure.class_name in ("UNKNOWN", "CODE"):
        traceback.print_exception(error)
    print(f"error: {place}{failure.message}{hint}", file=sys.stderr)
    try:
        journal.failure(failure)
    except OSError as cause:
        # A full disk or a missing folder is often the failure itself; standard error has it already.
        print(f"error: the failure cannot be recorded: {cause}", file=sys.stderr)
