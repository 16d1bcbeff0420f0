"""Through-focal series: displacement of the images and error of the reconstructed induction.

Series of Bloch skyrmions of both chiralities in a film with grains (5 % of the intensity), noise of
2 % per pixel, defocus -200, 0 and 200 µm, 512 x 512 pixels of 3 nm, displaced by up to 12 px at
random. `phase.shift_px`: largest error of a displacement over ten series; the peer is
`skimage.registration.phase_cross_correlation` with an upsampling of 50. `phase.induction_error`:
root mean square error of the induction over that of the true one, mean over the series; the peer is
the same series without alignment.

`--series DIR` writes the images of the first series instead.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from _rows import row
from spinscope.physics import through_focal, tie
from spinscope.physics.lorentz import Microscope, image, magnetic_phase

SIDE, CUT, FURTHEST, SERIES = 512, 32, 12, 10
MS, THICKNESS, PIXEL, VOLTAGE = 2.2e5, 27.5e-9, 3e-9, 200e3
DEFOCUS = (-2e-4, 0.0, 2e-4)
GRAINS, NOISE = 0.05, 0.02


def main(series: Path | None = None) -> dict[str, dict]:
    """Measure, or write a series; returns name → {value, unit, peer, ratio}."""
    if series is not None:
        write(series, simulated(0)[0])
        return {}
    from skimage.registration import phase_cross_correlation

    own, peer, errors, raw = [], [], [], []
    for seed in range(SERIES):
        images, shifts, phase = simulated(seed)
        found = through_focal.align(images, DEFOCUS)
        own.append(np.abs(found.shifts - shifts).max())
        other = [
            -phase_cross_correlation(images[1], images[k], upsample_factor=50)[0] for k in (0, 2)
        ]
        peer.append(np.abs(np.array(other) - shifts[[0, 2]]).max())
        errors.append(error(found.images, phase[found.rows, found.columns]))
        raw.append(error(np.stack(images), phase))
    return {
        "phase.shift_px": row(max(own), "px", max(peer), max(peer) / max(own)),
        "phase.induction_error": row(
            np.mean(errors), "", np.mean(raw), np.mean(raw) / np.mean(errors)
        ),
    }


def simulated(seed: int) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Images of a series, their displacement (3, 2) in px, and the phase in the image in focus."""
    rng = np.random.default_rng(seed)
    phase = magnetic_phase(film(rng), MS, THICKNESS, PIXEL).astype(np.float64)
    grains = ndimage.gaussian_filter(rng.normal(size=phase.shape), 3, mode="wrap")
    amplitude = 1 + GRAINS / 2 * grains / grains.std()
    shifts = rng.uniform(-FURTHEST, FURTHEST, (3, 2))
    shifts -= shifts[1]
    images = []
    for z, shift in zip(DEFOCUS, shifts, strict=True):
        seen = image(phase, PIXEL, replace(Microscope(), defocus=z), amplitude=amplitude)
        moved = np.fft.ifft2(ndimage.fourier_shift(np.fft.fft2(seen.astype(float)), shift)).real
        images.append((moved + NOISE * rng.normal(size=moved.shape))[CUT:-CUT, CUT:-CUT])
    return images, shifts, phase[CUT:-CUT, CUT:-CUT]


def film(rng: np.random.Generator) -> np.ndarray:
    """Nine Bloch skyrmions of random chirality, away from the border, (H, W, 3)."""
    y, x = np.mgrid[:SIDE, :SIDE]
    m = np.zeros((SIDE, SIDE, 3))
    m[..., 2] = 1
    for k in range(9):
        cy, cx = (SIDE // 4 * (1 + one) + rng.uniform(-20, 20) for one in divmod(k, 3))
        hand = rng.choice([-1, 1])
        r = np.maximum(np.hypot(y - cy, x - cx), 1e-9)
        s = np.sinh(3.5) / np.sinh(np.minimum(r / 6, 50))
        m[..., 0] -= hand * 2 * s / (1 + s**2) * (y - cy) / r
        m[..., 1] += hand * 2 * s / (1 + s**2) * (x - cx) / r
        m[..., 2] -= 2 * s**2 / (1 + s**2)
    return m


def error(images: np.ndarray, phase: np.ndarray) -> float:
    """Relative error of the induction of a series."""
    found = through_focal.series_phase(
        images / images.mean(axis=(1, 2), keepdims=True), DEFOCUS, PIXEL, VOLTAGE,
        mirrored=True,
    )  # fmt: skip
    got, true = (
        np.array(tie.integrated_induction(one, PIXEL, periodic=False)) for one in (found, phase)
    )
    return float(np.sqrt(np.mean((got - true) ** 2) / np.mean(true**2)))


def write(folder: Path, images: list[np.ndarray]) -> None:
    """Write the images as 16-bit TIFF with their pixel size."""
    import tifffile

    folder.mkdir(parents=True, exist_ok=True)
    for name, values in zip(("under", "focus", "over"), images, strict=True):
        tifffile.imwrite(
            folder / f"{name}.tif",
            np.clip(10000 * values, 0, 65535).astype(np.uint16),
            imagej=True,
            resolution=(1e-9 / PIXEL,) * 2,
            metadata={"unit": "nm"},
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=Path, help="folder for the images of a series")
    print(json.dumps(main(parser.parse_args().series)))
