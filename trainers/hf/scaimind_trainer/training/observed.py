"""trl's trainers under our protocol: what happens in them is told, asked for and kept the way a job's attempt does it."""

from __future__ import annotations

import hashlib
import math
import time
from collections import deque
from typing import Any

import torch
from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import PrinterCallback

from ..checkpoints import CheckpointKeeper
from ..problems import TrainerFailure
from ..requests import Stopped
from .attempt import Attempt
from .distributed import shard_on_cpu

# Metrics of trl by our names; its others are left out, but for those that are nobody else's.
METRIC_NAMES = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "rewards/chosen": "rewards_chosen",
    "rewards/rejected": "rewards_rejected",
    "rewards/margins": "rewards_margin",
    "reward": "reward",
    "kl": "kl",
}
# What tells the progress of RLHF and of DPO, beside a loss that hardly does.
REWARDS_LOGGED = {"reward": "reward", "rewards/margins": "rewards_margin", "rewards/accuracies": "rewards_accuracy"}
# At most this often, in seconds, a `progress` event is written.
PROGRESS_INTERVAL = 0.4
# The time left is told from the mean of this many steps.
STEPS_AVERAGED = 20


def observed(base: type[Trainer]) -> type[Trainer]:
    """A trainer class of trl that runs as a job's attempt: `attempt` and `keeper` are keyword arguments of its constructor."""

    class ObservedTrainer(base):  # type: ignore[misc,valid-type]
        def __init__(self, *args: Any, attempt: Attempt, keeper: CheckpointKeeper, **kwargs: Any):
            self.attempt = attempt
            self.keeper = keeper
            self.observer = Observer(attempt, keeper)
            super().__init__(*args, **kwargs)
            self.observer.rows = self.train_dataset
            self.remove_callback(PrinterCallback)
            self.add_callback(self.observer)

        def create_accelerator_and_postprocess(self) -> None:
            super().create_accelerator_and_postprocess()
            shard_on_cpu(self)

        def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
            if self.state.global_step >= self.state.max_steps:
                # It goes on from its last step, as where it was stopped while it was evaluated: the loop would do one more.
                return [], None
            self.observer.begin_step(self.state.global_step + 1)
            return super().get_batch_samples(*args, **kwargs)

        def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
            self.observer.begin_batch(inputs)
            loss = super().training_step(model, inputs, *args, **kwargs)
            self.observer.end_batch(loss)
            return loss

        def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
            super().log(logs, start_time)
            # The journal is the history; kept here it would grow with every step, and every checkpoint with it.
            self.state.log_history.clear()

        def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
            with self.attempt.heartbeat.paused():
                try:
                    return super().evaluate(*args, **kwargs)
                except Stopped:
                    self.observer.stop(self.state, self.control)
                    return {}

        def _save_checkpoint(self, model: Any, trial: Any) -> None:
            # trl's own writes a model card beside the checkpoint first; ours is written once, with the output.
            step = self.state.global_step
            with self.attempt.heartbeat.paused():
                self.keeper.save(self, step, self.observer.metrics, lambda: Trainer._save_checkpoint(self, model, trial))

    ObservedTrainer.__name__ = base.__name__
    return ObservedTrainer


