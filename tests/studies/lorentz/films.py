"""Films of skyrmions at known places, in memory or as a corpus, and a stand-in for a network."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from spinscope.corpora import films as film_corpus
from spinscope.files import write_json
from spinscope.inference.predict import Predictor
from spinscope.physics.film import Film, Material

CELL = 3e-9


@dataclass
class Films:
    """Films held in memory."""

    films: list[Film]
    rows: list[dict[str, Any]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.films)

    def __getitem__(self, index: int) -> Film:
        return self.films[index]


def lattice(size: int, spacing: float, angle: float = 0.0, jitter: float = 0.0, seed: int = 0):
    """(n, 2) places (y, x) of a triangular lattice that fills a square, not periodic."""
    n = int(2 * size / spacing) + 2
    i, j = np.mgrid[-n : n + 1, -n : n + 1]
    x, y = spacing * (i + j / 2), spacing * np.sqrt(3) / 2 * j
    c, s = np.cos(angle), np.sin(angle)
    at = np.stack([(s * x + c * y).ravel(), (c * x - s * y).ravel()], axis=1) + size / 2 + 0.31
    at += np.random.default_rng(seed).normal(0, jitter, at.shape)
    return at[((at >= 0) & (at < size)).all(axis=1)]


def film(seed: int = 0, size: int = 96, side: int = 2, radius: float = 8.0) -> Film:
    """A periodic film with side x side Néel skyrmions, each shifted a little."""
    rng = np.random.default_rng(seed)
    pitch = size / side
    spot = np.mgrid[:side, :side].reshape(2, -1).T * pitch + rng.uniform(0.4, 0.6, 2) * pitch
    spot += rng.normal(0, 1, spot.shape)
    y, x = np.mgrid[:size, :size].astype(float)
    theta, mx, my = np.zeros((size, size)), np.zeros((size, size)), np.zeros((size, size))
    for cy, cx in spot:
        dy, dx = ((d + size / 2) % size - size / 2 for d in (y - cy, x - cx))
        r = np.hypot(dy, dx)
        tilt = 2 * np.arctan2(np.sinh(radius / 3), np.sinh(np.maximum(r, 1e-9) / 3))
        near = tilt > theta
        theta[near] = tilt[near]
        mx[near], my[near] = (dx / (r + 1e-9))[near], (dy / (r + 1e-9))[near]
    m = np.stack([np.sin(theta) * mx, np.sin(theta) * my, np.cos(theta)], axis=-1)
    m /= np.linalg.norm(m, axis=-1, keepdims=True)
    material = Material(ms=2e5, a_ex=1.5e-11, dmi=1.2e-3, b_ext=0.4, cell=CELL)
    return Film(m.astype(np.float32), material)


def halved(one: Film) -> Film:
    """A film with two grains of different saturation magnetisation."""
    grain = np.zeros(one.shape, np.uint8)
    grain[:, one.shape[1] // 2 :] = 1
    ms = np.where(grain, 2.6e5, 1.4e5).astype(np.float32)
    return replace(one, ms=ms, grain=grain)


def made(n: int, *, size: int = 96, first: int = 0, grains: bool = False) -> Films:
    """`n` films of skyrmions, named as a corpus names them."""
    numbers = range(first, first + n)
    films = [film(number, size) for number in numbers]
    if grains:
        films = [halved(one) for one in films]
    rows = [
        {"name": f"film-{number:05d}", "number": number, "kind": "skyrmions", "converged": True}
        | {**asdict(one.material), "kinds_ms": None, "objects": 4}
        for number, one in zip(numbers, films, strict=True)
    ]
    return Films(films, rows)


def written(folder: Path, films: Films) -> Path:
    """The films as a corpus on disk, as `spinscope corpus films` leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    header = {"kind": "films", "generator": film_corpus.GENERATOR, "seed": 0, "complete": True}
    write_json(folder / film_corpus.HEADER, header)
    relaxed = [(row, film.m, None) for row, film in zip(films.rows, films.films, strict=True)]
    film_corpus.write_films(folder, 0, relaxed)
    return folder


class Filter:
    """Stands in for a network: finds what is dark on its left and bright on its right."""

    streams = 1
    calls = 0

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        self.calls += 1
        slope = ndimage.gaussian_filter(batch[0, ..., 0], 7, order=(0, 1), mode="wrap")
        found = 1 / (1 + np.exp(-60 * (slope - 0.06)))
        return np.stack([1 - found, found], axis=-1)[None].astype(np.float32)


def stand_in() -> Predictor:
    """A predictor on `Filter`, which knows one tilt axis as a Lorentz model does."""
    info = {"classes": ["background", "skyrmion"], "size_multiple": 1, "axis_deg": 0.0}
    return Predictor(Filter(), info)
