"""Jobs for models of any family, called by verbs, flows and stages."""

from spinscope.jobs.corpora import corpus, film_lines, films, import_films, scripts
from spinscope.jobs.data import CheckedData, checked_data, out_folder, split
from spinscope.jobs.evaluating import evaluate_model, family_of, predictor
from spinscope.jobs.promotion import add, family_of_version, promote
from spinscope.jobs.recordings import export, measure, segment
from spinscope.jobs.training import (
    finish_training,
    seeds,
    train,
    train_seed,
)

__all__ = [
    "CheckedData",
    "add",
    "checked_data",
    "corpus",
    "evaluate_model",
    "export",
    "family_of",
    "family_of_version",
    "film_lines",
    "films",
    "finish_training",
    "import_films",
    "measure",
    "out_folder",
    "predictor",
    "promote",
    "scripts",
    "seeds",
    "segment",
    "split",
    "train",
    "train_seed",
]
