"""How likely a model finds what it reads, and what it says itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from ..problems import TrainerFailure
from .records import Turn

# Logits of a batch take tokens x vocabulary numbers; a row may have more alone.
BATCH_TOKENS_MAX = 8192
DEFAULT_CONTEXT = 2048


@dataclass(frozen=True)
class Sequence:
    """Tokens, of which those from `first` on are to be predicted; `first` is at least 1."""

    ids: list[int]
    first: int


@dataclass(frozen=True)
class Tally:
    """Tokens that were predicted, and their negative log-likelihood in nats."""

    tokens: int
    nats: float


class Scorer:
    """A model with its tokenizer, read greedily and without chance. `told` is called with the rows and tokens of each batch."""

    def __init__(self, model, tokenizer, batch_size: int, told: Callable[[int, int], None]):
        self.model = model
        self.tokenizer = tokenizer
        self.batch_size = batch_size
        self.told = told
        config = model.config.get_text_config()
        self.context = getattr(config, "max_position_embeddings", None) or DEFAULT_CONTEXT

    def sequence(self, turn: Turn, *, ends: bool) -> Sequence:
        """A prompt and what is to follow, as in training; with `ends`, the end of the text is to be predicted too."""
        prompt, whole = self._texts(turn)
        is_chat = isinstance(turn.prompt, list)
        context, ids = self._encode(prompt, is_chat), self._encode(whole, is_chat)
        first = _common_prefix(context, ids) if prompt else 0
        if ends and self.tokenizer.eos_token_id is not None:
            ids.append(self.tokenizer.eos_token_id)
        start = self.tokenizer.bos_token_id
        if not prompt and start is not None and ids[:1] == [start]:
            first = 1
        if first == 0:
            # Something must be given for the first token to be predicted from.
            ids.insert(0, self.tokenizer.eos_token_id or 0 if start is None else start)
            first = 1
        return Sequence(ids, first)

    def tally(self, sequences: list[Sequence], *, cut: bool = False) -> list[Tally]:
        """Reads each with the true tokens before every one. What is longer than the model's context is read in stretches; with `cut`, its end only."""
        parts = [(index, part) for index, one in enumerate(sequences) for part in self._windows(one, cut)]
        parts.sort(key=lambda entry: len(entry[1].ids), reverse=True)
        tokens, nats = [0] * len(sequences), [0.0] * len(sequences)
        for batch in self._batches(parts):
            for (index, part), loss in zip(batch, self._read([part for _, part in batch]), strict=True):
                tokens[index] += len(part.ids) - part.first
                nats[index] += loss
            self.told(len(batch), sum(len(part.ids) for _, part in batch))
        return [Tally(*one) for one in zip(tokens, nats, strict=True)]

    def answers(self, prompts: list[str | list[dict]], max_tokens: int) -> list[str]:
        """The likeliest continuation of each prompt, token by token, up to the end of the text or `max_tokens`."""
        # The end of a prompt matters most, and at least half the context is kept for the answer where it asks for so much.
        given = max(self.context - max_tokens, self.context // 2)
        rows = []
        for index, prompt in enumerate(prompts):
            ids = self._encode(self._texts(Turn(prompt, ""))[0], isinstance(prompt, list))
            rows.append((index, Sequence(ids[-given:] or [self.tokenizer.bos_token_id or self.tokenizer.eos_token_id or 0], 0)))
        rows.sort(key=lambda entry: len(entry[1].ids), reverse=True)
        found = [""] * len(prompts)
        for batch in self._batches(rows):
            texts = self._generate([row.ids for _, row in batch], min(max_tokens, self.context - given))
            for (index, _), text in zip(batch, texts, strict=True):
                found[index] = text
            self.told(len(batch), sum(len(row.ids) for _, row in batch))
        return found

    def _texts(self, turn: Turn) -> tuple[str, str]:
        """The prompt as the model sees it, and the prompt with what is to follow."""
        if not isinstance(turn.prompt, list):
            return turn.prompt, turn.prompt + turn.expected
        if not self.tokenizer.chat_template:
            message = "The records are messages, and the model's tokenizer has no chat template."
            raise TrainerFailure("DATA", message, field="benchmarks")
        prompt = self.tokenizer.apply_chat_template(turn.prompt, tokenize=False, add_generation_prompt=True)
        return prompt, prompt + turn.expected

    def _encode(self, text: str, is_chat: bool) -> list[int]:
        # A template writes the marks itself.
        ids = list(self.tokenizer(text, add_special_tokens=not is_chat)["input_ids"])
        if not is_chat and len(ids) > 1 and ids[-1] == self.tokenizer.eos_token_id:
            ids.pop()
        return ids

    def _windows(self, one: Sequence, cut: bool) -> Iterator[Sequence]:
        excess = len(one.ids) - self.context
        if excess <= 0:
            yield one
            return
        if cut:
            yield Sequence(one.ids[excess:], max(1, one.first - excess))
            return
        for start in range(0, len(one.ids) - 1, self.context - 1):
            ids, first = one.ids[start : start + self.context], max(1, one.first - start)
            if first < len(ids):
                yield Sequence(ids, first)

    def _batches(self, rows: list[tuple[int, Sequence]]) -> Iterator[list[tuple[int, Sequence]]]:
        """Rows come longest first, so the first of a batch says how wide it is."""
        start = 0
        while start < len(rows):
            size = max(1, min(self.batch_size, BATCH_TOKENS_MAX // max(1, len(rows[start][1].ids))))
            yield rows[start : start + size]
            start += size

    @torch.inference_mode()
    def _read(self, rows: list[Sequence]) -> list[float]:
        width = max(len(row.ids) for row in rows)
        ids = torch.tensor([row.ids + [0] * (width - len(row.ids)) for row in rows], device=self.model.device)
        mask = torch.tensor([[1] * len(row.ids) + [0] * (width - len(row.ids)) for row in rows], device=self.model.device)
        logits = self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        return [_nats(logits[index, row.first - 1 : len(row.ids) - 1], row) for index, row in enumerate(rows)]

    @torch.inference_mode()
    def _generate(self, rows: list[list[int]], max_new_tokens: int) -> list[str]:
        from transformers import GenerationConfig

        width = max(map(len, rows))
        own = self.model.generation_config
        eos = own.eos_token_id if own and own.eos_token_id is not None else self.tokenizer.eos_token_id
        pad = self.tokenizer.pad_token_id
        pad = pad if pad is not None else (eos[0] if isinstance(eos, list) else eos) or 0
        # What is not said here is taken from the model's own settings.
        config = GenerationConfig(
            do_sample=False,
            num_beams=1,
            repetition_penalty=1.0,
            no_repeat_ngram_size=0,
            max_new_tokens=max_new_tokens,
            eos_token_id=eos,
            pad_token_id=pad,
        )
        device = self.model.device
        made = self.model.generate(
            input_ids=torch.tensor([[pad] * (width - len(row)) + row for row in rows], device=device),
            attention_mask=torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device),
            generation_config=config,
        )
        return self.tokenizer.batch_decode(made[:, width:], skip_special_tokens=True)


def _nats(logits: torch.Tensor, row: Sequence) -> float:
    targets = torch.tensor(row.ids[row.first :], device=logits.device)
    return torch.nn.functional.cross_entropy(logits.float(), targets, reduction="sum").item()


def _common_prefix(one: list[int], other: list[int]) -> int:
    """Where what follows begins: tokens may merge across the boundary."""
    length = min(len(one), len(other))
    return next((index for index in range(length) if one[index] != other[index]), length)
