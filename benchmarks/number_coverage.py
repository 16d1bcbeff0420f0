"""Coverage of the 90 % intervals of wall velocity, coercive field, stripe width and diffusion.

Each draw simulates frames or tracks with known values of random size, measures them, and asks
whether the truth lies within value ± 1.645 sd. `value` is the fraction of draws in which it does,
`peer` the nominal 0.9; `error` is the median of |value - truth| relative to the truth, `sd` that of
the stated sd. Noise of a pixel is a fifth of the contrast.

`wall_velocity`: a bubble that creeps in three fields, six frames each; a draw counts three times.
`creep_alpha`: the strength of the pinning from the same bubbles.
`dmi_field`: bubbles in seven in-plane fields up to 150 mT, five frames each.
`coercive_field`: a loop of 64 frames whose mean intensity has noise and whose light changes.
`stripe_width`: one frame; statistical and boundary sd in squares (`statistical`: without boundary).
`diffusion`: 25 skyrmions over 40 frames, located within 0.3 px.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pandas as pd

from _rows import row
from spinscope.analysis import diffusion
from spinscope.analysis.fits import NORMAL
from spinscope.analysis.loops import hysteresis_loop
from spinscope.analysis.walls import bubble, creep_fit, dmi_field, steps_of, velocity_table
from spinscope.analysis.widths import (
    LEVEL_SD,
    grey_levels,
    half_contrast,
    reversal,
    stripe_widths,
    width_figures,
)
from spinscope.physics.brownian import brownian_skyrmions
from spinscope.physics.reversal import (
    creep_velocity,
    expanding_bubble,
    hysteresis,
    stripe_domains,
    sweep_fields,
)

DRAWS, SEED = 100, 20
CONTRAST, NOISE = 0.1, 0.02
Draw = Callable[[np.random.Generator], list[tuple[float, ...]]]


def camera(m: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Clean intensities of a magnetisation."""
    return 0.5 + CONTRAST * (1 - m) / 2 + rng.normal(0, NOISE, m.shape).astype(np.float32)


def velocities(m: np.ndarray, keys: list[np.ndarray], rng: np.random.Generator) -> pd.DataFrame:
    """Velocities of the walls of a bubble in each step of the fields `keys`, px per frame."""
    frames = camera(m, rng)
    levels = grey_levels(frames[::3], saturated=0.5)
    rows = []
    for frame in frames:
        fraction = reversal(frame, levels)
        rows.append(bubble(half_contrast(fraction), fraction=fraction))
    table = pd.DataFrame(rows)
    steps = steps_of(keys, table["radius_px"].to_numpy() ** 2)
    return velocity_table(table, np.arange(float(len(m))), steps)


def creeping(rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray, dict[str, float]]:
    """Velocities of a bubble in three fields, these fields, and the creep law."""
    fields = np.repeat([-4e-3, -5.5e-3, -7e-3], 6)
    creep = {"v0": rng.uniform(3.5e-3, 4.5e-3), "alpha": 2.4}
    m = expanding_bubble(
        fields, (120, 120), interval=1.0, pixel_size=0.5e-6, start=rng.uniform(6e-6, 9e-6), **creep
    )
    return velocities(m, [fields], rng), fields[::6], creep


def wall_velocity(rng: np.random.Generator) -> list[tuple[float, ...]]:
    """(value, truth, sd) of each of three fields."""
    found, fields, creep = creeping(rng)
    truth = creep_velocity(fields, **creep) / 0.5e-6
    return list(zip(found["velocity"], truth, found["velocity_sd"], strict=True))


def creep_alpha(rng: np.random.Generator) -> list[tuple[float, ...]]:
    """(value, truth, sd)."""
    found, fields, creep = creeping(rng)
    fit = creep_fit(fields, found["velocity"].to_numpy(), found["velocity_sd"].to_numpy())
    return [(fit["alpha"], creep["alpha"], fit["alpha_sd"])]


