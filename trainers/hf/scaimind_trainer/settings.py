"""The submission as this trainer understands it. Every field acts or is refused by name; nothing heavy is imported for that."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from .frameworks import FrameworkSettings, read_framework
from .hyperparameters import TRAINING_TYPES, WITH_ADAPTERS, read_hyperparameters
from .parsing import Kind, Problem, boolean, is_unset, object_at, one_of, read_map
from .problems import TrainerFailure

DTYPES = ("auto", "float32", "bfloat16", "float16")

MODEL_KWARGS: dict[str, Kind] = {
    "attn_implementation": one_of("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention"),
    "use_kernels": boolean(),
    "low_cpu_mem_usage": boolean(),
}


@dataclass(frozen=True)
class ModelSettings:
    """The model to start from: a folder or a HuggingFace id. `revision`, `dtype` and `tokenizer_id` are empty for the model's own."""

    model_id: str
    revision: str
    dtype: str
    tokenizer_id: str
    trust_remote_code: bool
    kwargs: dict[str, Any]


@dataclass(frozen=True)
class DataSettings:
    """How records are batched and become tokens. `max_seq_length` 0: what the model allows; None: as the tokenizer does."""

    max_seq_length: int
    batch_size: int
    gradient_accumulation_steps: int
    num_workers: int
    pin_memory: bool
    validation_split: float
    seed: int
    add_bos: bool | None
    add_eos: bool | None
    padding: str
    truncation: str
    chat_template: str


@dataclass(frozen=True)
class OutputSettings:
    """When checkpoints are saved (STEPS, EPOCH, NONE), how many are kept, and whether the adapter is merged."""

    save_strategy: str
    save_steps: int
    save_total_limit: int
    merge_adapter: bool


@dataclass(frozen=True)
class Settings:
    """A checked submission with every default filled in."""

    job_id: str
    attempt: int
    name: str
    training_type: str
    model: ModelSettings
    framework: FrameworkSettings
    hyperparameters: dict[str, Any]
    data: DataSettings
    output: OutputSettings
    gpu_count: int
    resume_from: str | None

    @property
    def has_adapter(self) -> bool:
        """Whether adapters are trained, not all weights."""
        return self.training_type in WITH_ADAPTERS and self.hyperparameters["lora_r"] is not None


def read_settings(job: dict[str, Any]) -> Settings:
    """Reads a job. Throws TrainerFailure that names the first wrong field; the others are told on standard error."""
    settings, problems = check_job(job)
    for problem in problems[1:]:
        print(f"error: {problem.path}: {problem.message}", file=sys.stderr)
    if problems:
        first = problems[0]
        raise TrainerFailure("DATA" if first.path.startswith("data_config") else "UNKNOWN", first.message, field=first.path)
    return settings


def check_job(job: dict[str, Any]) -> tuple[Settings, list[Problem]]:
    """The settings, and everything that is wrong with them by field. They are to be used only where there is no problem."""
    problems: list[Problem] = []
    training = object_at(job, "training_config")
    training_type = training.get("training_type") or ""
    if training_type not in TRAINING_TYPES:
        problems.append(
            Problem("training_config.training_type", f"The training type must be one of {', '.join(TRAINING_TYPES)}, not {training_type!r}.")
        )
        training_type = "LORA"
    hyperparameters, wrong = read_hyperparameters(training.get("hyperparameters") or {}, training_type)
    problems += wrong
    framework = read_framework(job, training_type, problems)
    data = _read_data(object_at(job, "data_config"), problems)
    settings = Settings(
        job_id=str(job.get("job_id") or ""),
        attempt=int(job.get("attempt") or 1),
        name=str(job.get("name") or ""),
        training_type=training_type,
        model=_read_model(training, object_at(job, "data_config.preprocess"), problems),
        framework=framework,
        hyperparameters=hyperparameters,
        data=data,
        output=_read_output(object_at(job, "output_config"), problems),
        gpu_count=int(object_at(job, "resource_config").get("gpu_count") or 0),
        resume_from=job.get("resume_from") or None,
    )
    problems += _combinations(settings)
    return settings, problems


