"""Serve the flows as deployments of the Prefect server at PREFECT_API_URL, with their schedules."""

from __future__ import annotations

from prefect import serve

from ablations import ablations
from corpus_ltem import corpus_ltem
from cross_validate import cross_validate
from evaluate_tta import evaluate_tta
from ltem_study import ltem_study
from moke_study import moke_study
from probes import probes
from promote import promote
from relabel import relabel
from retrain import retrain
from search import search
from spinscope.config import Flows, load_params
from train_seeds import train_seeds


def deployments(schedules: Flows) -> list:
    """Every flow as a deployment; one without a cron line waits for a person."""
    return [
        train_seeds.to_deployment("train-seeds", cron=schedules.train_cron),
        evaluate_tta.to_deployment("evaluate-tta", cron=schedules.evaluate_cron),
        promote.to_deployment("promote", cron=schedules.promote_cron),
        retrain.to_deployment("retrain"),
        corpus_ltem.to_deployment("corpus-ltem", cron=schedules.corpus_ltem_cron),
        ltem_study.to_deployment("ltem-study"),
        ablations.to_deployment("ablations", cron=schedules.study_cron),
        search.to_deployment("search", cron=schedules.study_cron),
        relabel.to_deployment("relabel", cron=schedules.study_cron),
        cross_validate.to_deployment("cross-validate", cron=schedules.study_cron),
        probes.to_deployment("probes"),
        moke_study.to_deployment("moke-study"),
    ]


if __name__ == "__main__":
    serve(*deployments(load_params().flows))
