"""Magnetic parameters from domain images across imaging scales: Watanabe et al. (2024)."""

from pathlib import Path

from spinscope.studies.base import WORKERS, Option, Part

STUDY = Part(
    "parameters",
    "Measure networks that estimate D or Ms of a film from its domains.",
    "spinscope.studies.parameters.study",
    flow="parameters-study",
    options=(
        Option(
            "models",
            "NAME=REF of a model to measure beside the networks. Repeatable.",
            list[str],
            flag="--model",
        ),
        Option("corpora", "Folder of the corpora of domain films (build/corpus).", Path),
        Option(
            "n",
            "Test films whose estimate is refined (10 of each).",
            int,
            10,
            minimum=0,
            flag="--n",
        ),
        WORKERS,
    ),
    out="reports",
    family="parameter-cnn",
    page="parameters.html",
)

PARTS = (STUDY,)