def _read_model(training: dict[str, Any], preprocess: dict[str, Any], problems: list[Problem]) -> ModelSettings:
    fields = object_at(training, "base_model")
    path = "training_config.base_model"
    model_id = fields.get("model_id") or ""
    is_folder = model_id.startswith("/")
    if not model_id:
        problems.append(Problem(f"{path}.model_id", "A model is required: a HuggingFace id, or the absolute path of a model's folder."))
    source = fields.get("source") or ""
    if source not in ("", "local", "huggingface"):
        problems.append(Problem(f"{path}.source", f"The source must be local or huggingface, not {source}."))
    elif source and (source == "local") != is_folder:
        problems.append(Problem(f"{path}.source", f"{model_id} is {'a folder' if is_folder else 'a HuggingFace id'}, not {source}."))
    if is_folder and not is_unset(fields.get("revision")):
        problems.append(Problem(f"{path}.revision", "A folder has no revisions; leave it out."))
    dtype = fields.get("dtype") or ""
    if dtype not in ("", *DTYPES):
        problems.append(Problem(f"{path}.dtype", f"dtype must be one of {', '.join(DTYPES)}, not {dtype}."))
    tokenizer_id = fields.get("tokenizer_id") or ""
    if tokenizer_id and (preprocess.get("tokenizer") or tokenizer_id) != tokenizer_id:
        problems.append(Problem("data_config.preprocess.tokenizer", f"It contradicts base_model.tokenizer_id, which is {tokenizer_id}."))
    return ModelSettings(
        model_id=model_id,
        revision=fields.get("revision") or "",
        dtype=dtype,
        tokenizer_id=tokenizer_id or preprocess.get("tokenizer") or "",
        trust_remote_code=bool(fields.get("trust_remote_code")),
        kwargs=read_map(f"{path}.model_kwargs", fields.get("model_kwargs"), MODEL_KWARGS, problems),
    )


def _read_data(fields: dict[str, Any], problems: list[Problem]) -> DataSettings:
    preprocess = fields.get("preprocess") or {}
    path = "data_config.preprocess"
    for name, allowed in (("padding", ("longest", "max_length")), ("truncation", ("right", "left", "error"))):
        if (given := preprocess.get(name) or "") not in ("", *allowed):
            problems.append(Problem(f"{path}.{name}", f"{name} must be {' or '.join(allowed)}, not {given}."))
    number = _numbers("data_config", fields, problems)
    return DataSettings(
        max_seq_length=number("max_seq_length", 8, 10_000_000, 0),
        batch_size=number("batch_size", 1, 65_536, 8),
        gradient_accumulation_steps=number("gradient_accumulation_steps", 1, 65_536, 1),
        num_workers=number("num_workers", 1, 1024, 0),
        pin_memory=bool(fields.get("pin_memory")),
        validation_split=number("validation_split", 0, 0.9, 0, fraction=True),
        seed=number("seed", -(2**63), 2**63 - 1, 42, zero_is_set=True),
        add_bos=preprocess.get("add_bos"),
        add_eos=preprocess.get("add_eos"),
        padding=preprocess.get("padding") or "longest",
        truncation=preprocess.get("truncation") or "right",
        chat_template=preprocess.get("chat_template") or "",
    )


def _read_output(fields: dict[str, Any], problems: list[Problem]) -> OutputSettings:
    strategy = fields.get("save_strategy") or "STEPS"
    if strategy == "SAVE_STRATEGY_UNSPECIFIED":
        strategy = "STEPS"
    if strategy not in ("STEPS", "EPOCH", "NONE"):
        problems.append(Problem("output_config.save_strategy", f"save_strategy must be STEPS, EPOCH or NONE, not {strategy}."))
    if (fields.get("export_format") or "safetensors") != "safetensors":
        problems.append(Problem("output_config.export_format", f"This trainer exports safetensors, not {fields['export_format']}."))
    number = _numbers("output_config", fields, problems)
    return OutputSettings(
        save_strategy=strategy,
        save_steps=number("save_steps", 1, 100_000_000, 100),
        save_total_limit=number("save_total_limit", 1, 100_000, 3),
        merge_adapter=bool(fields.get("merge_adapter")),
    )


