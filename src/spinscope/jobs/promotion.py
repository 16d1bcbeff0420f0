"""Registration of models trained elsewhere, and promotion through the gates."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from spinscope import families
from spinscope.config import Params, Tracking
from spinscope.datasets import data_hash
from spinscope.errors import SpinscopeError
from spinscope.files import sha256
from spinscope.jobs.data import checked_data, split
from spinscope.jobs.training import examples, exported_copy
from spinscope.models.store import resolve_local

if TYPE_CHECKING:
    from spinscope.tracking import Promotion, Version


def add(params: Params, model_ref: str, name: str) -> Version:
    """Register a model that was trained elsewhere, evaluated on the validation frames.

    Parameters
    ----------
    params : Params
        Settings of the model's family.
    model_ref : str
        A bundled model or a model folder.
    name : str
        Registered name.

    Raises
    ------
    SpinscopeError
        If the reference is registered already, or the data is not valid.
    """
    from spinscope.models.store import NETWORK, model_info
    from spinscope.tracking import lineage, measured_on, open_store, register
    from spinscope.tracking.runs import added_run, log_report

    if model_ref.startswith("models:"):
        raise SpinscopeError(f"{model_ref} is registered already; name a bundled model or a folder")
    family, folder = families.of(params), resolve_local(model_ref)
    data = checked_data(params)
    report = family.score(family.predictor(folder), data.splits.validation, params)
    seed = int(model_info(folder).get("seed", 0))
    tags = lineage(params, data.hash, seed) | {
        "added.from": model_ref,
        "network.sha256": sha256(folder / NETWORK),
    }
    store = open_store(params.tracking)
    with added_run(store, tags, f"add {model_ref}") as run, TemporaryDirectory() as temporary:
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
            measured_on=measured_on(params, data.hash),
            validated=True,
            examples=examples(data.splits.validation),
        )


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


def promote(
    params: Params, name: str, version: int | None, reason: str, *, who: str | None = None
) -> Promotion:
    """Promote a registered version to the lab if it passes the gates of the settings.

    The current lab version is evaluated on the candidate's validation frames if it was measured
    on others.

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

    Raises
    ------
    PromotionRefused
        If a gate fails.
    """
    from spinscope.tracking import measured_on, open_store
    from spinscope.tracking import promote as promote_version
    from spinscope.tracking import version as find_version

    family, store = families.of(params), open_store(params.tracking)
    candidate = find_version(store, name, version)

    def measure(folder: Path) -> float:
        dataset, splits = split(params)
        here, there = measured_on(params, data_hash(dataset)), candidate.tags.get("measured_on")
        if here != there:
            raise SpinscopeError(
                f"{candidate.ref} was measured on other frames ({there}) than the settings name "
                f"({here}); promote it with the profile that it was trained with"
            )
        report = family.score(family.predictor(folder), splits.validation, params)
        return report[family.metric.name]

    return promote_version(
        store,
        family,
        name,
        candidate.version,
        reason=reason,
        params=params,
        who=who,
        measure=measure,
    )
