"""Evaluate a registered model without and with test-time augmentation."""

from __future__ import annotations

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact

from spinscope import jobs
from spinscope.config import DEFAULT_FAMILY, dataset_path, load_params, tracking_of
from spinscope.files import write_json

VIEWS = (1, 3, 8)


@task(name="evaluate", task_run_name="tta-{views}")
def evaluate(
    model: str, views: int, profile: str | None, overrides: list[str], family: str = DEFAULT_FAMILY
) -> dict:
    """The report of a model on the validation batches, averaged over `views`."""
    params = load_params(profile, [*overrides, f"evaluation.tta={views}"], family=family)
    batches = params.data.validation_batches
    return jobs.evaluate_model(params, model, dataset_path(params), batches=batches)


@flow(name="evaluate-tta")
def evaluate_tta(
    model: str | None = None,
    profile: str | None = None,
    overrides: list[str] | None = None,
    out: str | None = None,
) -> dict[str, dict]:
    """Table of MCC, counts and frame time over the kinds of test-time augmentation.

    Those that the model's symmetry does not allow are left out.
    """
    model, overrides = model or "models:/moke-unet@lab", overrides or []
    family = jobs.family_of(tracking_of(profile, overrides), model)
    reports = {}
    for views in VIEWS:
        report = evaluate(model, views, profile, overrides, family)
        reports.setdefault(str(report["tta"]), report)
    write_json(out or jobs.out_folder("reports") / "tta.json", reports)
    lines = ["| views | MCC | predicted / labelled | ms a frame |", "|---|---|---|---|"]
    for views, report in reports.items():
        objects = report["objects"]
        lines.append(
            f"| {views} | {report['mcc']:.4f} | {objects['predicted']} / {objects['true']} "
            f"| {report['frame_ms']:.0f} |"
        )
    create_markdown_artifact("\n".join(lines), key="evaluate-tta", description=model)
    return reports


if __name__ == "__main__":
    from _arguments import one_sentence, parse

    with one_sentence():
        evaluate_tta(**parse(__doc__, model="model reference", out="report file"))
