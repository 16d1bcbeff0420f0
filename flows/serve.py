"""Serve the flows as deployments of the Prefect server at PREFECT_API_URL, with their schedules."""

from __future__ import annotations

from prefect import serve

import study
from corpus_ltem import corpus_ltem
from promote import promote
from retrain import retrain
from spinscope.config import Flows, load_params
from spinscope.studies import PARTS
from train_seeds import train_seeds


def deployments(schedules: Flows) -> list:
    """Every flow as a deployment; one without a cron line is started by hand.

    Parameters
    ----------
    schedules : Flows
        Section ``flows``.
    """
    return [
        train_seeds.to_deployment("train-seeds", cron=schedules.train_cron),
        promote.to_deployment("promote", cron=schedules.promote_cron),
        retrain.to_deployment("retrain"),
        corpus_ltem.to_deployment("corpus-ltem", cron=schedules.corpus_ltem_cron),
        *(
            study.FLOWS[part.flow].to_deployment(
                part.flow, cron=part.cron and getattr(schedules, part.cron)
            )
            for part in PARTS.values()
        ),
    ]


if __name__ == "__main__":
    serve(*deployments(load_params().flows))
