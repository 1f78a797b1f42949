"""What a model scores on a user's own records."""

from __future__ import annotations

import math
from pathlib import Path

from ..problems import TrainerFailure
from .benchmarks import Benchmark
from .records import Question, content_hash
from .samples import Sample, kept
from .scoring import Scorer, Sequence
from .statistics import mean_of, ratio_of

DEFAULT_MAX_TOKENS = 160


def measure(benchmark: Benchmark, questions: list[Question], scorer: Scorer) -> dict:
    """The result of a benchmark on records, as a `benchmark` event tells it. Raises TrainerFailure where the model has no finite loss."""
    measures = {"perplexity": _perplexity, "multiple_choice": _multiple_choice, "exact_match": _answers, "contains": _answers}
    scores, errors, samples = measures[benchmark.metric](benchmark, questions, scorer)
    return {
        "name": benchmark.name,
        "dataset": benchmark.dataset,
        "num_samples": len(questions),
        "content_hash": content_hash(questions),
        "scores": scores,
        "standard_errors": errors,
        "samples": kept(samples),
    }


def _perplexity(benchmark: Benchmark, questions: list[Question], scorer: Scorer):
    sequences = [(index, scorer.sequence(turn, ends=True)) for index, question in enumerate(questions) for turn in question.turns]
    tallies = _tally(benchmark, scorer, [sequence for _, sequence in sequences])
    nats, tokens = [0.0] * len(questions), [0] * len(questions)
    for (index, _), tally in zip(sequences, tallies, strict=True):
        nats[index] += tally.nats
        tokens[index] += tally.tokens
    loss, error = ratio_of(zip(nats, tokens, strict=True))
    perplexity = math.exp(min(loss, 700.0))
    samples = [
        _sample(question, "", math.exp(min(nats[index] / max(1, tokens[index]), 700.0))) for index, question in enumerate(questions)
    ]
    # The error of an exponential, to first order.
    return {"perplexity": perplexity, "loss": loss}, {"perplexity": perplexity * error, "loss": error}, samples


def _answers(benchmark: Benchmark, questions: list[Question], scorer: Scorer):
    max_tokens = benchmark.parameters.get("max_tokens", DEFAULT_MAX_TOKENS)
    ignores_case = benchmark.parameters.get("ignore_case", False)
    answers = scorer.answers([question.turns[-1].prompt for question in questions], max_tokens)

    def is_right(question: Question, answer: str) -> bool:
        expected, given = (_plain(text, ignores_case) for text in (question.turns[-1].expected, answer))
        return expected in given if benchmark.metric == "contains" else expected == given

    samples = [_sample(question, answer, float(is_right(question, answer))) for question, answer in zip(questions, answers, strict=True)]
    mean, error = mean_of(sample.score for sample in samples)
    return {benchmark.metric: mean}, {benchmark.metric: error}, samples


def _multiple_choice(benchmark: Benchmark, questions: list[Question], scorer: Scorer):
    """`acc`: the likeliest choice is right. `acc_norm`: the likeliest a byte is, so that short choices have no advantage."""
    sequences: list[Sequence] = []
    for question in questions:
        turn = question.turns[0]
        sequences += [scorer.sequence(type(turn)(turn.prompt, _after(turn.prompt, choice)), ends=False) for choice in question.choices]
    tallies = iter(_tally(benchmark, scorer, sequences, cut=True))
    right, right_by_byte, samples = [], [], []
    for question in questions:
        nats = [next(tallies).nats for _ in question.choices]
        by_byte = [one / len(choice.encode()) for one, choice in zip(nats, question.choices, strict=True)]
        best = nats.index(min(nats))
        right.append(float(best == question.right))
        right_by_byte.append(float(by_byte.index(min(by_byte)) == question.right))
        samples.append(_sample(question, question.choices[best], right[-1]))
    (acc, acc_error), (norm, norm_error) = mean_of(right), mean_of(right_by_byte)
    return {"acc": acc, "acc_norm": norm}, {"acc": acc_error, "acc_norm": norm_error}, samples


def _tally(benchmark: Benchmark, scorer: Scorer, sequences: list[Sequence], **options):
    tallies = scorer.tally(sequences, **options)
    if not math.isfinite(sum(tally.nats for tally in tallies)):
        raise TrainerFailure("NAN_LOSS", f"The model gives no finite loss on {Path(benchmark.path).name}.", field="model_uri")
    return tallies


def _after(prompt, choice: str) -> str:
    """A choice as it follows a prompt: a space between them, where there is no white space yet."""
    is_apart = not isinstance(prompt, str) or prompt[-1].isspace() or choice[0].isspace()
    return choice if is_apart else f" {choice}"


def _plain(text: str, ignores_case: bool) -> str:
    return text.strip().lower() if ignores_case else text.strip()


def _sample(question: Question, answer: str, score: float) -> Sample:
    turn = question.turns[-1]
    prompt = turn.prompt if isinstance(turn.prompt, str) else "\n".join(f"{one['role']}: {one.get('content', '')}" for one in turn.prompt)
    return Sample(prompt, turn.expected, answer, score)
