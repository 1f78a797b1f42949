"""How large rows are."""

from __future__ import annotations


def characters_of(value) -> int:
    """The characters of all texts in a value; what is no text counts as one."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(characters_of, value.values()))
    return sum(map(characters_of, value)) if isinstance(value, list) else 1
