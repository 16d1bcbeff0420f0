"""Every step of a model in minutes: corpus, training, registry, promotion, segmentation."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from spinscope import jobs
from spinscope.config import Params, dataset_path, project_root
from spinscope.corpora.kerr import kerr_frames
from spinscope.extras import require
from spinscope.files import atomic_file
from spinscope.tracking import PromotionRefused

RECORDING_SEED, RECORDING_FRAMES = 10, 8
"""Seed and length of the simulated recording: wires with about 160 skyrmions."""
PIXEL_UM = 0.1
"""Pixel size that the recording states, µm."""


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
    require("tensorflow")
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
    jobs.evaluate_model(params, reference, folder, batches=batches, image=picture)
    step(f"segment and measure a recording of {RECORDING_FRAMES} frames with {reference}")
    recording = write_recording(params, out / "recording.ome.tif")
    (row,) = jobs.segment(params, [recording], [reference], out / "segment")
    jobs.measure(params, Path(row["folder"]))
    return [
        "",
        *_table(report),
        "",
        f"picture         {picture}  (frame, label, prediction)",
        f"results         {row['folder']}  ({row['objects']} skyrmions in {row['frames']} frames)",
        f"promoted        {promoted}",
        f"took            {time.monotonic() - started:.0f} s",
        "",
        "Open the web pages:  make serve",
    ]


def write_recording(params: Params, path: Path) -> Path:
    """Write a simulated recording, which no network was trained on, as a TIFF stack.

    Parameters
    ----------
    params : Params
        Section ``kerr``.
    path : Path
        File to write.
    """
    import tifffile

    settings = params.kerr.model_copy(update={"frames_per_source": RECORDING_FRAMES})
    frames = kerr_frames(RECORDING_FRAMES, RECORDING_SEED, settings)
    metadata = {"axes": "TYX", "PhysicalSizeX": PIXEL_UM, "PhysicalSizeY": PIXEL_UM}
    with atomic_file(path) as partial:
        tifffile.imwrite(
            partial,
            np.stack([image for _, image, _ in frames]),
            photometric="minisblack",
            ome=True,
            metadata=metadata,
        )
    return path


def _table(report: dict) -> list[str]:
    """MCC mean ± SD over the seeds, without and with test-time augmentation."""
    count = len(report["seeds"])
    lines = [f"{'validation frames':<34}MCC, mean ± SD over {count} seeds"]
    for part, name in (("validation", "single pass"), ("tta", "test-time augmentation")):
        mean, sd = report[part]["mcc.mean"], report[part].get("mcc.sd")
        spread = "spread unknown (one seed)" if sd is None else f"± {sd:.3f}"
        lines.append(f"{name:<34}{mean:.3f} {spread}")
    return lines
