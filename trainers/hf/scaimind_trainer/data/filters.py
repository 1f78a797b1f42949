"""Which records of a source are used."""

from __future__ import annotations

import operator
from dataclasses import dataclass

ORDERS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


@dataclass(frozen=True)
class Filter:
    """What one column must hold: `value`, `!=v`, `>v`, `>=v`, `<v`, `<=v` or `a|b|c` (any of)."""

    column: str
    sign: str
    values: tuple[str, ...]

    def accepts(self, fields: dict) -> bool:
        """Whether a record passes. Without the column, only `!=` does. Numbers compare as numbers, all else as text."""
        value = fields.get(self.column)
        if self.sign in ORDERS:
            return value is not None and _is_ordered(ORDERS[self.sign], value, self.values[0])
        is_any = value is not None and any(_is_equal(value, wanted) for wanted in self.values)
        return is_any != (self.sign == "!=")


def read_filters(given: dict[str, str]) -> tuple[Filter, ...]:
    """Reads a map of columns to what they must hold."""
    return tuple(_read(column, condition) for column, condition in given.items())


def _read(column: str, condition: str) -> Filter:
    for sign in (*ORDERS, "!="):
        if condition.startswith(sign):
            rest = condition[len(sign) :].strip()
            return Filter(column, sign, tuple(rest.split("|")) if sign == "!=" else (rest,))
    return Filter(column, "=", tuple(condition.split("|")))


def _text(value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _number(value) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _is_equal(value, wanted: str) -> bool:
    if _text(value) == wanted:
        return True
    # 1 and 1.0 are one number; the texts "1" and "1.0" are two.
    number = None if isinstance(value, str) else _number(value)
    return number is not None and number == _number(wanted)


def _is_ordered(order, value, bound: str) -> bool:
    limit, number = _number(bound), _number(value)
    if limit is not None:
        return number is not None and order(number, limit)
    return isinstance(value, str) and order(value, bound)
