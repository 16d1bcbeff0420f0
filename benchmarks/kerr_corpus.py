"""Frames per second of the simulated Kerr corpus at 512 x 672 pixels on two threads.

Peer: the same frames with patterns relaxed by the explicit scheme, in float64 at the pixels of the
frame with numpy.fft, to the same time. All its steps take the same time, so that a few are
measured.
"""

from __future__ import annotations

import json

import numpy as np

from _rows import row, seconds_of
from spinscope.config import load_params
from spinscope.corpora.kerr import kerr_frames
from spinscope.physics import domains

FRAMES = 24
SHAPE = 512, 672


def main() -> dict[str, dict]:
    """Measure; returns name → {value, unit, peer, ratio}."""
    settings = load_params("laptop").kerr.model_copy(
        update={"height": SHAPE[0], "width": SHAPE[1], "workers": 2}
    )
    list(kerr_frames(2, 0, settings))  # imports, and plans of the transforms
    seconds = seconds_of(lambda: list(kerr_frames(FRAMES, 1, settings)))
    sources = -(-FRAMES // settings.frames_per_source)
    peer = seconds_of_explicit_pattern() * sources / settings.workers + seconds
    return {"kerr_corpus.frames_per_s": row(FRAMES / seconds, "1/s", FRAMES / peer)}


def seconds_of_explicit_pattern(timed: int = 4) -> float:
    """Seconds to relax one pattern by forward Euler, at half the bound of a stable step."""
    alpha, beta, gamma = 3.5, 2.0, 0.35
    k = 2 * np.pi * np.hypot(np.fft.fftfreq(SHAPE[0])[:, None], np.fft.rfftfreq(SHAPE[1])[None, :])
    stiffness = beta * k**2 + gamma * (domains.KERNEL - 2 * np.pi * k)
    step = 1 / stiffness.max()
    # Each of seventy implicit steps amplifies the fastest wave by this factor.
    growth = float(domains.growth_rate(np.pi * gamma / beta))
    factor = (1 + 1.5 * alpha * 2) / (1 + 2 * (alpha / 2 + alpha - growth))
    steps = round(70 * np.log(factor) / np.log1p(step * growth))

    def explicit() -> None:
        phi = np.random.default_rng(0).normal(0, 0.1, SHAPE)
        for _ in range(timed):
            linear = np.fft.irfft2(stiffness * np.fft.rfft2(phi), s=SHAPE)
            phi = phi + step * (alpha * (phi - phi**3) - linear + 0.1)

    return seconds_of(explicit) / timed * steps


if __name__ == "__main__":
    print(json.dumps(main()))
