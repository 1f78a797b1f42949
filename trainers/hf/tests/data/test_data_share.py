"""Several processes of one machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

LOAD = """
import json, sys
from pathlib import Path
from scaimind_trainer.data import load, load_data
from scaimind_trainer.problems import TrainerFailure
read = load.open_origin
load.open_origin = lambda *given: (Path(sys.argv[1]).open("a").write("read\\\\n"), read(*given))[1]
try:
    data = load_data(json.loads(sys.argv[2]))
    mapped = data.training.map(lambda row: {"text": row["text"] * 2})
    print(json.dumps([data.training.to_list(), data.validation.to_list(), mapped._fingerprint, vars(data.sources[0])]))
    # The first ends last, for the rows are its own.
    sys.stdin.read()
except TrainerFailure as failure:
    print(json.dumps(vars(failure)))
"""


def load_in_two(data, source: dict) -> tuple[list, int]:
    """What two processes load, and how often the source was opened."""
    job = {"training_config": {"training_type": "SFT"}, "data_config": {"sources": [source], "validation_split": 0.2}}
    opened = data.folder / "opened"
    shared = {"SCAIMIND_JOB_DIR": str(data.folder), "WORLD_SIZE": "2", "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", LOAD, str(opened), json.dumps(job)]
    processes = [
        subprocess.Popen(command, env={**os.environ, **shared, "LOCAL_RANK": rank}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for rank in ("0", "1")
    ]
    answers = [json.loads(process.stdout.readline()) for process in processes]
    for process in processes:
        process.communicate()
    return answers, opened.read_text().count("read")


def test_a_machine_reads_its_data_once_and_all_its_processes_see_the_same(data):
    path = data.write("train.jsonl", [{"text": str(number)} for number in range(10)])
    (first, second), opened = load_in_two(data, {"path": path})
    assert first == second
    assert len(first[0]) == 8 and len(first[1]) == 2
    assert opened == 1


def test_a_failure_is_every_processes_own(data):
    (first, second), _ = load_in_two(data, {"path": "/nowhere.jsonl"})
    assert first == second
    assert first["field"] == "data_config.sources[0].path"
