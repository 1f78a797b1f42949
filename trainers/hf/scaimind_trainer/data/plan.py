"""What a job asks of its data, read strictly from `job.json`."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass, field

from ..problems import TrainerFailure
from .filters import Filter, read_filters

DEFAULT_SEED = 42

FILE_TYPES = ("", "file", "local", "dataset")
SAMPLING = ("weight", "max_records", "fraction")
FIELD_NAMES = ("text", "prompt", "completion", "messages", "chosen", "rejected", "tools")


@dataclass(frozen=True)
class Sampling:
    """How a source's records are drawn. `weight` None: not weighted; `max_records` 0: all."""

    weight: float | None = None
    max_records: int = 0
    fraction: float = 1.0


@dataclass(frozen=True)
class SourcePlan:
    """One of `data_config.sources`."""

    index: int
    path: str
    is_hub: bool
    split: str
    format: str
    columns: tuple[str, ...]
    filters: tuple[Filter, ...]
    sampling: Sampling

    def at(self, name: str) -> str:
        """The path of one of its fields in the submission."""
        return f"data_config.sources[{self.index}].{name}"


@dataclass(frozen=True)
class DataPlan:
    """All that a job says about its data."""

    training_type: str
    sources: tuple[SourcePlan, ...]
    # Field that the trainer expects → field of the record.
    mapping: dict[str, str] = field(default_factory=dict)
    validation_split: float = 0.0
    seed: int = DEFAULT_SEED
    max_seq_length: int = 0
    skip_bad_records: bool = False


def read_plan(job: dict) -> DataPlan:
    """Reads a parsed `job.json`. Looks at no file. Raises TrainerFailure naming the first field that is wrong."""
    training = job.get("training_config") or {}
    config = job.get("data_config") or {}
    training_type = training.get("training_type") or ""
    given = config.get("sources") or []
    if not given:
        raise _refused("data_config.sources", "Name at least one source.")
    sources = tuple(_read_source(index, source or {}) for index, source in enumerate(given))
    weighted = [source for source in sources if source.sampling.weight is not None]
    if weighted and len(weighted) < len(sources):
        without = next(source for source in sources if source.sampling.weight is None)
        raise _refused(without.at("sampling.weight"), "Either every source has a weight or none has.")
    return DataPlan(
        training_type=training_type,
        sources=sources,
        mapping=_read_mapping((config.get("preprocess") or {}).get("field_mapping") or {}, training_type),
        validation_split=_read_split(config.get("validation_split")),
        seed=_read_seed(config.get("seed")),
        max_seq_length=int(config.get("max_seq_length") or 0),
        skip_bad_records=_read_flag((training.get("hyperparameters") or {}).get("skip_bad_records")),
    )


def near_miss(name: str, known) -> str:
    """` Did you mean …?` where a known name is close; else nothing."""
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(close)}?" if close else ""


def _read_source(index: int, source: dict) -> SourcePlan:
    at = f"data_config.sources[{index}]"
    path, kind = source.get("path") or "", source.get("type") or ""
    if not path:
        raise _refused(f"{at}.path", "Name a file, a folder or a data set.")
    if kind not in (*FILE_TYPES, "huggingface"):
        raise _refused(f"{at}.type", f"A source is a file (default), a dataset or huggingface, not {kind!r}.")
    return SourcePlan(
        index=index,
        path=path,
        is_hub=kind == "huggingface",
        split=source.get("split") or "",
        format=(source.get("format") or "").lower(),
        columns=tuple(source.get("columns") or ()),
        filters=read_filters(source.get("filters") or {}),
        sampling=_read_sampling(source.get("sampling") or {}, f"{at}.sampling"),
    )


def _read_sampling(given: dict[str, str], at: str) -> Sampling:
    for name in given:
        if name not in SAMPLING:
            raise _refused(f"{at}.{name}", f"Sampling takes {', '.join(SAMPLING)}.{near_miss(name, SAMPLING)}")

    def number(name: str) -> float | None:
        return _number(given[name]) if name in given else None

    weight, most, fraction = number("weight"), number("max_records"), number("fraction")
    if "weight" in given and not (weight is not None and weight > 0):
        raise _refused(f"{at}.weight", f"A weight is a number above 0, not {given['weight']!r}.")
    if "max_records" in given and not (most is not None and most >= 1 and most == int(most)):
        raise _refused(f"{at}.max_records", f"This is a whole number from 1, not {given['max_records']!r}.")
    if "fraction" in given and not (fraction is not None and 0 < fraction <= 1):
        raise _refused(f"{at}.fraction", f"A fraction is above 0 and at most 1, not {given['fraction']!r}.")
    return Sampling(weight, int(most or 0), 1.0 if fraction is None else fraction)


def _read_mapping(given: dict[str, str], training_type: str) -> dict[str, str]:
    for name, source in given.items():
        at = f"data_config.preprocess.field_mapping.{name}"
        # A reward function may ask for columns of any name.
        if name not in FIELD_NAMES and training_type != "RLHF":
            raise _refused(at, f"The fields of a record are {', '.join(FIELD_NAMES)}.{near_miss(name, FIELD_NAMES)}")
        if not source:
            raise _refused(at, "Name the field of the record.")
    return dict(given)


def _read_split(given) -> float:
    share = 0.0 if given is None else _number(given)
    if share is None or not 0 <= share < 1:
        raise _refused("data_config.validation_split", f"This is a fraction from 0 to below 1, not {given!r}.")
    return share


def _read_seed(given) -> int:
    # Numbers of 64 bits come as text.
    try:
        return DEFAULT_SEED if given in (None, "") else int(given)
    except (TypeError, ValueError):
        raise _refused("data_config.seed", f"A seed is a whole number, not {given!r}.") from None


def _read_flag(given: str | None) -> bool:
    if given not in (None, "true", "false"):
        at = "training_config.hyperparameters.skip_bad_records"
        raise TrainerFailure("CODE", f"This is true or false, not {given!r}.", field=at)
    return given == "true"


def _number(text) -> float | None:
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _refused(at: str, message: str) -> TrainerFailure:
    return TrainerFailure("DATA", message, field=at)
