"""A registered version through the gates to the lab."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from spinscope.config import Params
from spinscope.data import data_hash
from spinscope.errors import SpinscopeError
from spinscope.jobs.data import split
from spinscope.jobs.evaluating import score

if TYPE_CHECKING:
    from spinscope.tracking import Promotion


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
