"""Raw recordings of a Kerr microscope with their truth: a TIFF, the table beside it, and a JSON.

The first frames show the saturated film, as a reference. Each kind has its own figures to recover,
in the units of the tables that analyses write:

- ``loop``: coercive field, bias and remanence of the whole frame;
- ``bubble``: prefactor and slope of the creep law of a bubble that grows in rising fields;
- ``in-plane``: the same law, with the field of the DMI, from bubbles in several in-plane fields;
- ``stripes``: period, and width of the reversed stripes in each field;
- ``skyrmions``: diffusion constant and tracks of skyrmions in Brownian motion in a constant field;
- ``events``: place, frame and field of each nucleation and annihilation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from spinscope.corpora.kerr import draw_defects
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file, provenance, write_json
from spinscope.physics import reversal
from spinscope.physics.brownian import brownian_m, brownian_skyrmions
from spinscope.physics.raw_kerr import Camera, drift_path, raw_frames

SHAPE = (256, 336)
FRAMES = 60
REFERENCE = 4
"""Frames of the saturated film at the beginning."""

PIXEL_SIZE = 0.5e-6
INTERVAL = 1.0

_DUSTY = 6  # an uncleaned sample has this many times the dust of the published frames
_MT = 1e3
_UM = 1e6


@dataclass(frozen=True)
class Series:
    """Magnetisation of a film over the frames of a recording, what was applied, and the truth.

    Attributes
    ----------
    m : (n, H, W) float32 array
        Magnetisation along the normal.
    applied : dict of (n,) arrays
        Column → value of each frame.
    truth : dict
        Figures that an analysis must recover.
    interval : float
        Time between frames, s.
    """

    m: np.ndarray
    applied: dict[str, np.ndarray]
    truth: dict[str, Any]
    interval: float = INTERVAL


def loop_series(n: int, shape: tuple[int, int], rng: np.random.Generator) -> Series:
    """Hysteresis loop between ±30 mT: coercive field 12 mT, bias 1.5 mT."""
    fields = reversal.sweep_fields(n, 30e-3, saturated=REFERENCE)
    values = {"coercive": 12e-3, "width": 2e-3, "bias": 1.5e-3}
    m = reversal.hysteresis(fields, shape, rng, **values)
    down, up = (float(reversal.branch(0.0, side, **values)) for side in (-1, 1))
    truth = {
        "coercive_field_mt": values["coercive"] * _MT,
        "bias_mt": values["bias"] * _MT,
        "width_mt": values["width"] * _MT,
        "remanence": (down - up) / 2,
    }
    return Series(m, {"field_mt": fields * _MT}, truth)


_CREEP = {"v0": 4e-3, "alpha": 2.4}  # m/s, T^(1/4)


def bubble_series(n: int, shape: tuple[int, int], rng: np.random.Generator) -> Series:
    """Bubble that grows in fields from -4 mT to -9 mT, in six steps."""
    growing = n - REFERENCE - 1
    if growing < 12:
        raise SpinscopeError(f"n (={n}) must be at least {REFERENCE + 13} frames for six fields")
    steps = np.linspace(-4e-3, -9e-3, 6)
    driving = steps[np.arange(growing) * len(steps) // growing]
    fields = np.concatenate([np.full(REFERENCE, 30e-3), [0.0], driving])
    start = 12 * PIXEL_SIZE
    interval = INTERVAL * (FRAMES - REFERENCE - 1) / growing  # the bubble stays in the frame
    m = reversal.expanding_bubble(
        fields, shape, interval=interval, pixel_size=PIXEL_SIZE, start=start,
        restarts=(REFERENCE,), **_CREEP,
    )  # fmt: skip
    velocity = reversal.creep_velocity(steps, **_CREEP)
    truth = _creep_truth() | {
        "start_radius_um": start * _UM,
        "velocity": [
            {"field_mt": one * _MT, "velocity_um_per_s": float(v) * _UM}
            for one, v in zip(steps, velocity, strict=True)
        ],
    }
    return Series(m, {"field_mt": fields * _MT}, truth, interval)


def in_plane_series(n: int, shape: tuple[int, int], rng: np.random.Generator) -> Series:
    """Bubbles that grow in -7 mT, each in another in-plane field from -150 mT to 150 mT."""
    sideways = np.linspace(-150e-3, 150e-3, 7)
    each = (n - REFERENCE) // len(sideways)
    if each < 3:
        raise SpinscopeError(
            f"n (={n}) must be at least {REFERENCE + 3 * len(sideways)} frames for "
            f"{len(sideways)} in-plane fields"
        )
    n = REFERENCE + each * len(sideways)
    driving, wall = -7e-3, {"dmi_field": 60e-3, "saturation": 400e-3}
    restarts = [REFERENCE + each * k for k in range(len(sideways))]
    fields = np.concatenate([np.full(REFERENCE, 30e-3), np.full(n - REFERENCE, driving)])
    fields[restarts] = 0.0
    in_plane = np.concatenate([np.zeros(REFERENCE), np.repeat(sideways, each)])
    start = 15 * PIXEL_SIZE
    m = reversal.expanding_bubble(
        fields, shape, interval=INTERVAL, pixel_size=PIXEL_SIZE, start=start, in_plane=in_plane,
        restarts=restarts, **wall, **_CREEP,
    )  # fmt: skip
    right, left = (
        reversal.creep_velocity(driving, in_plane=side * sideways, **wall, **_CREEP)
        for side in (1, -1)
    )
    truth = _creep_truth() | {
        "dmi_field_mt": wall["dmi_field"] * _MT,
        "saturation_mt": wall["saturation"] * _MT,
        "start_radius_um": start * _UM,
        "velocity": [
            {
                "field_mt": driving * _MT,
                "in_plane_field_mt": float(one) * _MT,
                "right_um_per_s": float(r) * _UM,
                "left_um_per_s": float(s) * _UM,
            }
            for one, r, s in zip(sideways, right, left, strict=True)
        ],
    }
    return Series(m, {"field_mt": fields * _MT, "in_plane_field_mt": in_plane * _MT}, truth)


def stripes_series(n: int, shape: tuple[int, int], rng: np.random.Generator) -> Series:
    """Stripes of 24 px in a field that rises from 0 to 18 mT; they would vanish at 30 mT."""
    period, saturation = 24.0, 30e-3
    fields = np.concatenate([np.full(REFERENCE, 35e-3), np.linspace(0, 18e-3, n - REFERENCE)])
    m = reversal.stripe_domains(fields, shape, rng, period=period, saturation=saturation)
    widths = np.maximum(period / 2 * (1 - fields / saturation), 0) * PIXEL_SIZE
    truth = {
        "period_um": period * PIXEL_SIZE * _UM,
        "saturation_mt": saturation * _MT,
        "reversed_width_um": (widths * _UM).tolist(),
    }
    return Series(m, {"field_mt": fields * _MT}, truth)


def skyrmions_series(n: int, shape: tuple[int, int], rng: np.random.Generator) -> Series:
    """Skyrmions of 14 px in Brownian motion of 0.5 px²/frame, at 0.5 mT and 300 K."""
    diffusion, diameter, moving = 0.5, 14.0, n - REFERENCE
    count = max(1, round(30 * shape[0] * shape[1] / (SHAPE[0] * SHAPE[1])))
    tracks = brownian_skyrmions(count, moving, shape, diffusion, rng, diameter=(diameter, diameter))
    m = np.ones((n, *shape), np.float32)
    for k in range(moving):
        m[REFERENCE + k] = brownian_m(tracks, k, shape)
    fields = np.concatenate([np.full(REFERENCE, 5.0), np.full(moving, 0.5)])
    columns = zip(
        *(tracks[name].tolist() for name in ("frame", "skyrmion", "true_y_px", "true_x_px")),
        strict=True,
    )
    truth = {
        "diffusion_um2_per_s": diffusion * (PIXEL_SIZE * _UM) ** 2 / INTERVAL,
        "diameter_um": diameter * PIXEL_SIZE * _UM,
        "tracks": [
            {"frame": REFERENCE + frame, "particle": number, "y_px": y, "x_px": x}
            for frame, number, y, x in columns
        ],
    }
    return Series(m, {"field_mt": fields, "temperature_k": np.full(n, 300.0)}, truth)


def events_series(n: int, shape: tuple[int, int], rng: np.random.Generator) -> Series:
    """Bubbles that nucleate around -6 mT and are annihilated around 8 mT, in a loop of ±15 mT."""
    fields = reversal.sweep_fields(n, 15e-3, saturated=REFERENCE)
    down, up = (-6e-3, 2e-3), (8e-3, 2e-3)
    m, events = reversal.switching_bubbles(
        fields, shape, rng, count=40, radius=7.0, nucleation=down, annihilation=up
    )
    rows = [{k: v for k, v in one.items() if k != "field"} for one in events]
    for row, one in zip(rows, events, strict=True):
        row["field_mt"] = one["field"] * _MT
    truth = {
        "nucleation_field_mt": down[0] * _MT,
        "nucleation_field_sd_mt": down[1] * _MT,
        "annihilation_field_mt": up[0] * _MT,
        "annihilation_field_sd_mt": up[1] * _MT,
        "radius_um": 7.0 * PIXEL_SIZE * _UM,
        "events": rows,
    }
    return Series(m, {"field_mt": fields * _MT}, truth)


KINDS: dict[str, Callable[[int, tuple[int, int], np.random.Generator], Series]] = {
    "loop": loop_series,
    "bubble": bubble_series,
    "in-plane": in_plane_series,
    "stripes": stripes_series,
    "skyrmions": skyrmions_series,
    "events": events_series,
}
"""Kind of a recording → its series."""


def write_raw_recording(
    kind: str,
    out: Path | str,
    *,
    n: int = FRAMES,
    seed: int = 0,
    shape: tuple[int, int] = SHAPE,
    camera: Camera | None = None,
) -> dict[str, Any]:
    """Simulate a raw recording and write ``NAME.tif``, ``NAME.csv`` and ``NAME.truth.json``.

    Equal arguments give equal frames.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    out : Path or str
        TIFF file to write, ending in ``.tif`` or ``.tiff``; the others go beside it.
    n : int, default 60
        Number of frames, the reference included; ``in-plane`` may make a few fewer.
    seed : int, default 0
        Seed of all draws.
    shape : (int, int), default (256, 336)
        Height and width in pixels, at least 64.
    camera : Camera, optional
        Camera, light and stage.

    Returns
    -------
    dict
        The truth, as written.

    Raises
    ------
    SpinscopeError
        For an unknown kind, another ending, too few frames, or frames that are too small.
    """
    out = Path(out)
    if kind not in KINDS:
        raise SpinscopeError(f"kind {kind!r} must be one of {', '.join(KINDS)}")
    if out.suffix.lower() not in (".tif", ".tiff"):
        raise SpinscopeError(f"out {str(out)!r} must end in .tif, for example {kind}.tif")
    if n < REFERENCE + 8:
        raise SpinscopeError(f"n (={n}) must be at least {REFERENCE + 8} frames")
    if min(shape) < 64:
        raise SpinscopeError(f"shape (={shape}) must be at least 64 pixels each way")
    camera = camera or Camera()
    domains, sample, stage, noise = (
        np.random.default_rng(one) for one in np.random.SeedSequence(seed).spawn(4)
    )
    series = KINDS[kind](n, shape, domains)
    n = len(series.m)
    drift = drift_path(n, camera, stage)
    defects = [one for _ in range(_DUSTY) for one in draw_defects(sample, shape)]
    frames = raw_frames(series.m, camera, drift, noise, defects=defects)
    time = np.arange(n) * series.interval
    table = pd.DataFrame({"frame": np.arange(n), "time_s": time, **series.applied})
    truth = {
        "kind": kind,
        "seed": seed,
        "frames": n,
        "reference_frames": REFERENCE,
        "pixel_size_um": PIXEL_SIZE * _UM,
        "interval_s": series.interval,
        **series.truth,
        "camera": asdict(camera),
        "drift_y_px": drift[:, 0].tolist(),
        "drift_x_px": drift[:, 1].tolist(),
        "mean_m": series.m.mean(axis=(1, 2), dtype=np.float64).tolist(),
        **provenance(),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    _write_tiff(out, frames, (n, *shape), series.interval, camera)
    with atomic_file(out.with_suffix(".csv")) as partial:
        table.to_csv(partial, index=False, float_format="%.6g")
    write_json(out.with_suffix(".truth.json"), truth)
    return truth


def _creep_truth() -> dict[str, float]:
    """Figures of the creep law, with fields in mT."""
    return {
        "v0_um_per_s": _CREEP["v0"] * _UM,
        "alpha_mt14": _CREEP["alpha"] * _MT**0.25,
        "creep_exponent": 0.25,
    }


def _write_tiff(
    out: Path, frames: Iterator[np.ndarray], shape: tuple[int, ...], interval: float, camera: Camera
) -> None:
    """Write frames as OME-TIFF, with pixel size, interval and the bits of the camera."""
    import tifffile

    metadata = {
        "axes": "TYX",
        "PhysicalSizeX": PIXEL_SIZE * _UM,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": PIXEL_SIZE * _UM,
        "PhysicalSizeYUnit": "µm",
        "TimeIncrement": interval,
        "TimeIncrementUnit": "s",
        "SignificantBits": camera.bits,
    }
    with atomic_file(out) as partial:
        tifffile.imwrite(
            partial, frames, shape=shape, dtype=np.uint16, ome=True, metadata=metadata,
            photometric="minisblack",
        )  # fmt: skip
