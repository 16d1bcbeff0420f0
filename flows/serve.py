"""Serve the flows as deployments of the Prefect server at PREFECT_API_URL, with their schedules.

With a work pool (`flows.work_pool`) the deployments are registered for it and the program ends; the
workers of the pool run them.
"""

from __future__ import annotations

import asyncio
import zoneinfo
from pathlib import Path

from prefect import Flow, serve
from prefect.schedules import Cron

import study
from _arguments import end_stale_runs
from corpus import corpus
from corpus_ltem import corpus_ltem
from estimate import estimate
from field import field
from nightly import nightly
from promote import promote
from retrain import retrain
from retrain_when_due import retrain_when_due
from spinscope.config import Flows, load_params, project_root
from spinscope.studies import PARTS
from train_seeds import train_seeds


def deployments(schedules: Flows) -> list:
    """Every flow as a deployment; one without a cron line is started by hand.

    Parameters
    ----------
    schedules : Flows
        Section ``flows``.
    """
    zone = schedules.timezone or local_zone()
    folder = {"working_dir": str(project_root())}

    def deployment(chosen: Flow, cron: str | None, *tags: str):
        schedule = Cron(cron, timezone=zone) if cron else None
        text = chosen.description.partition("\n\nArgs:")[0]
        return chosen.to_deployment(
            chosen.name,
            schedule=schedule,
            description=text,
            tags=list(tags),
            work_pool_name=schedules.work_pool,
            job_variables=folder if schedules.work_pool else None,
        )

    return [
        deployment(train_seeds, schedules.train_cron, "training"),
        deployment(promote, schedules.promote_cron, "promotion"),
        deployment(retrain, None, "training", "review"),
        deployment(retrain_when_due, schedules.retrain_cron, "training", "review"),
        deployment(nightly, schedules.nightly_cron, "nightly"),
        deployment(field, None, "field"),
        deployment(estimate, None, "estimate"),
        deployment(corpus, None, "corpus"),
        deployment(corpus_ltem, schedules.corpus_ltem_cron, "corpus", "training"),
        *(
            deployment(study.FLOWS[part.flow], part.cron and getattr(schedules, part.cron), "study")
            for part in PARTS.values()
        ),
    ]


def local_zone() -> str:
    """Name of the time zone of this machine; UTC if it has none."""
    _, separator, name = str(Path("/etc/localtime").resolve()).partition("zoneinfo/")
    return name if separator and name in zoneinfo.available_timezones() else "UTC"


if __name__ == "__main__":
    settings = load_params().flows
    if settings.work_pool is None:
        asyncio.run(end_stale_runs())
        serve(*deployments(settings))
    else:
        for one in deployments(settings):
            one.apply()
            print(f"{one.full_name}: work pool {settings.work_pool}")
