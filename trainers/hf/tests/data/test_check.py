"""What is told about a job before it runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

MAIN = Path(__file__).parents[2] / "main.py"


@pytest.fixture
def check(data):
    """Checks a job with these sources in this process."""
    from scaimind_trainer.check import check_data

    def ask(*sources, training_type="SFT", model="org/model", hyperparameters=None, mapping=None, **config):
        given = [source if isinstance(source, dict) else {"path": source} for source in sources]
        return check_data(
            {
                "training_config": {
                    "training_type": training_type,
                    "base_model": {"model_id": model},
                    "hyperparameters": hyperparameters or {},
                },
                "data_config": {"sources": given, "preprocess": {"field_mapping": mapping or {}}, **config},
            }
        )

    return ask


def texts(count: int) -> list[dict]:
    """So many records of four characters."""
    return [{"text": f"{number:04}"} for number in range(count)]


def test_bad_lines_are_named_one_by_one_and_counted(data, check):
    lines = [json.dumps(record) for record in texts(60)]
    lines[41] = '{"text": '
    lines[49] = '{"question": "?"}'
    told = check(data.write("bad.jsonl", "\n".join(lines)))
    assert {problem["path"] for problem in told["problems"]} == {"data_config.sources[0].path"}
    first, second, count = [problem["message"] for problem in told["problems"]]
    assert first.startswith("bad.jsonl:42: not JSON")
    assert second.startswith("bad.jsonl:50: expected a record with")
    assert count.startswith("2 of 60 records cannot be used.")
    assert told["data"] == [{"source": 0, "records": 58, "tokens": 58}]


def test_records_are_counted_in_every_format_after_filters_and_sampling(data, check):
    rows = [{**record, "lang": "en" if number % 3 else "de"} for number, record in enumerate(texts(300))]
    told = check(
        data.write("a.csv", texts(100)),
        {"path": data.write("b.parquet", rows), "filters": {"lang": "de"}},
        {"path": data.write("c.json", texts(50)), "sampling": {"fraction": "0.5"}},
    )
    assert told["problems"] == []
    assert [(source["records"], source["tokens"]) for source in told["data"]] == [(100, 100), (100, 100), (25, 25)]


@pytest.mark.parametrize(
    ("options", "path", "words"),
    [
        ({"source": {"filters": {"langg": "de"}}}, "data_config.sources[0].filters.langg", "did you mean lang?"),
        ({"source": {"columns": ["txt"]}}, "data_config.sources[0].columns", "No record has a column 'txt'"),
        ({"mapping": {"tetx": "text"}}, "data_config.preprocess.field_mapping.tetx", "did you mean text?"),
        ({"training_type": "DPO"}, "data_config.sources[0].path", '"chosen" and "rejected"'),
        ({"source": {"filters": {"lang": "fr"}}}, "data_config.sources[0].filters", "no record that its filters accept"),
    ],
)
def test_what_the_data_do_not_have_is_told_by_its_field(data, check, options, path, words):
    source = {"path": data.write("train.jsonl", [{"text": "a", "lang": "de"}] * 3), **options.pop("source", {})}
    problems = check(source, **options)["problems"]
    assert problems[0]["path"] == path
    assert words in problems[0]["message"]


def test_a_split_that_leaves_nothing_to_train_on_is_told(data, check):
    problems = check(data.write("one.jsonl", texts(1)), validation_split=0.5)["problems"]
    assert [problem["path"] for problem in problems] == ["data_config.validation_split"]


def test_sources_that_are_not_to_be_read_are_left_out(data, check):
    told = check({"path": ""}, {"path": "org/data", "type": "huggingface"}, data.write("train.jsonl", texts(2)))
    assert told["problems"] == []
    assert [source["source"] for source in told["data"]] == [2]


@pytest.mark.parametrize("config", [{"max_position_embeddings": 256}, {"n_positions": 256}, {"text_config": {"max_position_embeddings": 256}}])
def test_rows_longer_than_the_positions_of_a_model_in_a_folder_are_told(data, check, config):
    folder = str(Path(data.write("model/config.json", json.dumps(config))).parent)
    train = data.write("train.jsonl", texts(2))
    problem = {"path": "data_config.max_seq_length", "message": "The model has 256 positions, not 1280."}
    assert check(train, model=folder, max_seq_length=1280)["problems"] == [problem]
    assert check(train, model=folder, max_seq_length=256)["problems"] == []


def test_no_heavy_package_is_imported_for_it(data):
    job = {"training_config": {"training_type": "SFT"}, "data_config": {"sources": [{"path": data.write("train.parquet", texts(3))}]}}
    words = [sys.executable, "-X", "importtime", str(MAIN), "--check"]
    done = subprocess.run(words, input=json.dumps(job), capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"problems": [], "data": [{"source": 0, "records": 3, "tokens": 3}], "total_steps": None}
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert "numpy" in imported
    assert not imported & {"torch", "transformers", "trl", "datasets", "pandas"}
