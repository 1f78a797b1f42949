"""The folder that rows are written into."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

MAKE = """
import os, sys
from scaimind_trainer.data.scratch import make_scratch
print(make_scratch(), flush=True)
sys.stdin.readline()
if sys.argv[1] == "killed":
    os._exit(1)
"""


@pytest.fixture
def start(tmp_path):
    """Starts a process that makes a folder in a temporary one, and goes on until it is ended."""

    def start(end: str) -> tuple[subprocess.Popen, Path]:
        environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
        process = subprocess.Popen([sys.executable, "-c", MAKE, end], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        folder = Path(process.stdout.readline().strip())
        # As if it were old.
        os.utime(folder, (0, 0))
        return process, folder

    return start


def test_it_is_gone_when_its_process_has_ended(start):
    process, folder = start("well")
    assert folder.is_dir()
    process.communicate("\n")
    assert not folder.exists()


def test_what_a_killed_process_left_is_removed_by_the_next_and_what_is_in_use_stays(start):
    killed, left = start("killed")
    killed.communicate("\n")
    assert left.is_dir()
    running, used = start("well")
    assert not left.exists()
    other, _ = start("well")
    assert used.is_dir()
    running.communicate("\n")
    other.communicate("\n")
