"""Recordings that are segmented with a warning, among familiar and unfamiliar ones.

Each row is the fraction of the frames whose results have at least one warning: published Kerr
frames (one per source), their inverse, simulated ones, white noise, single bubbles and the
published Lorentz images, for `bundled:moke-unet-simulated` and for `bundled:ltem-unet`. All frames
are taken as they are: the program does not search for scale and polarity. The peer is the wanted
fraction: at most 0.05 of the familiar frames, all others. Without Lorentz images (`SPINSCOPE_LTEM`)
their rows are left out.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import tifffile

from _rows import row
from spinscope.classes import SKYRMION
from spinscope.config import load_params, ltem_path, moke_path
from spinscope.corpora.kerr import kerr_frames
from spinscope.datasets import open_dataset
from spinscope.evaluation.metrics import confusion, scores
from spinscope.jobs.recordings import segment
from spinscope.live.results import open_results
from spinscope.recordings import open_recording

KERR, LORENTZ = "bundled:moke-unet-simulated", "bundled:ltem-unet"
FAMILIAR = ("kerr.real", "kerr.simulated", "lorentz.published")
AS_THEY_ARE = ["segment.scale=null", "segment.polarity=dark"]
SIMULATED = 40
SHAPE, BUBBLES, CONTRASTS, NOISE = (512, 672), (30, 60, 120, 200), (0.3, 1.0, 3.0), (0.0, 0.1)


def main() -> dict[str, dict]:
    """Measure; returns name → {value, unit, peer, ratio}."""
    real = list(first_frames())
    rng = np.random.default_rng(0)
    noise = [rng.normal(0, 1, SHAPE) for _ in range(6)]
    bubbles = [rng.normal(0, 1, SHAPE) - c * disc(r) for r in BUBBLES for c in CONTRASTS]
    simulated = list(simulated_frames())
    sets = {
        "kerr.real": (KERR, real),
        "kerr.simulated": (KERR, [image for image, _ in simulated], [one for _, one in simulated]),
        "kerr.inverted": (KERR, [1 - image for image in real]),
        "kerr.noise_and_bubbles": (KERR, noise + bubbles),
        "lorentz.noise": (LORENTZ, noise),
        "lorentz.kerr": (LORENTZ, real),
    }
    if published := sorted(ltem_path().glob("*_LTEM.tif")):
        pairs = [
            image + level * np.ptp(image) * rng.normal(0, 1, image.shape)
            for image in map(open_image, published)
            for level in NOISE
        ]
        turned = [change(image) for image in pairs for change in (np.rot90, np.fliplr)]
        sets |= {
            "kerr.lorentz": (KERR, pairs),
            "lorentz.published": (LORENTZ, pairs),
            "lorentz.turned": (LORENTZ, turned),
        }
    return {
        f"doubts.{name}": warned(0.05 if name in FAMILIAR else 1.0, *one)
        for name, one in sets.items()
    }


def first_frames() -> Iterable[np.ndarray]:
    """First frame of each source of the published dataset."""
    seen = set()
    for record, image, _ in open_dataset(moke_path()):
        if record.source not in seen:
            seen.add(record.source)
            yield image


def open_image(path: Path) -> np.ndarray:
    """Single image of a file, (H, W)."""
    return open_recording(path).read(0)


def disc(radius: float) -> np.ndarray:
    """Disc in the middle of a frame, (H, W) bool."""
    y, x = (np.arange(n) - n / 2 for n in SHAPE)
    return np.hypot(y[:, None], x) < radius


def simulated_frames() -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Frames of the simulated corpus, faint ones included, and their labels."""
    update = {"height": SHAPE[0], "width": SHAPE[1], "frames_per_source": 1, "workers": 2}
    settings = load_params("laptop").kerr.model_copy(update=update)
    for _, image, label in kerr_frames(SIMULATED, 99, settings):
        yield image / 255, label


def mcc_of(label: np.ndarray, mask: np.ndarray) -> float:
    """MCC of the skyrmions of a mask."""
    return scores(confusion(label == SKYRMION, mask == SKYRMION, 2))["mcc"]


def warned(
    wanted: float, model: str, images: list[np.ndarray], labels: list[np.ndarray] | None = None
) -> dict:
    """Row of the fraction of images that are segmented with a warning.

    With labels, `mcc_warned` and `mcc_others` are the mean MCC of the images with and without one.
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, image in enumerate(images):
            low, high = float(image.min()), float(np.ptp(image)) or 1.0
            paths.append(Path(folder) / f"{number:03d}.tif")
            pixels = (65535 * (image - low) / high).astype(np.uint16)
            tifffile.imwrite(paths[-1], pixels, photometric="minisblack")
        params = load_params("laptop", overrides=AS_THEY_ARE)
        rows = segment(params, paths, [model], Path(folder) / "masks")
        known = np.array(["warning" in one for one in rows])
        more = {"warned": int(known.sum()), "frames": len(rows)}
        if labels is not None:
            mcc = np.array(
                [
                    mcc_of(label, open_results(one["folder"]).mask(0))
                    for label, one in zip(labels, rows, strict=True)
                ]
            )
            more["mcc_warned"] = round(float(mcc[known].mean()), 3)
            more["mcc_others"] = round(float(mcc[~known].mean()), 3)
    return row(known.mean(), "fraction", wanted, **more)


if __name__ == "__main__":
    print(json.dumps(main()))