class Observer(TrainerCallback):
    """Watches the steps of a trainer: tells metrics and progress, answers requests, and stops at a loss that is not finite."""

    def __init__(self, attempt: Attempt, keeper: CheckpointKeeper):
        self._attempt = attempt
        self._keeper = keeper
        # The last values, which a checkpoint carries.
        self.metrics: dict[str, float] = {}
        self.stopped = False
        # What is trained on, where the rows of a bad batch are looked up.
        self.rows: Any = None
        self._durations: deque[float] = deque(maxlen=STEPS_AVERAGED)
        self._told_at = float("-inf")
        self._began = time.monotonic()
        self._batches: list[Any] = []
        self._losses: list[torch.Tensor] = []
        self._tokens: Any = 0
        self._samples: Any = 0
        self._step_tokens = 0
        self._step_samples = 0
        self._place = 1
        self._first_step = 0
        self._tokens_told = 0

    def begin_step(self, step: int) -> None:
        """The batches of a step are fetched."""
        self._began = time.monotonic()
        self._place = step
        self._attempt.heartbeat.beat(step, "data")
        self._batches, self._losses = [], []
        self._tokens = self._samples = 0

    def begin_batch(self, inputs: Any) -> None:
        """A batch is computed."""
        self._attempt.heartbeat.beat(self._place, "compute")
        if isinstance(inputs, dict):
            tokens, samples = _count(inputs)
            self._tokens, self._samples = self._tokens + tokens, self._samples + samples
            self._batches.append(inputs)
        else:
            # Prompts, which GRPO makes rows of by itself; it counts their tokens, too.
            self._samples += len(inputs)

    def end_batch(self, loss: torch.Tensor) -> None:
        """A batch was computed, with this loss."""
        self._losses.append(loss)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._first_step = state.global_step
        self._tokens_told = state.num_input_tokens_seen

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        attempt = self._attempt
        attempt.heartbeat.beat(state.global_step, "end")
        attempt.fence.check(1.0)
        requests = attempt.requests
        asked = [requests.stop, requests.stop and not requests.save_on_stop, requests.take_checkpoint()]
        stop, forget, save, tokens, samples = attempt.ranks.sum([*map(int, asked), int(self._tokens), int(self._samples)])
        if self._batches:
            state.num_input_tokens_seen += tokens
            self._step_tokens = tokens
        else:
            self._step_tokens = state.num_input_tokens_seen - self._tokens_told
            self._tokens_told = state.num_input_tokens_seen
        self._step_samples = samples
        if save or self._keeper.is_due(state.global_step, state.max_steps):
            control.should_save = True
        if stop:
            self._stop(state, control, save=not forget)
        return control

    def on_prediction_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._attempt.ranks.sum([int(self._attempt.requests.stop)])[0]:
            raise Stopped

    def stop(self, state: Any, control: Any) -> None:
        """Ends training where an evaluation in between was left on request. Every rank calls it."""
        requests = self._attempt.requests
        forget = self._attempt.ranks.sum([int(requests.stop and not requests.save_on_stop)])[0]
        self._stop(state, control, save=not forget)

    def _stop(self, state: Any, control: Any, *, save: bool) -> None:
        self.stopped = True
        control.should_training_stop = True
        control.should_evaluate = False
        control.should_save = save and state.global_step > self._first_step

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        if self._keeper.is_due_after_epoch() and not self.stopped:
            control.should_save = True
        return control

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        logs = logs or {}
        if "eval_loss" in logs:
            self.metrics["eval_loss"] = logs["eval_loss"]
            self._attempt.journal.metrics(state.global_step, round(state.epoch or 0, 4), {"eval_loss": logs["eval_loss"]})
            self._attempt.journal.log(f"step {state.global_step}/{state.max_steps} eval_loss {logs['eval_loss']:.4f}")
        elif "loss" in logs:
            self._tell_step(args, state, logs)

    def _tell_step(self, args: Any, state: Any, logs: dict[str, float]) -> None:
        seconds = max(time.monotonic() - self._began, 1e-9)
        self._durations.append(seconds)
        loss, norm = logs["loss"], logs.get("grad_norm", 0.0)
        # With scaled 16-bit gradients an overflow is part of finding the scale: such a step is skipped.
        if not math.isfinite(loss) or not (math.isfinite(norm) or args.fp16):
            raise self._bad_loss(state.global_step, loss)
        journal, step, total = self._attempt.journal, state.global_step, state.max_steps
        epoch = round(state.epoch or 0, 4)
        values = {METRIC_NAMES[name]: value for name, value in logs.items() if name in METRIC_NAMES}
        values["tokens_per_second"] = round(self._step_tokens / seconds, 1)
        values["samples_per_second"] = round(self._step_samples / seconds, 2)
        values["epoch"] = epoch
        journal.metrics(step, epoch, values)
        self.metrics["loss"] = loss
        left = round(sum(self._durations) / len(self._durations) * (total - step))
        now = time.monotonic()
        if now - self._told_at >= PROGRESS_INTERVAL or step == total:
            self._told_at = now
            journal.event(
                {
                    "type": "progress",
                    "step": step,
                    "total_steps": total,
                    "epoch": epoch,
                    "total_epochs": round(epoch * total / step, 4),
                    # The first step warms up; an estimate from it alone would mislead.
                    "eta_seconds": left if len(self._durations) > 1 else None,
                    "tokens_seen": int(state.num_input_tokens_seen),
                }
            )
        if step % self._attempt.settings.hyperparameters["logging_steps"] == 0 or step == total:
            rewards = "".join(f" {name} {logs[given]:.4f}" for given, name in REWARDS_LOGGED.items() if given in logs)
            journal.log(
                f"step {step}/{total} epoch {epoch} loss {loss:.4f}{rewards} learning_rate {logs.get('learning_rate', 0):.3e} "
                f"grad_norm {norm:.3f} {self._step_tokens / seconds:.0f} tokens/s, {left} s left"
            )

    def _bad_loss(self, step: int, loss: float) -> TrainerFailure:
        computed = zip(self._batches, self._losses, strict=False)
        own = [_name_rows(batch, self.rows) for batch, value in computed if not torch.isfinite(value).all()]
        found = [(rank, rows) for rank, rows in enumerate(self._attempt.ranks.gather(own)) if rows]
        if found:
            told = "; ".join(f"rank {rank}: {', '.join(rows)}" if self._attempt.ranks.world_size > 1 else ", ".join(rows) for rank, rows in found)
            message = f"The loss is not finite at step {step}, in the batch of the rows {told}."
        else:
            message = f"The {'gradient' if math.isfinite(loss) else 'loss'} is not finite at step {step}."
        return TrainerFailure(
            "NAN_LOSS",
            message,
            first_bad_step=step,
            hint="Look at those records, or lower training_config.hyperparameters.learning_rate, or add warmup_steps.",
        )


def _count(inputs: dict[str, Any]) -> tuple[Any, int]:
    """Tokens without padding, and sequences, of a batch."""
    ids = inputs["input_ids"]
    if "attention_mask" in inputs:
        return inputs["attention_mask"].sum(), ids.shape[0]
    if "position_ids" in inputs:
        # Packed rows: each sequence begins with position 0.
        return ids.numel(), int((inputs["position_ids"] == 0).sum())
    return ids.numel(), ids.shape[0]


def _name_rows(inputs: dict[str, Any], rows: Any) -> str:
    """
    Names the rows of a batch: by their numbers, from 0, in the training data, where they are found there, and by the first 12 digits
    of the SHA-256 of their tokens (32-bit little-endian numbers, padding left out).
    """
    masks = inputs.get("attention_mask")
    named: dict[tuple[int, ...], str] = {}
    for index, row in enumerate(inputs["input_ids"].cpu()):
        tokens = row[masks[index].cpu().bool()] if masks is not None else row
        named[tuple(tokens.tolist())] = hashlib.sha256(tokens.to(torch.int32).numpy().astype("<i4").tobytes()).hexdigest()[:12]
    if rows is not None and "input_ids" in (rows.column_names or []):
        for number, tokens in enumerate(rows["input_ids"]):
            if (name := named.get(tuple(tokens))) and not name.startswith("number"):
                named[tuple(tokens)] = f"number {number} (tokens' sha256 {name})"
    return ", ".join(named.values())