def dmi(rng: np.random.Generator) -> list[tuple[float, ...]]:
    """(value, truth, sd)."""
    in_plane, truth = np.linspace(-150e-3, 150e-3, 7), rng.uniform(30e-3, 80e-3)
    sideways, frames = np.repeat(in_plane, 5), 5 * len(in_plane)
    m = expanding_bubble(
        np.full(frames, -7e-3), (120, 120), interval=1.0, pixel_size=0.5e-6,
        start=rng.uniform(6e-6, 9e-6), v0=4e-3, alpha=2.4, in_plane=sideways, dmi_field=truth,
        saturation=0.4, restarts=range(0, frames, 5),
    )  # fmt: skip
    found = velocities(m, [sideways], rng)
    sides = [found[key].to_numpy() for key in ("left", "right", "left_sd", "right_sd")]
    fit = dmi_field(in_plane, *sides)
    return [(fit["dmi_field"], truth, fit["dmi_field_sd"])]


def coercive_field(rng: np.random.Generator) -> list[tuple[float, ...]]:
    """(value, truth, sd)."""
    truth = rng.uniform(9, 15)
    fields = sweep_fields(64, 30.0)
    m = hysteresis(
        fields, (96, 96), rng, coercive=truth, width=rng.uniform(1, 2), bias=rng.uniform(-2, 2)
    )
    signal = m.mean(axis=(1, 2)) * CONTRAST + rng.normal(0, 0.03 * CONTRAST, len(m))
    found = hysteresis_loop(fields, signal).coercive
    return [(found.value, truth, found.se)]


def stripe_width(rng: np.random.Generator) -> list[tuple[float, ...]]:
    """(value, truth, sd, statistical sd)."""
    period, closed = rng.uniform(16, 28), rng.uniform(0, 0.4)
    m = stripe_domains([closed], (160, 160), rng, period=period, saturation=1.0)
    frame = camera(m, rng)[0]
    fraction = reversal(frame, grey_levels(frame[None], saturated=0.5))
    found = width_figures(stripe_widths(fraction), fraction.shape)
    sides = [stripe_widths(fraction, 0.5 + one)["width_px"].mean() for one in (-LEVEL_SD, LEVEL_SD)]
    sd = found["width_px_mean_sd"]
    both = float(np.hypot(sd, (sides[0] - sides[1]) / 2))
    return [(found["width_px_mean"], period / 2 * (1 - closed), both, sd)]


def diffusing(rng: np.random.Generator) -> list[tuple[float, ...]]:
    """(value, truth, sd)."""
    truth = float(rng.uniform(0.3, 2))
    drawn = brownian_skyrmions(25, 40, (300, 300), truth, rng, localisation=0.3)
    found = diffusion(pd.DataFrame(drawn).rename(columns={"skyrmion": "track"}))
    return [(found["diffusion_px2_per_frame"], truth, found["diffusion_px2_per_frame_se"])]


MEASURED: dict[str, Draw] = {
    "wall_velocity": wall_velocity,
    "creep_alpha": creep_alpha,
    "dmi_field": dmi,
    "coercive_field": coercive_field,
    "stripe_width": stripe_width,
    "diffusion": diffusing,
}


def coverage(draw: Draw, draws: int = DRAWS) -> dict:
    """Row of one quantity."""
    found = np.array(
        [one for k in range(draws) for one in draw(np.random.default_rng([SEED, k]))], float
    )
    value, truth, sd = found[:, 0], found[:, 1], found[:, 2]
    inside = np.abs(value - truth) < NORMAL * sd
    more = {
        "draws": draws,
        "error": float(f"{np.median(np.abs(value / truth - 1)):.3g}"),
        "bias": float(f"{np.mean(value / truth - 1):.3g}"),
        "sd": float(f"{np.median(sd / truth):.3g}"),
    }
    if found.shape[1] > 3:
        more["statistical"] = float(np.mean(np.abs(value - truth) < NORMAL * found[:, 3]))
    return row(float(inside.mean()), "fraction of draws", 0.9, **more)


def main() -> dict[str, dict]:
    """Measure; returns name → {value, unit, peer, ratio}."""
    return {f"numbers.{name}": coverage(draw) for name, draw in MEASURED.items()}


if __name__ == "__main__":
    print(json.dumps(main(), indent=1))
