"""Drift: whether new frames are like those that a model was trained on, in physical terms."""

from spinscope.drift.measures import MEASURES, Measure, measure_frame
from spinscope.drift.reference import Judgement, Reference, judge, make_reference, sentence

__all__ = [
    "MEASURES",
    "Judgement",
    "Measure",
    "Reference",
    "judge",
    "make_reference",
    "measure_frame",
    "sentence",
]
