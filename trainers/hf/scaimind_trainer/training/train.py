"""An attempt that trains, from its data to its output."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data import LoadedData, load_data
from ..failures import Facts
from ..fence import Fence
from ..heartbeat import Heartbeat
from ..journal import Journal
from ..ranks import Ranks
from ..requests import Requests, Stopped
from ..settings import Settings
from .attempt import Attempt, Parts

if TYPE_CHECKING:
    import torch

    from ..checkpoints import CheckpointKeeper


def train(
    job: dict[str, Any], settings: Settings, *, directory: Path, journal: Journal, fence: Fence, requests: Requests, facts: Facts
) -> None:
    """
    Trains, evaluates and exports. Throws Stopped once a requested stop is done, TrainerFailure for what can be expected to go wrong.
    The phases of the journal follow the steps of this function.
    """
    from .distributed import check_processes
    from .model import check_quantization

    if settings.training_type == "QLORA":
        check_quantization()
    check_processes(settings)
    ranks = Ranks()
    heartbeat = Heartbeat(directory, ranks.rank, ranks.world_size, journal.failure)
    attempt = Attempt(directory, settings, journal, fence, requests, ranks, heartbeat, facts)
    try:
        _train(job, attempt)
    finally:
        heartbeat.close()


def _train(job: dict[str, Any], attempt: Attempt) -> None:
    # A rank that leaves alone would leave the others waiting for it: several leave after their first step.
    with attempt.requests.leaving_at_once() if attempt.ranks.world_size == 1 else nullcontext():
        data, resumed, keeper, trainer = _prepare(job, attempt)
    _run(job, attempt, data, resumed, keeper, trainer)


def _prepare(job: dict[str, Any], attempt: Attempt) -> tuple[LoadedData, dict[str, Any] | None, CheckpointKeeper, Any]:
    """The data, the state of the checkpoint to go on from, and the trainer."""
    from ..checkpoints import CheckpointKeeper, fingerprint_of, open_checkpoint
    from .arguments import training_arguments
    from .family import family_of
    from .model import load_config, load_model, load_tokenizer, lora_config, row_tokens, trained_dtype, weight_dtype

    _quiet_packages()
    settings, journal, ranks = attempt.settings, attempt.journal, attempt.ranks
    data = load_data(job)
    for remark in data.remarks:
        journal.log(f"warning: {remark}")
    config = load_config(settings)
    tokenizer = load_tokenizer(settings)
    tokens = row_tokens(settings, config, tokenizer)
    dtype = weight_dtype(settings, config)
    fingerprint = fingerprint_of(attempt, [source.sha256 for source in data.sources])
    resumed = open_checkpoint(Path(settings.resume_from), fingerprint) if settings.resume_from else None

    family = family_of(settings.training_type)
    # Before the model: with ZeRO stage 3 the arguments decide where its weights go.
    arguments = family.arguments(attempt, training_arguments(settings, attempt.directory, dtype), tokens)
    model = load_model(settings, trained_dtype(settings, dtype))
    lora = lora_config(settings, model)
    _note_size(attempt, model, dtype, tokens)
    if not settings.has_adapter and settings.framework.type == "HF_TRAINER" and settings.model.dtype == "bfloat16":
        journal.log("warning: small steps are lost in weights of 16 bits; without base_model.dtype they are kept in float32 while they are trained")
    keeper = CheckpointKeeper(attempt, fingerprint)
    trainer = family.trainer(attempt, arguments, Parts(data, model, tokenizer, lora, tokens), keeper)
    attempt.facts.trainable = sum(weight.numel() for weight in trainer.model.parameters() if weight.requires_grad)
    ranks.open(arguments.ddp_timeout)
    journal.log(
        f"{len(trainer.train_dataset)} rows of at most {tokens} tokens to train on, {len(data.validation or [])} held out; "
        f"{attempt.facts.trainable} of {attempt.facts.parameters} weights are trained"
    )
    return data, resumed, keeper, trainer


def _run(job: dict[str, Any], attempt: Attempt, data: LoadedData, resumed: dict[str, Any] | None, keeper: CheckpointKeeper, trainer: Any) -> None:
    from ..export import export_output
    from ..final_evaluation import FinalEvaluation
    from .arguments import saving_folder

    settings, journal, ranks, requests = attempt.settings, attempt.journal, attempt.ranks, attempt.requests
    evaluation = FinalEvaluation(attempt, trainer, data.validation, keeper)
    if resumed:
        keeper.base = resumed["base"]
        trainer.observer.metrics = dict(resumed["metrics"])
        journal.log(f"resumed from step {resumed['step']}")
    trainer.add_callback(evaluation)
    trainer.train(resume_from_checkpoint=settings.resume_from)
    attempt.heartbeat.rest()
    if trainer.observer.stopped:
        journal.log(f"stopped on request after step {trainer.state.global_step}")
        raise Stopped

    try:
        scores = evaluation.finish()
        evaluation.leave_if_asked()
    except Stopped:
        if not ranks.sum([int(requests.stop and not requests.save_on_stop)])[0]:
            trainer._save_checkpoint(trainer.model, None)
        raise
    journal.phase("EXPORTING")
    export_output(job, attempt, trainer, data, scores)
    if ranks.is_first and saving_folder(attempt.directory).is_dir():
        saving_folder(attempt.directory).rmdir()
    ranks.wait()


def _quiet_packages() -> None:
    """No bars, and no advice to programmers, in the log of a job."""
    import datasets
    import transformers

    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    for package in ("transformers", "trl", "peft", "accelerate"):
        warnings.filterwarnings("ignore", category=FutureWarning, module=rf"{package}\b")
    # trl 2 will not cut on the left by itself; what is pinned does.
    warnings.filterwarnings("ignore", message="The `'keep_end'` truncation mode is deprecated")


def _note_size(attempt: Attempt, model: Any, computed: torch.dtype, tokens: int) -> None:
    """What an estimate of memory needs."""
    facts, config = attempt.facts, model.config.get_text_config()
    facts.parameters = model.num_parameters()
    facts.weight_bytes = next(model.parameters()).element_size()
    facts.computed_bytes = computed.itemsize
    facts.hidden_size = getattr(config, "hidden_size", 0)
    facts.layers = getattr(config, "num_hidden_layers", 0)
    facts.row_tokens = tokens
