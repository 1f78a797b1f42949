"""Files of every format, alone and in folders."""

import json

import pytest

RECORDS = [{"prompt": "2+2=", "completion": "4"}, {"prompt": "Zeile\neins, ü", "completion": 'said "so"'}]


@pytest.mark.parametrize("name", ["train.jsonl", "train.json", "train.csv", "train.tsv", "train.parquet"])
def test_records_are_the_same_in_every_format(data, name):
    loaded = data.load(data.write(name, RECORDS))
    assert loaded.training.to_list() == RECORDS
    assert loaded.sources[0].records == 2


def test_the_format_that_is_given_beats_the_name(data):
    assert data.load({"path": data.write("train.data", '{"text": "a"}\n'), "format": "ndjson"}).training["text"][:] == ["a"]


def test_a_text_file_is_divided_into_documents_by_blank_lines(data):
    loaded = data.load(data.write("book.txt", "one\nline\r\n\r\ntwo\n \t\n\n\nthree"), training_type="CONTINUED_PRETRAIN")
    assert loaded.training["text"][:] == ["one\nline", "two", "three"]


def test_a_long_document_is_cut_at_white_space_longer_where_rows_are(data):
    path = data.write("book.txt", "word " * 4000)
    short = data.load(path, training_type="CONTINUED_PRETRAIN").training["text"][:]
    longer = data.load(path, training_type="CONTINUED_PRETRAIN", max_seq_length=2048).training["text"][:]
    assert len(short) == 10 and max(map(len, short)) <= 2000
    assert len(longer) == 4 and max(map(len, longer)) <= 3 * 2048
    assert " ".join(longer) == ("word " * 4000).strip()


def test_a_json_file_may_hold_objects_one_after_the_other(data):
    assert data.load(data.write("train.json", '{"text": "a"}\n{"text": "b"}')).training["text"][:] == ["a", "b"]


def test_objects_longer_than_what_is_read_at_once_come_whole(data):
    records = [{"text": letter * 1_500_000} for letter in "ab"] + [{"text": "c"}]
    assert data.load(data.write("train.json", records)).training.to_list() == records


def test_a_marked_beginning_of_a_file_is_no_text(data):
    for name, text in {"a.jsonl": '{"text": "a"}', "a.json": '[{"text": "a"}]', "a.csv": "text\na\n", "a.txt": "a"}.items():
        assert data.load(data.write(name, b"\xef\xbb\xbf" + text.encode())).training["text"][:] == ["a"], name


def test_a_folder_is_its_files_in_the_order_of_their_names(data):
    data.write("all/b.jsonl", [{"text": "b"}])
    data.write("all/a.csv", [{"text": "a"}])
    data.write("all/README.md", "about it")
    data.write("all/.cache/c.jsonl", [{"text": "hidden"}])
    assert data.load(str(data.folder / "all")).training["text"][:] == ["a", "b"]


def test_a_split_of_a_folder_is_the_file_of_that_name(data):
    data.write("all/train-00000-of-00002.parquet", [{"text": "a"}])
    data.write("all/train-00001-of-00002.parquet", [{"text": "b"}])
    data.write("all/test.jsonl", [{"text": "c"}])
    folder = str(data.folder / "all")
    assert data.load({"path": folder, "split": "train"}).training["text"][:] == ["a", "b"]
    refused = data.refusal({"path": folder, "split": "dev"})
    assert refused.field == "data_config.sources[0].split" and "dev.jsonl" in refused.message


def test_a_link_that_leads_out_of_a_folder_is_refused(data):
    outside = data.write("other/secret.jsonl", [{"text": "secret"}])
    data.write("all/a.jsonl", [{"text": "a"}])
    (data.folder / "all" / "b.jsonl").symlink_to(outside)
    refused = data.refusal(str(data.folder / "all"))
    assert refused.field == "data_config.sources[0].path" and "b.jsonl is a link that leads out" in refused.message


@pytest.mark.parametrize(
    ("source", "field", "message"),
    [
        ({"path": "/nowhere/train.jsonl"}, "path", "There is no file train.jsonl."),
        ({"path": "FILE", "format": "parqet"}, "format", "did you mean parquet?"),
        ({"path": "FILE", "split": "train"}, "split", "A file is one split"),
        ({"path": "FILE", "type": "s3"}, "type", "not 's3'"),
        ({"path": ""}, "path", "Name a file"),
        ({"path": "ODD"}, "format", "cannot be told from its name"),
    ],
)
def test_a_source_that_cannot_be_read_is_refused_by_its_field(data, source, field, message):
    paths = {"FILE": data.write("train.jsonl", [{"text": "a"}]), "ODD": data.write("train.xlsx", "a")}
    refused = data.refusal({**source, "path": paths.get(source["path"], source["path"])})
    assert refused.class_name == "DATA"
    assert refused.field == f"data_config.sources[0].{field}"
    assert message in refused.message


def test_a_job_without_sources_is_refused(data):
    assert data.refusal().field == "data_config.sources"


@pytest.mark.parametrize(("records", "characters"), [(20_000, 2000), (40, 1_000_000)])
def test_large_files_are_not_held_in_memory(data, records, characters):
    import tracemalloc

    path = data.write("train.jsonl", "")
    with open(path, "w") as file:
        for number in range(records):
            file.write(json.dumps({"text": f"{number} " + "x" * characters}) + "\n")
    data.load(data.write("warm.jsonl", [{"text": "a"}]))
    tracemalloc.start()
    loaded = data.load(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(loaded.training) == records
    assert peak < 16e6, f"{peak} bytes for a file of 40 MB"
