"""The records that docs/data.md and docs/evaluations.md show are records."""

import json
import re
from pathlib import Path

import pytest

from scaimind_trainer.data.record import read_record
from scaimind_trainer.evaluation.benchmarks import METRICS, Benchmark
from scaimind_trainer.evaluation.records import read_questions

DOCS = Path(__file__).parents[3] / "docs"


def shown(page: str) -> list[tuple[str, str]]:
    """The rows of a page's tables that show a record: what it is for, carried on where a row does not say, and the record."""
    rows, what = [], ""
    for first, record in re.findall(r"^\| ?(.*?) ?\| `(\{.*?\})` \|", (DOCS / page).read_text(), re.MULTILINE):
        what = first or what
        rows.append((what, record))
    return rows


TRAINING = [(kind, record) for kinds, record in shown("data.md") for kind in kinds.split(", ")]
MEASURES = [(name.strip("`"), record) for name, record in shown("evaluations.md")]


@pytest.mark.parametrize(("training_type", "record"), TRAINING)
def test_a_documented_record_is_one(training_type, record):
    assert read_record(json.loads(record), {}, training_type)


@pytest.mark.parametrize(("metric", "record"), [one for one in MEASURES if one[0] in METRICS])
def test_a_documented_question_is_one(metric, record, tmp_path):
    path = tmp_path / "questions.jsonl"
    path.write_text(f"{record}\n")
    benchmark = Benchmark(index=0, name=metric, dataset="", num_samples=0, parameters={}, metric=metric, path=str(path))
    assert len(read_questions(benchmark)) == 1


def test_every_training_type_and_measure_is_documented():
    assert {kind for kind, _ in TRAINING} == {"SFT", "LORA", "QLORA", "FULL_FINETUNE", "CONTINUED_PRETRAIN", "DPO", "RLHF"}
    assert {name for name, _ in MEASURES} == {*METRICS, "bytes_accuracy"}
