"""Which rows of which source are trained on, by seed. Data in, data out."""

from __future__ import annotations

import numpy

from .plan import Sampling


def draw(count: int, sampling: Sampling, seed: int, source: int) -> numpy.ndarray:
    """The rows of a source that are used, in their order: a share of them, at most so many, as its own seeded shuffle has them first."""
    wanted = count if sampling.fraction == 1 else min(count, max(1, round(count * sampling.fraction)))
    if sampling.max_records:
        wanted = min(wanted, sampling.max_records)
    if wanted == count:
        return numpy.arange(count)
    return numpy.sort(_shuffled(count, seed, "sampling", source)[:wanted])


def set_aside(digests: list[numpy.ndarray], share: float, seed: int) -> list[numpy.ndarray]:
    """
    For each source, which of its rows are for validation: a share of all contents, each content on one side only. `digests` stand for
    the contents of rows, by source.
    """
    if share == 0:
        return [numpy.zeros(len(part), dtype=bool) for part in digests]
    contents = numpy.unique(numpy.concatenate(digests))
    count = min(len(contents), max(1, round(len(contents) * share)))
    chosen = contents[_shuffled(len(contents), seed, "validation split")[:count]]
    return [numpy.isin(part, chosen) for part in digests]


def repeat(sizes: list[int], weights: list[float], seed: int) -> list[numpy.ndarray]:
    """
    For each source, its rows for one epoch as long as all data: by weight, each row as often as every other of its source, but for the
    last round.
    """
    total, weight = sum(sizes), sum(weights)
    exact = [total * one / weight for one in weights]
    counts = [int(one) for one in exact]
    # What rounding leaves goes to the largest remainders.
    for index in sorted(range(len(sizes)), key=lambda one: counts[one] - exact[one])[: total - sum(counts)]:
        counts[index] += 1
    return [_rounds(size, count, seed, source) for source, (size, count) in enumerate(zip(sizes, counts, strict=True))]


def mix(count: int, seed: int) -> numpy.ndarray:
    """An order of rows in which sources are mixed."""
    return _shuffled(count, seed, "mixing")


def _rounds(size: int, count: int, seed: int, source: int) -> numpy.ndarray:
    whole, rest = divmod(count, size)
    last = numpy.sort(_shuffled(size, seed, "weight", source)[:rest])
    return numpy.concatenate([numpy.tile(numpy.arange(size), whole), last])


PURPOSES = ("sampling", "validation split", "weight", "mixing")


def _shuffled(count: int, seed: int, purpose: str, source: int = 0) -> numpy.ndarray:
    entropy = [abs(seed), int(seed < 0), PURPOSES.index(purpose), source]
    return numpy.random.default_rng(entropy).permutation(count)
