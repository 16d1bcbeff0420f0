"""Networks on Lorentz images: McCray et al., APL Mach. Learn. 2, 026120 (2024)."""

from dataclasses import replace
from pathlib import Path

from spinscope.studies.base import MODELS, Option, Part

STUDY = Part(
    "ltem",
    "Measure networks on Lorentz images of simulated films.",
    "spinscope.studies.lorentz.study",
    flow="ltem-study",
    options=(
        replace(MODELS, help="REF or NAME=REF; first the one trained at -2 mm and 20 degrees."),
        Option("films", "Corpus of films (build/corpus/films).", Path),
        Option("numbers", "FIRST:LAST or all (test batches of the Lorentz corpus)."),
        Option("n", "Largest number of films (all).", int, minimum=1, flag="--n"),
        Option("real", "Real Lorentz image to count skyrmions in (none).", Path),
        Option("real_model", "NAME of the model that segments it (the last)."),
        Option("axis", "Tilt axis of the real image in degrees.", float, 0.0),
        Option(
            "scale",
            "Scale of the real image (from its lattice spacing).",
            float,
            minimum=1e-3,
            former="--zoom",
        ),
        Option("pixel_size", "Pixel size of the real image in nm (unknown).", float, minimum=1e-6),
    ),
    out="reports",
    family="ltem-unet",
    page="ltem.html",
)

PARTS = (STUDY,)
