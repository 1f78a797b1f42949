"""Loss and perplexity of the model before and after training, on the records that were held out."""

from __future__ import annotations

import json
import math
from typing import Any

import torch
from datasets import Dataset
from jinja2 import TemplateError
from transformers import TrainerCallback

from .checkpoints import CheckpointKeeper
from .problems import TrainerFailure
from .requests import Stopped
from .training.attempt import Attempt

SAMPLES = 2
"""Held-out prompts that both models continue."""
TEXT_PROMPT_CHARACTERS = 40
"""Characters of a held-out text that serve as its prompt."""
SAMPLE_TOKENS = 64


class FinalEvaluation(TrainerCallback):
    """
    Measures the base when the trainer begins, at which point the model still computes what the base does, and the tuned model when
    `finish` is called. The scores of the base go into checkpoints: an attempt that goes on cannot measure them.
    """

    def __init__(self, attempt: Attempt, trainer: Any, held_out: Dataset | None, keeper: CheckpointKeeper):
        self._attempt = attempt
        self._trainer = trainer
        self._held_out = held_out
        self._keeper = keeper
        self._tokens = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        journal = self._attempt.journal
        if self._held_out is not None and self._keeper.base is None:
            loss = self._score()
            if not math.isfinite(loss):
                raise TrainerFailure("NAN_LOSS", "The base model gives no finite loss on the validation split.", first_bad_step=0)
            self._keeper.base = {"loss": loss, "samples": self._continuations()}
            journal.metrics(0, 0, {"eval_loss": loss})
            journal.log(f"base model: eval_loss {loss:.4f} perplexity {_perplexity(loss):.3f}")
        journal.phase("TRAINING")

    def finish(self) -> dict[str, Any] | None:
        """
        Measures the tuned model and tells both. Answers `base` and `tuned` with loss and perplexity; None without held-out records.
        Throws Stopped on request.
        """
        base = self._keeper.base
        if self._held_out is None or base is None:
            return None
        journal, state = self._attempt.journal, self._trainer.state
        journal.phase("EVALUATING")
        loss = self._score()
        journal.metrics(state.global_step, round(state.epoch or 0, 4), {"eval_loss": loss})
        scores = {name: {"loss": value, "perplexity": _perplexity(value)} for name, value in (("base", base["loss"]), ("tuned", loss))}
        samples = [
            {"prompt": prompt, "base": before, "tuned": after}
            for (prompt, before), (_, after) in zip(base["samples"], self._continuations(), strict=False)
        ]
        journal.event({"type": "evaluation", **scores, "tokens": self._tokens, "samples": samples})
        before, after = scores["base"]["perplexity"], scores["tuned"]["perplexity"]
        journal.log(f"held-out perplexity: base {before:.3f}, tuned {after:.3f} ({(after / before - 1) * 100:.1f} %)")
        return scores

    def leave_if_asked(self) -> None:
        """Throws Stopped on every rank where any was asked to stop."""
        if self._attempt.ranks.sum([int(self._attempt.requests.stop)])[0]:
            self._attempt.journal.log("stopped on request")
            raise Stopped

    def _score(self) -> float:
        """Mean loss in nats a token that is learnt from; of preferences, of the chosen answers."""
        trainer = self._trainer
        model = trainer.model
        total, tokens = 0.0, 0
        model.eval()
        with self._attempt.heartbeat.paused():
            for number, batch in enumerate(trainer.get_eval_dataloader()):
                self.leave_if_asked()
                inputs = _likelihood_inputs(trainer._prepare_inputs(batch))
                inputs["labels"] = _without_repeats(inputs, self._rows_left(number))
                with torch.no_grad(), trainer.compute_loss_context_manager():
                    outputs = model(**inputs, use_cache=False, fused_lm_head=True)
                total -= outputs.log_probs.double().sum().item()
                tokens += int(outputs.label_mask.sum())
            parts = self._attempt.ranks.gather((total, tokens))
        self._tokens = sum(count for _, count in parts)
        return sum(part for part, _ in parts) / max(self._tokens, 1)

    def _rows_left(self, batch_number: int) -> int:
        """How many held-out rows there are from this rank's batch on; the ranks take batches in turns."""
        trainer, ranks = self._trainer, self._attempt.ranks
        return len(trainer.eval_dataset) - (batch_number * ranks.world_size + ranks.rank) * trainer.args.eval_batch_size

    def _continuations(self) -> list[tuple[str, str]]:
        """The same held-out prompts continued by the model as it is. None of a model whose weights are spread over the ranks."""
        if self._attempt.settings.framework.type in ("FSDP", "DEEPSPEED") or not self._attempt.ranks.is_first or self._held_out is None:
            return []
        tokenizer = self._trainer.processing_class
        model = self._trainer.accelerator.unwrap_model(self._trainer.model)
        model.eval()
        row_tokens = self._attempt.facts.row_tokens
        new_tokens = min(SAMPLE_TOKENS, row_tokens // 2)
        found = []
        for index in range(min(SAMPLES, len(self._held_out))):
            prompt, ids = prompt_of(self._held_out[index], tokenizer)
            if len(ids) > row_tokens - new_tokens:
                # A model has only so many positions, and memory for no more than it is trained on.
                ids = ids[new_tokens - row_tokens :]
                prompt = tokenizer.decode(ids)
            tokens = torch.tensor([ids], device=model.device)
            with torch.no_grad(), self._trainer.compute_loss_context_manager():
                continued = model.generate(
                    input_ids=tokens,
                    attention_mask=torch.ones_like(tokens),
                    max_new_tokens=new_tokens,
                    do_sample=False,
                    use_cache=True,
                    pad_token_id=tokenizer.pad_token_id,
                )
            found.append((prompt.strip(), tokenizer.decode(continued[0, len(ids) :], skip_special_tokens=True).strip()))
        return found


def _perplexity(loss: float) -> float:
    # A float ends at exp(709).
    return math.exp(min(loss, 700.0))


def _likelihood_inputs(batch: dict[str, Any]) -> dict[str, Any]:
    """What the model needs to score a batch; of preferences the first half, which is the chosen answers."""
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "position_ids", "labels") if name in batch}
    if "completion_mask" in batch:
        inputs["labels"] = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)
        inputs = {name: value[: len(value) // 2] for name, value in inputs.items()}
    return inputs


def _without_repeats(inputs: dict[str, Any], rows_left: int) -> torch.Tensor:
    """The labels of a batch without those of rows after the last: the first ones come again there, so that all ranks get equal batches."""
    labels = inputs["labels"]
    if "attention_mask" in inputs:
        rows = torch.arange(len(labels), device=labels.device).unsqueeze(1)
    else:
        # Without padding the rows of a batch are one, and each begins with position 0.
        rows = (inputs["position_ids"] == 0).cumsum(1) - 1
    return labels.masked_fill(rows >= rows_left, -100)


def prompt_of(record: dict[str, Any], tokenizer: Any) -> tuple[str, list[int]]:
    """What a held-out record says before its answer, as text and as tokens; of one that is all answer, how that begins."""
    told = next(record[name] for name in ("messages", "prompt", "completion", "chosen", "text") if record.get(name))
    if isinstance(told, list):
        answers = [number for number, message in enumerate(told) if message["role"] == "assistant"]
        before = told if told is record.get("prompt") else told[: answers[-1] if answers else 0]
        try:
            if before:
                return _rendered(before, record.get("tools"), tokenizer)
        except TemplateError:
            # Some templates refuse a conversation that ends there. That is no reason to fail: only a sample is made of it.
            pass
        told = told[0].get("content") or tokenizer.eos_token
    text = told if told is record.get("prompt") else told[:TEXT_PROMPT_CHARACTERS]
    return text, tokenizer(text)["input_ids"]


def _rendered(messages: list[dict[str, Any]], tools: str | None, tokenizer: Any) -> tuple[str, list[int]]:
    functions = json.loads(tools) if tools else None
    text = tokenizer.apply_chat_template(messages, tools=functions, tokenize=False, add_generation_prompt=True)
    # The template has marked the beginning.
    return text, tokenizer(text, add_special_tokens=False)["input_ids"]
