"""Registration of models trained elsewhere, and promotion through the gates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from spinscope import families
from spinscope.config import Params, Tracking, project_params, project_root
from spinscope.datasets import data_hash
from spinscope.errors import SpinscopeError
from spinscope.files import partial_folder, sha256
from spinscope.jobs.data import checked_data, split
from spinscope.jobs.evaluating import score_model
from spinscope.jobs.training import (
    REPORT,
    evidence_tags,
    examples,
    exported_copy,
    read_report,
    register_training,
)
from spinscope.models.store import resolve_local
from spinscope.notify import tell

if TYPE_CHECKING:
    from spinscope.tracking import Gate, Promotion, Store, Version

GATED = ("gates", "evaluation")
"""Sections that decide what passes a gate; those of the project's params.yaml hold."""


def add(params: Params, model_ref: str, name: str) -> Version:
    """Register a model trained elsewhere with its validation scores, or an evaluated training.

    Parameters
    ----------
    params : Params
        Settings of the model's family.
    model_ref : str
        A bundled model, a model folder, or a folder of `evaluate_training`.
    name : str
        Registered name.

    Raises
    ------
    SpinscopeError
        If the reference is registered already, or the data is not valid.
    """
    from spinscope.models.store import NETWORK, model_info
    from spinscope.tracking import lineage, open_store, register
    from spinscope.tracking.runs import added_run, log_datasets, log_report

    if model_ref.startswith("models:"):
        raise SpinscopeError(f"{model_ref} is registered already; name a bundled model or a folder")
    if (Path(model_ref) / REPORT).is_file():
        return register_training(params, Path(model_ref), name)
    family, folder = families.of(params), resolve_local(model_ref)
    data = checked_data(params)
    report = score_model(params, folder, data.splits.validation, data=data.hash)
    seed = int(model_info(folder).get("seed", 0))
    tags = lineage(params, data.hash, seed) | {
        "added.from": model_ref,
        "network.sha256": sha256(folder / NETWORK),
        **evidence_tags(report),
    }
    store = open_store(params.tracking)
    with (
        added_run(store, params, tags, f"add {model_ref}") as run,
        partial_folder() as temporary,
    ):
        log_datasets(run, {"validation": data.splits.validation}, data.hash)
        log_report(run, report, "validation")
        copy = exported_copy(family, folder, Path(temporary) / "model")
        return register(
            store,
            family,
            run.run_id,
            copy,
            name,
            seed=seed,
            reports={seed: report},
            lineage=tags,
            validated=True,
            examples=examples(data.splits.validation),
        )


def family_of_addition(tracking: Tracking, model_ref: str) -> str:
    """Name of the family of a model or of an evaluated training that `add` can register.

    Parameters
    ----------
    tracking : Tracking
    model_ref : str
    """
    from spinscope.jobs.evaluating import family_of

    if (Path(model_ref) / REPORT).is_file():
        return read_report(Path(model_ref))["family"]
    return family_of(tracking, model_ref)


def family_of_version(tracking: Tracking, name: str, version: int | None) -> str:
    """Name of the family of a registered version, by default the newest.

    Parameters
    ----------
    tracking : Tracking
    name : str
        Registered name.
    version : int or None
    """
    from spinscope.jobs.evaluating import family_of
    from spinscope.tracking import open_store
    from spinscope.tracking import version as find_version

    candidate = find_version(open_store(tracking), name, version)
    return candidate.tags.get("family") or family_of(tracking, candidate.ref)


def check_gates(params: Params, name: str, version: int | None = None) -> tuple[Gate, ...]:
    """Measure the gates of a registered version without promoting it.

    The limits are those of the project's params.yaml. Candidate and lab versions are scored on the
    validation frames of the settings; scores of equal evidence are kept in `build/evidence`.

    Parameters
    ----------
    params : Params
        Settings of the version's family.
    name : str
        Registered name.
    version : int, optional
        By default the newest.
    """
    from spinscope.tracking import check, open_store
    from spinscope.tracking import version as find_version

    params, store = _with_project_gates(params), open_store(params.tracking)
    candidate = find_version(store, name, version)
    return check(store, families.of(params), candidate, params, **_measures(params, store))


def promote(
    params: Params,
    name: str,
    version: int | None,
    reason: str,
    *,
    who: str | None = None,
    override_gates: str | None = None,
) -> Promotion:
    """Promote a registered version to the lab if it passes the gates of the project.

    Parameters
    ----------
    params : Params
        Settings of the version's family.
    name : str
    version : int, optional
        By default the newest.
    reason : str
        At most 2000 characters.
    who : str, optional
        By default the user of this process.
    override_gates : str, optional
        Reason to promote the version although gates fail. The gates are measured and recorded all
        the same.

    Raises
    ------
    PromotionRefused
        If a gate fails.
    SpinscopeError
        If the settings change a limit of the project without `override_gates`.
    """
    from spinscope.tracking import PromotionRefused, open_store
    from spinscope.tracking import promote as promote_version

    ours = _with_project_gates(params)
    if override_gates is None and (changed := _changed_limits(params, ours)):
        raise SpinscopeError(
            f"{changed[0]}: limits of promotion are those of params.yaml; change the file, or give "
            "--override-gates REASON"
        )
    store = open_store(ours.tracking)
    try:
        step = promote_version(
            store,
            families.of(ours),
            name,
            version,
            reason=reason,
            params=ours,
            who=who,
            override=override_gates,
            **_measures(ours, store),
        )
    except PromotionRefused as refused:
        failed = [gate.name for gate in refused.gates if not gate.passed]
        tell(ours.notify, "refusal", str(refused), {"version": refused.of.ref, "failed": failed})
        raise
    if step.from_version != step.to_version:
        around = f"; gates overridden: {step.override}" if step.override else ""
        text = f"{step.ref} is version {step.to_version}, promoted by {step.who}: {step.reason}"
        tell(ours.notify, "promotion", text + around, {"promotion": asdict(step)})
    return step


def _with_project_gates(params: Params) -> Params:
    """Settings with the sections that decide what passes a gate from the project's params.yaml."""
    project = project_params(params)
    return params.model_copy(update={name: getattr(project, name) for name in GATED})


def _changed_limits(params: Params, project: Params) -> list[str]:
    """Sentences about the settings of gates that differ from the project's."""
    return [
        f"{section}.{key} (={value}) is {there[key]} in params.yaml"
        for section in GATED
        for there in [getattr(project, section).model_dump()]
        for key, value in getattr(params, section).model_dump().items()
        if value != there[key] and key not in ("tta", "size_bins")  # no gate depends on them
    ]


def _measures(params: Params, store: Store) -> dict[str, Callable]:
    """Functions that score a version and measure its frame time."""
    from spinscope.models.store import NETWORK
    from spinscope.tracking.registry import version_folder

    family, folder = families.of(params), project_root() / "build" / "evidence"
    dataset, splits = split(params)
    frames, hash_ = splits.validation, data_hash(dataset)

    def measure(of: Version) -> dict:
        model = version_folder(store, of)
        path = folder / f"{sha256(model / NETWORK)[:16]}.json"
        return score_model(params, model, frames, data=hash_, path=path)

    def frame_ratio(of: Version) -> float:
        predictor = family.predictor(version_folder(store, of))
        return family.frame_ratio(predictor, frames.image(0))

    return {"measure": measure, "frame_ratio": frame_ratio}
