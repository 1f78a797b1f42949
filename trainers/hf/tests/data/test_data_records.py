"""What records must hold for each training type, and what is said of those that do not."""

import pytest

CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


@pytest.mark.parametrize(
    ("training_type", "record", "columns"),
    [
        ("SFT", {"text": "a", "id": 1}, {"text": "a"}),
        ("LORA", {"prompt": "a", "completion": "b"}, {"prompt": "a", "completion": "b"}),
        ("QLORA", {"prompt": "", "completion": "b"}, {"prompt": "", "completion": "b"}),
        ("FULL_FINETUNE", {"messages": CHAT}, {"messages": CHAT}),
        ("CONTINUED_PRETRAIN", {"text": "a", "prompt": "b", "completion": "c"}, {"text": "a"}),
        ("DPO", {"prompt": "a", "chosen": "b", "rejected": "c", "source": "x"}, {"prompt": "a", "chosen": "b", "rejected": "c"}),
        ("DPO", {"chosen": "ab", "rejected": "ac"}, {"chosen": "ab", "rejected": "ac"}),
        ("RLHF", {"prompt": "a", "answer": 4, "completion": "d"}, {"prompt": "a", "answer": 4}),
    ],
)
def test_a_training_type_gets_the_columns_that_it_reads(data, training_type, record, columns):
    assert data.load(data.write("train.jsonl", [record]), training_type=training_type).training.to_list() == [columns]


def test_a_prompt_of_text_beside_messages_is_what_the_user_says(data):
    user, other = CHAT[0], {"role": "assistant", "content": "Go away"}
    record = {"prompt": "Hi", "chosen": CHAT, "rejected": [user, other]}
    loaded = data.load(data.write("train.jsonl", [record]), training_type="DPO")
    assert loaded.training.to_list() == [{"prompt": [user], "chosen": CHAT[1:], "rejected": [other]}]


def test_calls_of_tools_come_back_as_they_were(data):
    call = {"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "sum", "arguments": {"of": [1, 2.5]}}}]}
    tools = [{"type": "function", "function": {"name": "sum"}}]
    records = [{"messages": CHAT}, {"messages": [CHAT[0], call, {"role": "tool", "name": "sum", "content": "3"}], "tools": tools}]
    loaded = data.load(data.write("train.jsonl", records)).training.to_list()
    assert [row["messages"] for row in loaded] == [row["messages"] for row in records]
    assert loaded[1]["tools"] == '[{"type": "function", "function": {"name": "sum"}}]'


def test_columns_of_a_reward_keep_their_types(data):
    records = [{"prompt": "a", "n": 1, "x": "42", "ok": True}, {"prompt": "b", "n": 1.5, "x": {"y": [1, "z"]}, "ok": None}]
    assert data.load(data.write("train.jsonl", records), training_type="RLHF").training.to_list() == records


def test_fields_are_found_by_the_names_that_a_job_maps_them_to(data):
    path = data.write("train.jsonl", [{"question": "a", "answer": "b"}])
    assert data.load(path, mapping={"prompt": "question", "completion": "answer"}).training.to_list() == [{"prompt": "a", "completion": "b"}]
    rewarded = data.load(path, mapping={"prompt": "question", "truth": "answer"}, training_type="RLHF")
    assert rewarded.training.to_list() == [{"prompt": "a", "truth": "b"}]
    refused = data.refusal(path, mapping={"complete": "answer"})
    assert refused.field == "data_config.preprocess.field_mapping.complete" and "did you mean completion?" in refused.message


@pytest.mark.parametrize(
    ("training_type", "line", "reason"),
    [
        ("SFT", b"{broken", "not JSON: "),
        ("SFT", b'{"text": NaN}', "not JSON: NaN is no JSON value"),
        ("SFT", b'{"text": "\xff"}', "not UTF-8 text"),
        ("SFT", b'["text"]', "expected a JSON object"),
        ("SFT", b'{"texts": "a"}', 'expected a record with "text", with "prompt" and "completion", or with "messages"'),
        ("SFT", b'{"text": 4}', '"text" must be text'),
        ("SFT", b'{"text": " "}', '"text" is empty'),
        ("SFT", b'{"text": "\\ud800"}', "half of a character"),
        ("SFT", b'{"prompt": "a"}', 'expected "prompt" and "completion" together; found "prompt"'),
        ("SFT", b'{"prompt": "", "completion": [{"role": "assistant", "content": "a"}]}', '"prompt" is empty, and the others are messages'),
        ("SFT", b'{"messages": []}', '"messages" must be a list of {"role", "content"}'),
        ("SFT", b'{"messages": [{"role": "user", "content": "a"}]}', "has no assistant message to learn from"),
        ("SFT", b'{"messages": [{"role": "bot", "content": "a"}]}', '"messages"[0] must have a "role" of system, developer, user, assistant or tool'),
        ("SFT", b'{"messages": [{"role": "assistant", "content": [1]}]}', '"messages"[0] must have a "content" that is text'),
        ("DPO", b'{"prompt": "a", "chosen": "b"}', 'expected a record with "chosen" and "rejected"'),
        ("DPO", b'{"prompt": "a", "chosen": "b", "rejected": "b"}', '"chosen" and "rejected" are the same'),
        ("RLHF", b'{"text": "b"}', 'expected a record with "prompt"; found "text"'),
        ("CONTINUED_PRETRAIN", b'{"prompt": "a", "completion": "b"}', 'expected a record with "text"; found "prompt", "completion"'),
    ],
)
def test_a_bad_record_is_named_by_file_and_line(data, training_type, line, reason):
    refused = data.refusal(data.write("train.jsonl", b"\n" + line + b"\n"), training_type=training_type)
    assert (refused.class_name, refused.field) == ("DATA", "data_config.sources[0].path")
    assert refused.message.startswith("train.jsonl:2: ")
    assert reason in refused.message


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("a.csv", b'text,n\n"two\nlines",1\nb\n', "a.csv:4: 1 fields where the header has 2"),
        ("a.csv", b"text\na\n\xff\n", "a.csv:3: not UTF-8 text"),
        ("a.parquet", [{"text": "a"}, {"text": None}], "a.parquet, row 2: "),
        ("a.parquet", b"PAR0", "a.parquet, row 1: not readable as parquet"),
        ("a.json", b'[{"text": "a"},\n {"text": 4}]', 'a.json:2: "text" must be text'),
        ("a.json", b'[{"text": "a"},\n {"text": ', "a.json:2: not JSON"),
        ("a.json", b'{"text": "a"}\n[1]', "a.json:2: expected a list of JSON objects"),
        ("a.txt", b"one\n\ntwo\0", "a.txt:3: not a text file: it has a NUL byte"),
    ],
)
def test_a_bad_record_has_a_place_in_every_format(data, name, content, place):
    assert data.refusal(data.write(name, content)).message.startswith(place)


