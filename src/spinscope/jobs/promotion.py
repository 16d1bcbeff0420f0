"""A model into the registry, and a registered version through the gates to the lab."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from spinscope.config import DEFAULT_FAMILY, Params, Tracking
from spinscope.datasets import data_hash
from spinscope.errors import SpinscopeError
from spinscope.files import sha256
from spinscope.jobs.data import checked_data, split
from spinscope.jobs.evaluating import score
from spinscope.jobs.training import examples, with_fast_network
from spinscope.models.store import resolve_local

if TYPE_CHECKING:
    from spinscope.tracking import Promotion, Version


def add(params: Params, model_ref: str, name: str) -> Version:
    """Register a model that was trained elsewhere, measured on the validation frames of `params`.

    So a bundled model, or a colleague's folder, comes before the gates without being trained here.
    Raises SpinscopeError for a reference that is registered already and for data that is bad.
    """
    from spinscope.inference.predict import Predictor
    from spinscope.models.store import NETWORK
    from spinscope.tracking import lineage, measured_on, open_store, register
    from spinscope.tracking.runs import added_run, log_report

    if model_ref.startswith("models:"):
        raise SpinscopeError(f"{model_ref} is registered already; name a bundled model or a folder")
    folder = resolve_local(model_ref)
    data = checked_data(params)
    predictor = Predictor.load(folder)
    report = score(params, predictor, data.splits.validation, 1)
    seed = int(predictor.info.get("seed", 0))
    tags = lineage(params, data.hash, seed) | {
        "added.from": model_ref,
        "network.sha256": sha256(folder / NETWORK),
    }
    store = open_store(params.tracking)
    with added_run(store, tags, f"add {model_ref}") as run, TemporaryDirectory() as temporary:
        log_report(run, report, "validation")
        copy = with_fast_network(folder, Path(temporary) / "model")
        return register(
            store,
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
    """Family of a registered version, the newest if none is named."""
    from spinscope.tracking import open_store
    from spinscope.tracking import version as find_version

    return find_version(open_store(tracking), name, version).tags.get("family", DEFAULT_FAMILY)


def promote(
    params: Params, name: str, version: int | None, reason: str, *, who: str | None = None
) -> Promotion:
    """Promote a registered version through the gates of `params`.

    The current lab version is measured on the candidate's frames where they differ.
    """
    from spinscope.inference.predict import Predictor
    from spinscope.tracking import measured_on, open_store
    from spinscope.tracking import promote as promote_version
    from spinscope.tracking import version as find_version

    store = open_store(params.tracking)
    candidate = find_version(store, name, version)

    def measure(folder: Path) -> float:
        dataset, splits = split(params)
        here, there = measured_on(params, data_hash(dataset)), candidate.tags.get("measured_on")
        if here != there:
            raise SpinscopeError(
                f"{candidate.ref} was measured on other frames ({there}) than the settings name "
                f"({here}); promote it with the profile that it was trained with"
            )
        return score(params, Predictor.load(folder), splits.validation, 1)["mcc"]

    return promote_version(
        store,
        name,
        candidate.version,
        reason=reason,
        gates=params.gates,
        who=who,
        measure=measure,
    )
