"""Networks on Kerr images: Labrie-Boulay, Winkler et al., Phys. Rev. Applied 21, 014014 (2024)."""

from pathlib import Path

from spinscope.studies.base import MODELS, WORKERS, Option, Part

ABLATIONS = Part(
    "ablate",
    "Change one factor of the network at a time, then combine what helps.",
    "spinscope.studies.kerr.ablations",
    flow="ablations",
    options=(WORKERS,),
    track=True,
    cron="study_cron",
)
SEARCH = Part(
    "search",
    "Search networks for high MCC and low time per frame.",
    "spinscope.studies.kerr.search",
    flow="search",
    options=(WORKERS,),
    track=True,
    cron="study_cron",
)
RELABELLING = Part(
    "relabel",
    "Hide most defects, recover them with a network, train on its labels.",
    "spinscope.studies.kerr.relabelling",
    flow="relabel",
    options=(WORKERS,),
    track=True,
    cron="study_cron",
)
TTA = Part(
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
PROBES = Part(
    "probes",
    "Probe models with grey, inverted, noisy and simulated frames.",
    "spinscope.studies.kerr.probes",
    flow="probes",
    options=(MODELS,),
)
CROSS_VALIDATION = Part(
    "crossval",
    "Score each batch with networks that were trained without it.",
    "spinscope.studies.kerr.cross_validation",
    flow="cross-validate",
    options=(WORKERS, Option("final", "Also train a network on every batch.", bool, False)),
    track=True,
    cron="study_cron",
)
STUDY = Part(
    "moke",
    "Write the page of the Kerr study from the reports of its parts.",
    "spinscope.studies.kerr.study",
    flow="moke-study",
    options=(Option("parts", "Folder of the parts' reports (build/study/moke).", Path),),
    out="reports",
    page="moke.html",
)

PARTS = (ABLATIONS, SEARCH, RELABELLING, TTA, PROBES, CROSS_VALIDATION, STUDY)
