"""Recordings that are segmented with a warning, among familiar and unfamiliar ones.

Each row is the fraction of the frames whose results have at least one warning: published Kerr
frames (one per source), their inverse, white noise, single bubbles and the published Lorentz
images, for `bundled:moke-unet-simulated` and for `bundled:ltem-unet`. The peer is the wanted
fraction: at most 0.05 of the familiar frames, all others. Without Lorentz images
(`SPINSCOPE_LTEM`) their rows are left out.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import tifffile

from _rows import row
from spinscope.config import load_params, ltem_path, moke_path
from spinscope.datasets import open_dataset
from spinscope.jobs.recordings import segment
from spinscope.recordings import open_recording

KERR, LORENTZ = "bundled:moke-unet-simulated", "bundled:ltem-unet"
FAMILIAR = ("kerr.real", "lorentz.published")
SHAPE, BUBBLES, CONTRASTS, NOISE = (512, 672), (30, 60, 120, 200), (0.3, 1.0, 3.0), (0.0, 0.1)


def main() -> dict[str, dict]:
    """Measure; returns name → {value, unit, peer, ratio}."""
    real = list(first_frames())
    rng = np.random.default_rng(0)
    noise = [rng.normal(0, 1, SHAPE) for _ in range(6)]
    bubbles = [rng.normal(0, 1, SHAPE) - c * disc(r) for r in BUBBLES for c in CONTRASTS]
    sets = {
        "kerr.real": (KERR, real),
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
        f"doubts.{name}": warned(*one, 0.05 if name in FAMILIAR else 1.0)
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


def warned(model: str, images: list[np.ndarray], wanted: float) -> dict:
    """Row of the fraction of images that are segmented with a warning."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, image in enumerate(images):
            low, high = float(image.min()), float(np.ptp(image)) or 1.0
            paths.append(Path(folder) / f"{number:03d}.tif")
            pixels = (65535 * (image - low) / high).astype(np.uint16)
            tifffile.imwrite(paths[-1], pixels, photometric="minisblack")
        rows = segment(load_params("laptop"), paths, [model], Path(folder) / "masks")
    count = sum("warning" in one for one in rows)
    return row(count / len(rows), "fraction", wanted, warned=count, frames=len(rows))


if __name__ == "__main__":
    print(json.dumps(main()))
