"""Networks on Kerr images: Labrie-Boulay, Winkler et al., Phys. Rev. Applied 21, 014014 (2024)."""

from functools import partial
from pathlib import Path

from spinscope.studies.base import MODELS, WORKERS, Option, Part

_TRAINS = {"track": True, "cron": "study_cron"}
_part = partial(Part, out="study/moke", family="moke-unet")

ABLATIONS = _part(
    "ablate",
    "Change one factor of the network at a time, then combine what helps.",
    "spinscope.studies.kerr.ablations",
    flow="ablations",
    options=(WORKERS,),
    **_TRAINS,
)
SEARCH = _part(
    "search",
    "Search networks for high MCC and low time per frame.",
    "spinscope.studies.kerr.search",
    flow="search",
    options=(WORKERS,),
    **_TRAINS,
)
RELABELLING = _part(
    "relabel",
    "Hide most defects, recover them with a network, train on its labels.",
    "spinscope.studies.kerr.relabelling",
    flow="relabel",
    options=(WORKERS,),
    **_TRAINS,
)
TTA = _part(
    "views",
    "Measure test-time augmentation of models.",
    "spinscope.studies.kerr.tta",
    flow="evaluate-tta",
    options=(
        Option("models", "REF, repeatable (all registered).", list[str], flag="--model"),
        Option("family", "Family whose versions are measured.", default="moke-unet"),
    ),
    cron="evaluate_cron",
)
PROBES = _part(
    "probes",
    "Probe models with grey, inverted, noisy and simulated frames.",
    "spinscope.studies.kerr.probes",
    flow="probes",
    options=(MODELS,),
)
CROSS_VALIDATION = _part(
    "crossval",
    "Score each batch with networks that were trained without it.",
    "spinscope.studies.kerr.cross_validation",
    flow="cross-validate",
    options=(WORKERS, Option("final", "Also train a network on every batch.", bool, False)),
    **_TRAINS,
)
STUDY = Part(
    "moke",
    "Write the page of the Kerr study from the reports of its parts.",
    "spinscope.studies.kerr.study",
    flow="moke-study",
    options=(Option("parts", "Folder of the parts' reports (build/study/moke).", Path),),
    out="reports",
    family="moke-unet",
    page="moke.html",
)

PARTS = (ABLATIONS, SEARCH, RELABELLING, TTA, PROBES, CROSS_VALIDATION, STUDY)
