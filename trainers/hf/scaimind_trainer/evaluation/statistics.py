"""Means over records, and how sure they are."""

from __future__ import annotations

import math
from collections.abc import Iterable


def ratio_of(records: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """
    The mean of a share, from each record's amount and what it is a part of; and its standard error as a ratio estimate, 0 where there
    is one record only.
    """
    records = list(records)
    whole = sum(of for _, of in records)
    ratio = sum(amount for amount, _ in records) / whole
    spread = sum((amount - ratio * of) ** 2 for amount, of in records)
    count = len(records)
    return ratio, 0.0 if count < 2 else math.sqrt(spread * count / (count - 1)) / whole


def mean_of(values: Iterable[float]) -> tuple[float, float]:
    """The mean, and its standard error."""
    return ratio_of((value, 1) for value in values)
