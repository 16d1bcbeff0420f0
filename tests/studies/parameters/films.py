"""Synthetic domain films: labyrinths whose domain width is a known function of the constant."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spinscope.config import Domains
from spinscope.corpora.domains import BATCHES, corpus_header
from spinscope.datasets.shards import write_corpus

PERIODS = (0.12, 0.3)
"""Period of the domains at the ends of the range, relative to the side of a film."""


def period(value: float, limits: tuple[float, float]) -> float:
    """Period of the domains of a film, relative to its side."""
    low, high = PERIODS
    return low + (high - low) * (value - limits[0]) / (limits[1] - limits[0])


def labyrinth(size: int, period: float, rng: np.random.Generator) -> np.ndarray:
    """m_z of domains of one period, (size, size): noise of one wave number, then saturated."""
    wave = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)) * size * period
    noise = np.fft.fft2(rng.standard_normal((size, size))) * np.exp(-(((wave - 1) / 0.1) ** 2))
    field = np.fft.ifft2(noise).real
    return np.tanh(3 * field / field.std())


def write_films(path: Path, parameter: str, seed: int, settings: Domains) -> Path:
    """Write a corpus of `settings.n` films whose constants are drawn from their range."""
    rng = np.random.default_rng([seed, len(parameter)])
    low, high = getattr(settings.sets[parameter], parameter)

    def frames():
        for number in range(settings.n):
            value = float(rng.uniform(low, high))
            m_z = labyrinth(settings.sets[parameter].size, period(value, (low, high)), rng)
            levels = np.rint(127.5 * (m_z + 1)).astype(np.uint8)
            row = {"name": f"{number:05d}", "source": number, "batch": number % BATCHES}
            yield {**row, parameter: f"{value:.6g}"}, levels, None

    header = corpus_header(parameter, seed, settings)
    views = {"films": settings.n, "scales_nm": list(settings.sets[parameter].scales_nm)}
    header |= {**views, "pixels": settings.pixels}
    return write_corpus(path, frames(), header=header, shard_frames=settings.shard_films)
