"""Which records are trained on: columns, filters, sampling, weights, validation."""

from collections import Counter

import pytest


def numbers(dataset) -> list[int]:
    return [int(text) for text in dataset["text"][:]]


@pytest.fixture
def hundred(data) -> str:
    return data.write("train.jsonl", [{"text": str(number), "n": number, "lang": "de" if number % 2 else "en"} for number in range(100)])


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        ({"lang": "de"}, 50),
        ({"lang": "!=de"}, 50),
        ({"lang": "de|en"}, 100),
        ({"lang": "!=de|en"}, 0),
        ({"n": "7"}, 1),
        ({"n": "7.0"}, 1),
        ({"n": ">9"}, 90),
        ({"n": ">= 9"}, 91),
        ({"n": "<9"}, 9),
        ({"n": "<=9"}, 10),
        ({"n": "<9", "lang": "de"}, 4),
        ({"lang": ">=e"}, 50),
    ],
)
def test_filters_keep_the_records_for_which_all_of_them_hold(data, hundred, filters, kept):
    source = {"path": hundred, "filters": filters}
    if kept:
        assert len(data.load(source).training) == kept
    else:
        refused = data.refusal(source)
        assert refused.field == "data_config.sources[0].filters" and "no record that its filters accept" in refused.message


def test_filters_look_at_records_before_their_columns_are_dropped(data, hundred):
    loaded = data.load({"path": hundred, "filters": {"n": "<3"}, "columns": ["text"]})
    assert numbers(loaded.training) == [0, 1, 2]
    assert loaded.remarks == ["train.jsonl: of 100 records 97 left out by filters."]


@pytest.mark.parametrize("fields", [{"columns": ["text", "langs"]}, {"filters": {"langs": "de"}}])
def test_a_column_that_no_record_has_is_refused_by_name(data, hundred, fields):
    refused = data.refusal({"path": hundred, **fields})
    assert refused.field.startswith(f"data_config.sources[0].{next(iter(fields))}")
    assert "'langs'" in refused.message and "did you mean lang?" in refused.message


def test_a_share_and_a_number_of_records_are_drawn_by_seed(data, hundred):
    source = {"path": hundred, "sampling": {"fraction": "0.5", "max_records": "20"}}
    first, again, other = (numbers(data.load(source, seed=seed).training) for seed in ("1", "1", "2"))
    assert len(first) == 20 and first == again and first != other
    assert first == sorted(first)
    assert len(data.load({"path": hundred, "sampling": {"fraction": "0.255"}}).training) == 26


def test_sources_are_repeated_by_weight_within_an_epoch_as_long_as_the_data(data):
    large = data.write("large.jsonl", [{"text": str(number)} for number in range(90)])
    small = data.write("small.jsonl", [{"text": str(number)} for number in range(100, 110)])
    weighted = [{"path": large, "sampling": {"weight": "1"}}, {"path": small, "sampling": {"weight": "3"}}]
    found = numbers(data.load(*weighted).training)
    counts = Counter(found)
    assert len(found) == 100
    assert sum(count for number, count in counts.items() if number >= 100) == 75
    assert {counts[number] for number in range(100, 110)} == {7, 8}
    assert max(counts[number] for number in range(90)) == 1
    assert found == numbers(data.load(*weighted).training)
    assert any(number >= 100 for number in found[:20]) and any(number < 100 for number in found[:20])


def test_sources_without_weights_come_whole(data):
    a, b = data.write("a.jsonl", [{"text": "1"}, {"text": "2"}]), data.write("b.csv", [{"text": "3"}])
    assert sorted(numbers(data.load(a, b).training)) == [1, 2, 3]


@pytest.mark.parametrize(
    ("sampling", "name"),
    [
        ({"wieght": "1"}, "wieght"),
        ({"weight": "0"}, "weight"),
        ({"max_records": "1.5"}, "max_records"),
        ({"fraction": "2"}, "fraction"),
        ({"fraction": "nan"}, "fraction"),
    ],
)
def test_sampling_that_means_nothing_is_refused_by_name(data, hundred, sampling, name):
    assert data.refusal({"path": hundred, "sampling": sampling}).field == f"data_config.sources[0].sampling.{name}"


def test_all_sources_have_a_weight_or_none_has(data, hundred):
    refused = data.refusal({"path": hundred, "sampling": {"weight": "1"}}, {"path": hundred})
    assert refused.field == "data_config.sources[1].sampling.weight"


def test_validation_is_a_share_of_the_records_that_is_not_trained_on(data, hundred):
    loaded, again = (data.load(hundred, validation_split=0.2, seed="3") for _ in range(2))
    assert (len(loaded.training), len(loaded.validation)) == (80, 20)
    assert not set(numbers(loaded.training)) & set(numbers(loaded.validation))
    assert numbers(loaded.validation) == numbers(again.validation)
    assert numbers(loaded.validation) != numbers(data.load(hundred, validation_split=0.2, seed="4").validation)


def test_a_record_that_is_there_twice_is_on_one_side_only(data, hundred):
    loaded = data.load({"path": hundred, "sampling": {"weight": "1"}}, {"path": hundred, "sampling": {"weight": "2"}}, validation_split=0.3)
    assert not set(numbers(loaded.training)) & set(numbers(loaded.validation))
    assert len(set(numbers(loaded.validation))) == 30


def test_without_a_share_nothing_is_set_aside(data, hundred):
    assert data.load(hundred, validation_split=0).validation is None
    assert data.load(hundred, validation_split=None).validation is None


@pytest.mark.parametrize("share", [0.95, -0.1, "a"])
def test_a_share_that_is_none_is_refused(data, hundred, share):
    assert data.refusal(hundred, validation_split=share).field == "data_config.validation_split"


def test_a_share_that_leaves_nothing_is_refused(data):
    refused = data.refusal(data.write("train.jsonl", [{"text": "1"}]), validation_split=0.5)
    assert refused.field == "data_config.validation_split" and "leaves none to train on" in refused.message


def test_a_seed_is_a_whole_number(data, hundred):
    assert data.refusal(hundred, seed="1.5").field == "data_config.seed"
    assert len(data.load(hundred, seed="-9223372036854775808", validation_split=0.1).training) == 90
