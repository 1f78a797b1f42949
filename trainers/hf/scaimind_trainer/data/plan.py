"""What a job asks of its data, read strictly from `job.json`."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..parsing import Kind, boolean, integer, near_miss, number
from ..problems import TrainerFailure
from .filters import Filter, read_filters

DEFAULT_SEED = 42

FILE_TYPES = ("", "file", "local", "dataset")
SAMPLING = {"weight": number(0, 1e9, above=True), "max_records": integer(1, 1 << 53), "fraction": number(0, 1, above=True)}
SEEDS = integer(-(1 << 63), (1 << 63) - 1)
SHARES = number(0, 0.9)
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
    share, seed = config.get("validation_split"), config.get("seed")
    skip = (training.get("hyperparameters") or {}).get("skip_bad_records", "false")
    return DataPlan(
        training_type=training_type,
        sources=sources,
        mapping=_read_mapping((config.get("preprocess") or {}).get("field_mapping") or {}, training_type),
        validation_split=0.0 if share is None else _read("data_config.validation_split", share, SHARES),
        # Numbers of 64 bits come as text.
        seed=DEFAULT_SEED if seed in (None, "") else _read("data_config.seed", seed, SEEDS),
        max_seq_length=int(config.get("max_seq_length") or 0),
        skip_bad_records=_read("training_config.hyperparameters.skip_bad_records", skip, boolean()),
    )


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
            raise _refused(f"{at}.{name}", f"Sampling takes {', '.join(SAMPLING)}{near_miss(name, SAMPLING)}.")
    return Sampling(**{name: _read(f"{at}.{name}", value, SAMPLING[name]) for name, value in given.items()})


def _read_mapping(given: dict[str, str], training_type: str) -> dict[str, str]:
    for name, source in given.items():
        at = f"data_config.preprocess.field_mapping.{name}"
        # A reward function may ask for columns of any name.
        if name not in FIELD_NAMES and training_type != "RLHF":
            raise _refused(at, f"The fields of a record are {', '.join(FIELD_NAMES)}{near_miss(name, FIELD_NAMES)}.")
        if not source:
            raise _refused(at, "Name the field of the record.")
    return dict(given)


def _read(at: str, given, kind: Kind):
    value = kind.read(str(given))
    if value is None:
        raise _refused(at, f"This is {kind.text}, not {given!r}.")
    return value


def _refused(at: str, message: str) -> TrainerFailure:
    return TrainerFailure("DATA", message, field=at)
