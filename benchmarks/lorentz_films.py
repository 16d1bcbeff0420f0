"""Simulated Lorentz films beside the published ones: counts, sizes, spacing and contrast.

`python benchmarks/lorentz_films.py FILMS PUBLISHED`: a corpus of relaxed films, and a folder of
published pairs of image and label. Labels are the published ones, m_z ≤ 0.98 and eroded once;
images are at the published conditions. Each row is the mean over the films, the peer that of the
published pairs, and `sd`, `low` and `high` are those of the films.

- `films.objects`: skyrmions per film, above 30 px. `published_ten`: smallest, mean and largest
  count of the ten labels of McCray et al. that could be read.
- `films.diameter_px`: median diameter of a film's discs. `residual_px`: published diameter less
  that of films with as many skyrmions (a line through the films), for each pair.
- `films.covered`: fraction of the film in the label, and `residual` likewise.
- `films.spacing_px`: median distance of nearest neighbours.
- `films.contrast`: standard deviation of an image over its mean, from 0 to 1. `dark`, `bright`: its
  1 and 99 per cent points.
- `films.f1`: mean F1 of `--model` at its own level. `by_level`: films, and each pair, at several
  levels; `area_films`, `area_pairs`: predicted area over that of the label.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from _rows import row
from spinscope.classes import SKYRMION
from spinscope.config import bundled_models, load_params
from spinscope.corpora.films import open_films
from spinscope.inference.predict import Predictor
from spinscope.studies.lorentz.scores import Point, published_pairs, simulated_image, specimens

MIN_PX = 30
LEVELS = (0.4, 0.3)
TEN = {"low": 22, "mean": 46, "high": 72}
"""Skyrmions in ten published labels."""


def main() -> dict[str, dict]:
    """Measure; returns name → {value, unit, peer, ratio}."""
    parser = argparse.ArgumentParser()
    parser.add_argument("films", type=Path)
    parser.add_argument("published", type=Path)
    parser.add_argument("--model", default=str(bundled_models() / "ltem-unet"))
    given = parser.parse_args()
    settings = load_params("laptop", ["ltem.label_mz=0.98"], family="ltem-unet").ltem
    films = open_films(given.films)
    simulated = [
        (simulated_image(one, Point(), settings, 0), one.label)
        for one in specimens(films, range(len(films)), settings)
    ]
    published = [(pair.image, pair.label) for pair in published_pairs(given.published)]
    found = [figures(image, label, periodic=True) for image, label in simulated]
    pairs = [figures(image, label, periodic=False) for image, label in published]
    ours, theirs = (
        {key: np.array([one[key] for one in rows]) for key in rows[0]} for rows in (found, pairs)
    )
    extra = {key: {} for key in ours}
    extra["objects"] = {"published_ten": TEN}
    for key in ("diameter_px", "covered"):
        line = np.polyfit(ours["objects"], ours[key], 1)
        extra[key]["residual"] = list(theirs[key] - np.polyval(line, theirs["objects"]))
        extra[key]["residual_sd"] = float(np.std(ours[key] - np.polyval(line, ours["objects"])))
    for key in ("dark", "bright"):
        extra["contrast"][key] = [float(ours[key].mean()), float(theirs[key].mean())]
    units = {"objects": "1", "diameter_px": "px", "covered": "of the film", "spacing_px": "px",
             "contrast": "of the mean"}  # fmt: skip
    scores = score(Predictor.load(given.model, "auto"), simulated, published)
    return {"films.f1": scores} | {
        f"films.{key}": row(
            float(ours[key].mean()),
            unit,
            float(theirs[key].mean()),
            sd=float(ours[key].std()),
            low=float(ours[key].min()),
            high=float(ours[key].max()),
            published=[float(value) for value in theirs[key]],
            **extra[key],
        )
        for key, unit in units.items()
    }


def score(predictor: Predictor, simulated: list, published: list) -> dict:
    """F1 of a network on (image, label) of films and of published pairs, by level."""
    by_level: dict[str, dict] = {}
    for level in (predictor.level, None, *LEVELS):
        at = predictor.with_level(level)
        values = {}
        for name, frames in (("films", simulated), ("pairs", published)):
            masks = [at.classes(image) == SKYRMION for image, _ in frames]
            values[name] = [f1(mask, label) for mask, (_, label) in zip(masks, frames, strict=True)]
            values[f"area_{name}"] = [
                float(mask.sum() / label.sum())
                for mask, (_, label) in zip(masks, frames, strict=True)
            ]
        for key in ("films", "area_films"):
            values[key] = float(np.mean(values[key]))
        by_level["most_probable" if level is None else f"{level:g}"] = values
    own = by_level["most_probable" if predictor.level is None else f"{predictor.level:g}"]
    return row(own["films"], "F1", float(np.mean(own["pairs"])), by_level=by_level)


def f1(mask: np.ndarray, label: np.ndarray) -> float:
    """F1 of a mask with a label."""
    return float(2 * (mask & (label > 0)).sum() / (mask.sum() + (label > 0).sum()))


def figures(image: np.ndarray, label: np.ndarray, *, periodic: bool) -> dict[str, float]:
    """Figures of one film: image (H, W) from 0 to 1 and label (H, W)."""
    labels, _ = ndimage.label(label, np.ones((3, 3)))
    if periodic:  # an object that an edge cuts continues at the opposite edge
        for one, other in ((labels[0], labels[-1]), (labels[:, 0], labels[:, -1])):
            for a, b in zip(one, other, strict=True):
                if a and b and a != b:
                    labels[labels == b] = a
    sizes = np.bincount(labels.ravel())[1:]
    kept = np.flatnonzero(sizes >= MIN_PX) + 1
    inner = [k for k in kept if not on_edge(labels == k)]
    centres = np.array(ndimage.center_of_mass(label, labels, inner))
    away = cKDTree(centres).query(centres, 2)[0][:, 1]
    dark, bright = np.quantile(image, (0.01, 0.99))
    return {
        "objects": float(len(kept)),
        "diameter_px": float(np.median(2 * np.sqrt(sizes[np.array(inner) - 1] / np.pi))),
        "covered": float(label.mean()),
        "spacing_px": float(np.median(away)),
        "contrast": float(image.std() / image.mean()),
        "dark": float(dark),
        "bright": float(bright),
    }


def on_edge(mask: np.ndarray) -> bool:
    """Whether an object touches the edge of the image."""
    return bool(mask[[0, -1]].any() or mask[:, [0, -1]].any())


if __name__ == "__main__":
    print(json.dumps(main()))
