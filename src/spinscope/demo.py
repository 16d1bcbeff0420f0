"""Every step of a model in minutes: corpus, training, registry, promotion, segmentation."""

from __future__ import annotations

import time
from collections.abc import Callable

from spinscope import jobs
from spinscope.config import Params, bundled_models, dataset_path, project_root
from spinscope.datasets import open_dataset
from spinscope.families.segmentation import most_skyrmions
from spinscope.images import write_image
from spinscope.models.store import SUMS
from spinscope.tracking import PromotionRefused

BUNDLED = "bundled:moke-unet"


def demo(
    params: Params,
    *,
    say: Callable[[str], None],
    on_epoch: Callable[[int, int, dict[str, float]], None] | None = None,
    progress=lambda items, **_: items,
) -> list[str]:
    """Run every step on simulated frames and print its name.

    A model that does not pass the gates, because the lab has a better one, is not promoted.

    Parameters
    ----------
    params : Params
        Settings of the profile ``demo``.
    say : callable
        Receives a line before each step.
    on_epoch : callable, optional
        Called with seed, epoch and logs.
    progress : Progress
        Progress bar.

    Returns
    -------
    list of str
        Closing lines: table over the seeds, promoted reference, image, next command.

    Raises
    ------
    SpinscopeError
        If a step fails.
    """
    started = time.monotonic()
    out = project_root() / "build" / "demo"

    def step(text: str) -> None:
        say(f"[{time.monotonic() - started:4.0f} s] {text}")

    folder = dataset_path(params)
    step(f"simulate {params.kerr.n} Kerr frames of {params.kerr.width}x{params.kerr.height}")
    jobs.corpus(params, folder, progress=progress)
    classes, count = params.data.scheme, params.training.seeds
    step(f"validate them, train a {classes}-class U-Net over {count} seeds, evaluate, register")
    report = jobs.train(params, out / "train", on_epoch=on_epoch, progress=progress)
    step(f"promote {report['registered']} through the gates")
    version = int(report["registered"].rpartition("/")[2])
    try:
        reference = jobs.promote(params, params.tracking.experiment, version, "demo").ref
        promoted = f"{reference} (version {version})"
    except PromotionRefused as refused:  # the lab has a better one: it keeps that
        reference, promoted = report["registered"], f"none: {refused}"
    batches, picture = params.data.validation_batches, out / "picture.png"
    shown = jobs.evaluate_model(params, reference, folder, batches=batches, image=picture)
    lines = ["", *_table(report), ""]
    if (bundled_models() / "moke-unet" / SUMS).is_file():
        step("segment a frame with the bundled model, which was trained on real frames")
        sample = out / "sample.png"
        frames = open_dataset(folder).select(batches=batches)
        write_image(sample, frames.image(most_skyrmions(shown)))
        (row,) = jobs.segment(params, [sample], [BUNDLED], out / "segment")
        lines.append(f"bundled model   {row['overlay']}")
    return [
        *lines,
        f"picture         {picture}  (frame, label, prediction)",
        f"promoted        {promoted}",
        f"took            {time.monotonic() - started:.0f} s",
        "",
        "Open the web pages:  make serve",
    ]


def _table(report: dict) -> list[str]:
    """MCC mean ± SD over the seeds, without and with test-time augmentation."""
    count = len(report["seeds"])
    lines = [f"{'validation frames':<34}MCC, mean ± SD over {count} seeds"]
    for part, name in (("validation", "single pass"), ("tta", "test-time augmentation")):
        mean, sd = report[part]["mcc.mean"], report[part]["mcc.sd"]
        lines.append(f"{name:<34}{mean:.3f} ± {sd:.3f}")
    return lines