def _numbers(path: str, fields: dict[str, Any], problems: list[Problem]):
    def read(name: str, low: float, high: float, unset: float, *, fraction: bool = False, zero_is_set: bool = False) -> Any:
        given = fields.get(name)
        if is_unset(given) and not (zero_is_set and given in (0, "0")):
            return unset
        try:
            value = float(given) if fraction else int(given)
        except (TypeError, ValueError):
            value = None
        if value is None or not low <= value <= high:
            kind = "a number" if fraction else "a whole number"
            problems.append(Problem(f"{path}.{name}", f"{name} must be {kind} from {low} to {high}, not {given!r}."))
            return unset
        return value

    return read


def _combinations(settings: Settings) -> list[Problem]:
    problems: list[Problem] = []

    def refuse(path: str, message: str) -> None:
        problems.append(Problem(path, message))

    kind, data, values = settings.training_type, settings.data, settings.hyperparameters
    if settings.output.merge_adapter and not settings.has_adapter:
        refuse("output_config.merge_adapter", f"{kind} has no adapter to merge here; it saves a whole model.")
    if settings.output.merge_adapter and kind == "QLORA":
        refuse("output_config.merge_adapter", "An adapter trained on 4-bit weights is not merged here: merge it into the full-precision model.")
    if settings.model.dtype == "float16" and not settings.has_adapter:
        refuse("training_config.base_model.dtype", "All weights cannot be trained in float16: give bfloat16 or float32.")
    preprocess = "data_config.preprocess"
    if values.get("packing"):
        if data.padding == "max_length":
            refuse(f"{preprocess}.padding", "Packed rows have no padding: leave padding out, or set packing to false.")
        if data.truncation != "right":
            refuse(f"{preprocess}.truncation", "Packing cuts on the right: leave truncation out, or set packing to false.")
    if data.padding == "max_length" and not data.max_seq_length:
        refuse(f"{preprocess}.padding", "Padding to max_length needs data_config.max_seq_length.")
    if kind == "RLHF":
        if data.validation_split:
            refuse("data_config.validation_split", "RLHF has prompts and no loss on held-out records: leave it out.")
        for name in ("padding", "truncation"):
            if getattr(data, name) not in ("longest", "right"):
                refuse(f"{preprocess}.{name}", "RLHF makes its own completions: leave it out, and use max_prompt_length and max_completion_length.")
        if data.max_seq_length:
            refuse("data_config.max_seq_length", "RLHF has max_prompt_length and max_completion_length instead.")
        group = data.batch_size * data.gradient_accumulation_steps
        if settings.framework.world_size <= 1 and settings.gpu_count <= 1 and group % values["num_generations"]:
            refuse("training_config.hyperparameters.num_generations", f"num_generations must divide batch_size × gradient_accumulation_steps ({group}).")
    if kind in ("DPO", "RLHF"):
        for name in ("add_bos", "add_eos"):
            if getattr(data, name) is not None:
                refuse(f"{preprocess}.{name}", f"{kind} marks its sequences as the tokenizer and trl do: leave it out.")
    if values.get("eval_steps") and not data.validation_split:
        refuse("training_config.hyperparameters.eval_steps", "Nothing is held out to evaluate on: give data_config.validation_split.")
    if settings.framework.backend == "nccl" and settings.gpu_count == 0:
        refuse("training_config.framework.distributed.backend", "nccl needs GPUs, and resource_config.gpu_count is 0: give gloo or leave it out.")
    return problems
