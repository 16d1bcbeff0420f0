"""Networks that infer effective fields: Lee et al., Sci. Rep. 11, 22937 (2021)."""

from dataclasses import replace
from pathlib import Path

from spinscope.studies.base import MODELS, WORKERS, Option, Part

STUDY = Part(
    "field",
    "Measure networks that infer the effective field of spin lattices.",
    "spinscope.studies.field.study",
    flow="field-study",
    options=(
        replace(
            MODELS,
            help="NAME=FOLDER of a training, all seeds; or a model REF. Repeatable.",
        ),
        Option("lattices", "Test lattices (build/corpus/lattice-test).", Path),
        Option(
            "n", "Lattices that are denoised and repaired (20).", int, 20, minimum=1, flag="--n"
        ),
        Option("image", "Kerr image whose in-plane components are inferred (none).", Path),
        WORKERS,
    ),
    out="reports",
    family="field-fcn",
    page="field.html",
)

PARTS = (STUDY,)
