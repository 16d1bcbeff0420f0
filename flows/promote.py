"""Promote the newest registered version to the lab, if it passes every gate."""

from __future__ import annotations

from dataclasses import asdict

from prefect import flow, task
from prefect.artifacts import create_table_artifact

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
    override_gates: str | None,
) -> dict:
    """Measure the gates and move the alias; the table of gates is recorded in any case."""
    family = jobs.family_of_version(load_params(profile, overrides).tracking, name, version)
    params = load_params(profile, overrides, family=family)
    try:
        step = jobs.promote(params, name, version, reason, override_gates=override_gates)
    except PromotionRefused as refused:
        _table(refused.gates)
        raise
    _table(step.gates)
    return asdict(step)


@flow(name="promote")
def promote(
    name: str = "moke-unet",
    version: int | None = None,
    reason: str = "flow promote",
    profile: str | None = None,
    overrides: list[str] | None = None,
    override_gates: str | None = None,
) -> dict:
    """Promote a version to ``models:/NAME@lab``, or fail with the gates that it does not pass."""
    return pass_gates(name, version, reason, profile, overrides or [], override_gates)


def _table(gates) -> None:
    """Record the table of gates."""
    create_table_artifact([asdict(gate) for gate in gates], key="promotion-gates")


if __name__ == "__main__":
    from _arguments import one_sentence, parse

    given = parse(__doc__, name="registered name", version="version (newest)", reason="reason")
    with one_sentence():
        promote(**{key: value for key, value in given.items() if value is not None})
