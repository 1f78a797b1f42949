"""Benchmarks of a model: those of lm-evaluation-harness by name, and a user's own records."""

from .run import run_evaluation

__all__ = ["run_evaluation"]
