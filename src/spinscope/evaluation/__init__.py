"""Quality of a model: metrics, object matching, size distributions, comparison of two models."""

from spinscope.evaluation.report import evaluate, seen_text

__all__ = ["evaluate", "seen_text"]
