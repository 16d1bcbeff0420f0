"""Boundaries of a Lorentz model at levels of m_z, beside the true ones of relaxed films.

`python benchmarks/lorentz_levels.py FILMS`: a corpus of relaxed films of a seed that neither the
training nor the fit of the levels used. Each film is imaged once without noise and once with noise
of 10 % of the mean, under conditions of the training.

A row per level and noise; the peer is the most probable class beside the same truth. `value` is the
mean IoU, and `f1` the mean F1. `area`, `diameter`: mean and standard deviation over films of the
predicted over the true area, and of the mean diameter of the objects. `within`: fraction of films
whose mean diameter deviates by at most 1 and 1.64 of its stated standard deviations. `refused`: why
`--level` does not accept the value; the level of the table is taken then.

`--published FOLDER`: published pairs of image and label. The peer of their mean F1 is that of the
most probable class; `area` and `f1` are those of each pair. Their labels are eroded once, and are
dilated once here.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from scipy import ndimage

from _rows import row
from spinscope.analysis import measure
from spinscope.classes import SKYRMION
from spinscope.config import load_params
from spinscope.corpora.films import open_films
from spinscope.errors import SpinscopeError
from spinscope.inference.level import MZ_LEVELS, level_of_mz
from spinscope.inference.predict import Predictor
from spinscope.jobs.evaluating import predictor
from spinscope.jobs.mz_levels import films_under, mz_images
from spinscope.live.frame import measure_frame
from spinscope.studies.lorentz.scores import published_pairs

VALUES = (0.0, 0.5, 0.9, 0.95, 0.98)
NOISE = (0.0, 0.1)
MIN_PX = 10


def main() -> dict[str, dict]:
    """Measure; returns name → {value, unit, peer, ratio}."""
    parser = argparse.ArgumentParser()
    parser.add_argument("films", type=Path)
    parser.add_argument("--published", type=Path)
    parser.add_argument("--model", default="bundled:ltem-unet")
    given = parser.parse_args()
    params, films = load_params("laptop", family="ltem-unet"), open_films(given.films)
    network = predictor(params, given.model, masks=True)
    settings = films_under(params, network.info).model_copy(update={"images_per_film": 1})
    found = {}
    for noise in NOISE:
        frames = list(mz_images(films, settings, seed=1, noise=(noise, noise)))
        for m_z in VALUES:
            at, refused = at_mz(network, m_z)
            plain = figures(network.with_level(None), frames, m_z)
            ours = figures(at, frames, m_z)
            name = f"lorentz_levels.mz_{m_z:g}.noise_{noise:g}"
            found[name] = row(ours.pop("iou"), "IoU", plain["iou"], level=round(at.level, 3),
                              **ours, most_probable=plain, refused=refused)  # fmt: skip
    if given.published is not None:
        images = [
            (pair.image, ndimage.binary_dilation(pair.label > 0))
            for pair in published_pairs(given.published)
        ]
        plain = agreement(network.with_level(None), images)
        for m_z in VALUES:
            at, refused = at_mz(network, m_z)
            f1, area = agreement(at, images)
            found[f"lorentz_levels.pairs.mz_{m_z:g}"] = row(
                float(f1.mean()), "F1", float(plain[0].mean()), f1=f1.round(3).tolist(),
                area=area.round(3).tolist(), refused=refused,
            )  # fmt: skip
    return found


def agreement(network: Predictor, images: list) -> tuple[np.ndarray, np.ndarray]:
    """F1 and predicted over true area for each image and its mask."""
    rows = []
    for image, true in images:
        mask = network.classes(image) == SKYRMION
        rows.append([2 * (mask & true).sum() / (mask.sum() + true.sum()), mask.sum() / true.sum()])
    return tuple(np.array(rows, dtype=float).T)


def at_mz(network: Predictor, m_z: float) -> tuple[Predictor, str | None]:
    """Network at a level of m_z, and why `--level` refuses it."""
    try:
        return network.with_level(*level_of_mz(network.info, m_z)), None
    except SpinscopeError as error:
        if MZ_LEVELS not in network.info:
            raise
        rows = network.info[MZ_LEVELS]["rows"]
        one = min(rows, key=lambda row: abs(row["m_z"] - m_z))
        return network.with_level(one["level"], one["sd_logits"]), str(error)


def figures(network: Predictor, frames: list, m_z: float) -> dict:
    """Agreement of a network with {m_z <= value} over images (image, m_z) of films."""
    rows = []
    for image, field in frames:
        true = field <= m_z
        frame = measure_frame(image, network, min_px=MIN_PX)
        mask = frame.mask == SKYRMION
        theirs = measure(true, min_px=MIN_PX)["diameter_px"]
        ours = frame.objects["diameter_px"]
        common, both = (mask & true).sum(), mask.sum() + true.sum()
        error = (ours.mean() - theirs.mean()) / frame.objects["diameter_px_sd_boundary"].mean()
        rows.append(
            [common / (both - common), 2 * common / both, mask.sum() / true.sum(),
             ours.mean() / theirs.mean(), abs(error)]
        )  # fmt: skip
    iou, f1, area, diameter, error = np.array(rows, dtype=float).T
    return {
        "iou": round(float(iou.mean()), 3),
        "f1": round(float(f1.mean()), 3),
        "area": [round(float(area.mean()), 3), round(float(area.std()), 3)],
        "diameter": [round(float(diameter.mean()), 3), round(float(diameter.std()), 3)],
        "within": [round(float(np.mean(error <= sd)), 2) for sd in (1, 1.64)],
    }


if __name__ == "__main__":
    print(json.dumps(main()))
