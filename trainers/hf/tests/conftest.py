"""A tiny Llama, and a job's folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# More threads than idle cores make each step wait for the slowest: 100 times slower on a busy machine.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent))

import pytest  # noqa: E402
from jobs import JobFolder  # noqa: E402
from make_tiny import make_tiny  # noqa: E402


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a randomly initialised Llama of 2 layers, with a byte-level tokenizer and a chat template."""
    return make_tiny(tmp_path_factory.mktemp("tiny") / "llama")


@pytest.fixture
def job(tmp_path: Path, tiny_llama: Path) -> JobFolder:
    """A job that can be changed and run; by default LORA on four records of text."""
    return JobFolder(tmp_path / "job", tiny_llama)


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch):
    """accelerate keeps its state for the process: each test begins anew, and none sees another's ranks."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    yield
    if "accelerate.state" in sys.modules:
        from accelerate.state import AcceleratorState, GradientState

        AcceleratorState._reset_state(True)
        GradientState._reset_state()