def test_a_mapped_column_that_a_source_does_not_have_is_blamed_on_the_mapping(data):
    path = data.write("train.jsonl", [{"question": "a", "reply": "b"}] * 3)
    refused = data.refusal(path, mapping={"prompt": "question", "completion": "replies"})
    assert refused.message == (
        'field_mapping takes completion from "replies", which train.jsonl does not have (did you mean reply?); there are "question", "reply".'
    )
    assert (refused.field, refused.hint) == ("data_config.preprocess.field_mapping.completion", None)
    left_out = data.refusal({"path": path, "columns": ["question"]}, mapping={"prompt": "question", "completion": "reply"})
    assert 'from "reply", which data_config.sources[0].columns leaves out; there are "question".' in left_out.message
    unread = data.refusal(path, mapping={"prompt": "question", "completion": "reply", "tools": "functions"})
    assert unread.message.startswith('field_mapping takes tools from "functions", which no source gives')
    assert unread.field == "data_config.preprocess.field_mapping.tools"


def test_a_source_that_names_its_columns_otherwise_than_the_mapping_is_to_blame(data):
    mapped, plain = data.write("a.jsonl", [{"question": "a", "reply": "b"}]), data.write("b.jsonl", [{"prompt": "a", "completion": "b"}])
    refused = data.refusal(mapped, plain, mapping={"prompt": "question", "completion": "reply"})
    assert 'field_mapping takes prompt from "question", which b.jsonl does not have; there are "completion", "prompt".' == refused.message
    assert refused.field == "data_config.sources[1].path"
    assert "holds for every source" in refused.hint


def test_a_record_without_a_mapped_column_names_the_mapping(data):
    path = data.write("train.jsonl", [{"question": "a", "reply": "b"}] * 3 + [{"question": "c"}])
    refused = data.refusal(path, mapping={"prompt": "question", "completion": "reply"})
    assert refused.message == 'train.jsonl:4: field_mapping takes completion from "reply", which it does not have; there are "question".'
    assert refused.field == "data_config.sources[0].path"


def test_the_first_bad_records_of_each_kind_are_named_and_the_others_counted(data):
    lines = ['{"text": "a"}'] * 20 + ['{"text": ""}'] * 7 + ['{"text": "a"', '{"text": "long"'] + ["[]"]
    refused = data.refusal(data.write("train.jsonl", "\n".join(lines)))
    assert refused.message == (
        'train.jsonl:21: "text" is empty; the same at train.jsonl:22, train.jsonl:23 and 4 more; '
        "train.jsonl:28: not JSON: Expecting ',' delimiter: line 2 column 1 (char 13); the same at train.jsonl:29; "
        "train.jsonl:30: expected a JSON object."
    )
    assert "skip_bad_records=true" in refused.hint


def test_many_kinds_of_bad_records_are_told_in_few_words(data):
    kinds = [{f"{letter * 80}": "a"} for letter in "abcdefgh"]
    refused = data.refusal(data.write("train.jsonl", kinds * 100))
    assert len(refused.message) < 450
    assert refused.message.endswith("; 700 more records cannot be used.")
    # So many are no slip in a few lines.
    assert refused.hint is None


def test_records_of_another_kind_than_those_before_are_bad(data):
    refused = data.refusal(data.write("a.jsonl", [{"messages": CHAT}]), data.write("b.jsonl", [{"text": "a"}]))
    assert refused.message.startswith('b.jsonl:1: it has "text", where the records before it have "messages"')
    assert refused.field == "data_config.sources[1].path"


def test_few_bad_records_can_be_skipped_and_are_told(data):
    path = data.write("train.jsonl", [{"text": "a"}] * 199 + [{"text": ""}])
    loaded = data.load(path, hyperparameters={"skip_bad_records": "true"})
    assert len(loaded.training) == 199
    assert '1 skipped as bad (train.jsonl:200: "text" is empty)' in loaded.remarks[0]


def test_more_than_one_bad_record_in_a_hundred_is_too_many_to_skip(data):
    path = data.write("train.jsonl", [{"text": "a"}] * 98 + [{"text": ""}] * 2)
    assert "2 of 100 records of train.jsonl cannot be used, more than 1%" in data.refusal(path, hyperparameters={"skip_bad_records": "true"}).message
    assert data.refusal(path, hyperparameters={"skip_bad_records": "maybe"}).field == "training_config.hyperparameters.skip_bad_records"


def test_a_file_without_records_is_refused(data):
    assert data.refusal(data.write("train.jsonl", "\n \n")).message == "train.jsonl has no records."
