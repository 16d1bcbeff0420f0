"""Jobs for models of any family, called by verbs, flows and stages."""

from spinscope.jobs.cleaning import applied_recipe, clean_recordings
from spinscope.jobs.corpora import (
    CHUNKED,
    chunked_corpus,
    corpus,
    film_lines,
    films,
    import_films,
    make_chunk,
    missing_chunks,
    scripts,
)
from spinscope.jobs.data import CheckedData, checked_data, out_folder, split
from spinscope.jobs.drifting import drift
from spinscope.jobs.evaluating import evaluate_model, family_of, predictor
from spinscope.jobs.importing import import_masks
from spinscope.jobs.nightly import nightly_check, nights
from spinscope.jobs.promotion import (
    add,
    check_gates,
    family_of_addition,
    family_of_version,
    promote,
)
from spinscope.jobs.recordings import calibrate, corrected_frame, export, measure, segment
from spinscope.jobs.reporting import report
from spinscope.jobs.training import (
    STEPS,
    TRAINING,
    evaluate_training,
    read_training,
    register_training,
    seeds,
    train,
    train_networks,
    train_seed,
)

__all__ = [
    "CHUNKED",
    "STEPS",
    "TRAINING",
    "CheckedData",
    "add",
    "applied_recipe",
    "calibrate",
    "check_gates",
    "checked_data",
    "chunked_corpus",
    "clean_recordings",
    "corpus",
    "corrected_frame",
    "drift",
    "evaluate_model",
    "evaluate_training",
    "export",
    "family_of",
    "family_of_addition",
    "family_of_version",
    "film_lines",
    "films",
    "import_films",
    "import_masks",
    "make_chunk",
    "measure",
    "missing_chunks",
    "nightly_check",
    "nights",
    "out_folder",
    "predictor",
    "promote",
    "read_training",
    "register_training",
    "report",
    "scripts",
    "seeds",
    "segment",
    "split",
    "train",
    "train_networks",
    "train_seed",
]
