"""How good a model is."""

from spinscope.evaluation.report import evaluate

__all__ = ["evaluate"]
