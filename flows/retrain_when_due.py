"""Retrain a model when enough masks were corrected or its recordings have drifted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from prefect import flow, get_run_logger

from _arguments import (
    DEFAULT_PROFILE,
    Overrides,
    Profile,
    begin,
    described,
    run_flow,
    tell_failure,
)
from retrain import retrain
from spinscope import jobs
from spinscope.config import load_params
from spinscope.notify import tell
from spinscope.reviews.due import due, note_retraining, review_folders


@flow(
    name="retrain-when-due",
    flow_run_name="{model} {profile}",
    on_failure=[tell_failure],
    on_crashed=[tell_failure],
)
@described
def retrain_when_due(
    model: Annotated[str, "Model to start from."] = "models:/moke-unet@lab",
    profile: Profile = DEFAULT_PROFILE,
    out: Annotated[Path | None, "Output folder; None: build/retrain/due."] = None,
    overrides: Overrides = [],  # noqa: B006
) -> dict:
    """Retrain with all reviews once `flows.retrain_corrections` or `retrain_nights` is reached."""
    begin()
    params = load_params(profile, overrides)
    folder = Path(out) if out else jobs.out_folder("retrain/due")
    reviews = review_folders()
    found = due(params.flows, reviews, jobs.out_folder("nightly"), folder)
    answer = {"corrections": found.corrections, "nights": found.nights, "reasons": found.reasons}
    log = get_run_logger().info
    if not found.reasons:
        log(f"{found.corrections} corrections, {found.nights} nights out of range: not due")
        return answer
    if not found.corrections:
        text = f"{'; '.join(found.reasons)}: correct masks of new recordings, then train again"
        tell(params.notify, "drift", text, answer)
        log(text)
        return answer
    report = retrain([str(one) for one in reviews], model, profile, out=folder, overrides=overrides)
    note_retraining(folder)
    return answer | {"registered": report["registered"], "summary": report["summary"]}


if __name__ == "__main__":
    run_flow(retrain_when_due, None, "training", "review")
