"""Jobs composed of the layers below; verbs, flows and stages call these."""

from spinscope.jobs.data import CheckedData, checked_data, corpus, out_folder, split
from spinscope.jobs.evaluating import draw_frame, evaluate_model, fullest, predictor
from spinscope.jobs.promotion import add, promote
from spinscope.jobs.recordings import export, measure, segment
from spinscope.jobs.retraining import retrain
from spinscope.jobs.training import (
    FAMILIES,
    finish_training,
    holds_seed,
    seeds,
    train,
    train_seed,
)

__all__ = [
    "FAMILIES",
    "CheckedData",
    "add",
    "checked_data",
    "corpus",
    "draw_frame",
    "evaluate_model",
    "export",
    "finish_training",
    "fullest",
    "holds_seed",
    "measure",
    "out_folder",
    "predictor",
    "promote",
    "retrain",
    "seeds",
    "segment",
    "split",
    "train",
    "train_seed",
]
