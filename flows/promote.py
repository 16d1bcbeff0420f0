"""Promote the newest registered version to the lab, if it passes every gate."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from prefect import flow, task
from prefect.artifacts import create_table_artifact

from _arguments import DEFAULT_PROFILE, Overrides, Profile, begin, described, run_flow
from spinscope import jobs
from spinscope.config import load_params
from spinscope.tracking import PromotionRefused


@task(name="gates")
def pass_gates(
    name: str,
    version: int | None,
    reason: str,
    profile: str | None,
    overrides: list[str],
) -> dict:
    """Measure the gates and move the alias; the table of gates is recorded in any case."""
    family = jobs.family_of_version(load_params(profile, overrides).tracking, name, version)
    params = load_params(profile, overrides, family=family)
    try:
        step = jobs.promote(params, name, version, reason)
    except PromotionRefused as refused:
        _table(refused.gates)
        raise
    _table(step.gates)
    return asdict(step)


@flow(name="promote", flow_run_name="{name}")
@described
def promote(
    name: Annotated[str, "Registered name of the model."] = "moke-unet",
    version: Annotated[int | None, "Version; None: the newest."] = None,
    reason: Annotated[str, "Reason that the history records."] = "flow promote",
    profile: Profile = DEFAULT_PROFILE,
    overrides: Overrides = [],  # noqa: B006
) -> dict:
    """Promote a version to models:/NAME@lab, or fail with the gates that it does not pass.

    To override the gates, use `spinscope registry promote` or the Registry page of the dashboard.
    """
    begin()
    return pass_gates(name, version, reason, profile, list(overrides))


def _table(gates) -> None:
    """Record the table of gates."""
    create_table_artifact([asdict(gate) for gate in gates], key="promotion-gates")


if __name__ == "__main__":
    run_flow(promote, None, "promotion")
