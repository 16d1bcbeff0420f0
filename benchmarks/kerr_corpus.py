"""Frames a second of the simulated Kerr corpus at 512 x 672 on two threads.

Peer: the same frames with the same pictures, but the patterns relaxed by the explicit scheme in
float64 at the pixels of the frame with numpy.fft, to the same time. Its steps are all alike, so a
few are timed and counted up.
"""

from __future__ import annotations

import json
from time import perf_counter

import numpy as np

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
    list(kerr_frames(2, 0, settings))  # imports and plans of the transforms
    start = perf_counter()
    rows = [row for row, _, _ in kerr_frames(FRAMES, 1, settings)]
    seconds = perf_counter() - start
    sources = len({row["source"] for row in rows})
    peer = seconds_of_explicit_pattern() * sources / settings.workers + seconds
    value = FRAMES / seconds
    return {
        "kerr_corpus.frames_per_s": {
            "value": round(value, 2),
            "unit": "1/s",
            "peer": round(FRAMES / peer, 3),
            "ratio": round(peer / seconds, 1),
        }
    }


def seconds_of_explicit_pattern(timed: int = 4) -> float:
    """Seconds to relax one pattern by forward Euler; half the bound of its step, for stability."""
    alpha, beta, gamma = 3.5, 2.0, 0.35
    k = 2 * np.pi * np.hypot(np.fft.fftfreq(SHAPE[0])[:, None], np.fft.rfftfreq(SHAPE[1])[None, :])
    stiffness = beta * k**2 + gamma * (domains.KERNEL - 2 * np.pi * k)
    step = 1 / stiffness.max()
    # Seventy implicit steps move the fastest wave by the factor `moved` each.
    growth = float(domains.growth_rate(np.pi * gamma / beta))
    moved = (1 + 1.5 * alpha * 2) / (1 + 2 * (alpha / 2 + alpha - growth))
    steps = round(70 * np.log(moved) / np.log1p(step * growth))
    phi = np.random.default_rng(0).normal(0, 0.1, SHAPE)
    start = perf_counter()
    for _ in range(timed):
        linear = np.fft.irfft2(stiffness * np.fft.rfft2(phi), s=SHAPE)
        phi = phi + step * (alpha * (phi - phi**3) - linear + 0.1)
    return (perf_counter() - start) / timed * steps


if __name__ == "__main__":
    print(json.dumps(main()))
