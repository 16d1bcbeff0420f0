"""Quality of a model: metrics, object matching, size distributions, comparison of two models."""

from spinscope.evaluation.report import evaluate

__all__ = ["evaluate"]
