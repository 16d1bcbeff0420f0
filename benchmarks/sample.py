"""Recognition of what microscope software draws into frames.

Simulated Kerr frames of 512 x 672 pixels, 8 and 16 bit, with a contrast of 0.3, 1 and 3 times the
noise of a pixel, get an information bar at each side, lettering and scale bars in six fonts of 12
to 32 px. The value is the fraction of the drawn pixels that is left out, and the fraction of the
film around them that is kept, where the peer is all of it. `python benchmarks/sample.py FOLDER`
does the same with the frames of a dataset.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from _rows import row, seconds_of
from spinscope.config import load_params
from spinscope.corpora.annotations import FONTS, SIDES, annotate
from spinscope.corpora.kerr import kerr_frames
from spinscope.datasets import open_dataset
from spinscope.inference.sample import sample_region

SHAPE, FRAMES, REPEATS = (512, 672), 24, 5
KINDS = {
    "bar": {"side": True},
    "lettering": {"text": True},
    "scale_bar": {"scale_bar": True},
    "all": {"side": True, "text": True, "scale_bar": True},
}
AROUND_PX = 40
"""Film farther from drawn pixels is never left out; the value holds for the film nearer to them."""


def main() -> dict[str, dict]:
    """Measure; returns name → {value, unit, peer, ratio}."""
    films = list(from_dataset(sys.argv[1]) if len(sys.argv) > 1 else simulated())
    regions = [sample_region(image) for image in films]
    untouched = np.mean([not region.parts for region in regions])
    ms = np.median([1e3 * seconds_of(lambda i=i: sample_region(i)) for i in films * REPEATS])
    rows = {
        "sample.whole_frames": row(float(untouched), "", 1.0),
        "sample.ms": row(float(ms), "ms", 3.0, 3.0 / float(ms)),
    }
    for kind, parts in KINDS.items():
        removed, kept, far = np.mean(
            [of_frame(image, k, **parts) for k, image in enumerate(films)], axis=0
        )
        rows[f"sample.{kind}_removed"] = row(float(removed), "", 1.0)
        rows[f"sample.{kind}_film_kept"] = row(float(kept), "", 1.0)
        rows[f"sample.{kind}_far_film_kept"] = row(float(far), "", 1.0)
    return rows


def simulated() -> Iterator[np.ndarray]:
    """Simulated Kerr frames, every second one of 16 bit, with the noise of three contrasts."""
    settings = load_params("laptop").kerr.model_copy(
        update={"height": SHAPE[0], "width": SHAPE[1], "workers": 2}
    )
    rng = np.random.default_rng(0)
    for k, (drawn, image, _) in enumerate(kerr_frames(FRAMES, 11, settings)):
        noise = max(abs(drawn["contrast"]) / (0.3, 1, 3)[k % 3], drawn["noise"])
        extra = np.sqrt(noise**2 - drawn["noise"] ** 2)
        grey = np.clip(image / 255 + rng.normal(0, min(extra, 0.2), SHAPE), 0, 1)
        dtype = (np.uint8, np.uint16)[k % 2]
        yield np.round(grey * np.iinfo(dtype).max).astype(dtype)


def from_dataset(folder: str) -> Iterator[np.ndarray]:
    """Frames of a dataset, (H, W) uint8."""
    dataset = open_dataset(folder)
    for k in range(len(dataset)):
        yield np.round(dataset.image(k) * 255).astype(np.uint8)


def of_frame(image: np.ndarray, k: int, **parts: bool) -> tuple[float, float, float]:
    """Fraction removed of what is drawn, and fractions kept of the film near it and of all film."""
    rng = np.random.default_rng(k)
    side = SIDES[k % 4] if parts.pop("side", False) else None
    drawn = annotate(
        image,
        rng,
        side=side,
        bright_ink=k % 3 > 0,
        font_name=FONTS[k % len(FONTS)],
        size=int(rng.choice([12, 14, 18, 24, 32])),
        antialias=k % 4 < 3,
        **parts,
    )
    left_out = sample_region(drawn.image).left_out
    near = ndimage.distance_transform_edt(~drawn.drawn) <= AROUND_PX
    film = near & ~drawn.drawn
    return left_out[drawn.drawn].mean(), 1 - left_out[film].mean(), 1 - left_out[~near].mean()


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
