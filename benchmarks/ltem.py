"""Lorentz images per second, from films of 256 x 256 cells on two threads.

Peer: `mag2exp.ltem` (phase, then defocused image) on the same films if it is installed, otherwise
the same image in plain NumPy: float64, numpy.fft, new kernels for every film. The entry `peer_is`
names it.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable

import numpy as np
from scipy.constants import e, hbar, mu_0

from _rows import row, seconds_of
from spinscope.physics.lorentz import Microscope, lorentz_image, wavelength

FILMS, SIZE, ROUNDS = 64, 256, 5
MS, THICKNESS, PIXEL, TILT = 2.2e5, 27.5e-9, 3e-9, np.radians(20)
MICROSCOPE = Microscope()


def main() -> dict[str, dict]:
    """Measure; returns name → {value, unit, peer, ratio}."""
    m = films(FILMS)
    ours = images_per_s(lorentz_images, m)
    peer, name = peer_image()
    few = m[:4]
    theirs = images_per_s(lambda some: [peer(film) for film in some], few, rounds=2)
    # The peers neglect the thickness of a tilted film, and mag2exp the envelopes.
    agreement = np.corrcoef(peer(m[0]).ravel(), lorentz_images(m[:1])[0].ravel())[0, 1]
    if agreement < 0.9:
        raise SystemExit(f"{name} gives another image (correlation {agreement:.3f})")
    return {"ltem.images_per_s": row(ours, "1/s", theirs, peer_is=name)}


def lorentz_images(m: np.ndarray) -> np.ndarray:
    """Images of films (n, H, W, 3) by this package."""
    return lorentz_image(m, MS, THICKNESS, PIXEL, MICROSCOPE, tilt=TILT, workers=2)


def films(n: int) -> np.ndarray:
    """Films with Néel skyrmions at random places, (n, SIZE, SIZE, 3) float32."""
    rng = np.random.default_rng(0)
    at = np.arange(SIZE)
    made = np.zeros((n, SIZE, SIZE, 3), dtype=np.float32)
    for film in made:
        for cy, cx in rng.uniform(0, SIZE, (30, 2)):
            dy, dx = ((at - c + SIZE / 2) % SIZE - SIZE / 2 for c in (cy, cx))
            r = np.hypot(dy[:, None], dx[None, :])
            wall = np.exp(-((r - 8) ** 2) / 30) / np.maximum(r, 1)
            film[..., 0] += wall * dx[None, :]
            film[..., 1] += wall * dy[:, None]
            film[..., 2] += 1 - np.tanh((r - 8) / 4)
    made[..., 2] = 1 - made[..., 2]
    return made / np.linalg.norm(made, axis=-1, keepdims=True)


def images_per_s(images: Callable, m: np.ndarray, rounds: int = ROUNDS) -> float:
    """Rate of the fastest of some rounds, after a first one that fills the caches."""
    images(m[:2])
    return len(m) / min(seconds_of(lambda: images(m)) for _ in range(rounds))


def peer_image() -> tuple[Callable[[np.ndarray], np.ndarray], str]:
    """Function that images one film (H, W, 3), and its name."""
    try:
        import discretisedfield
        import mag2exp
    except ImportError:
        return plain_image, "plain NumPy"

    def image(m: np.ndarray) -> np.ndarray:
        mesh = discretisedfield.Mesh(
            p1=(0, 0, 0), p2=(SIZE * PIXEL, SIZE * PIXEL, THICKNESS), n=(SIZE, SIZE, 1)
        )
        value = MS * in_beam(m).transpose(1, 0, 2)[:, :, None]
        field = discretisedfield.Field(mesh, nvdim=3, value=value)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            phase, _ = mag2exp.ltem.phase(field)
            intensity = mag2exp.ltem.defocus_image(
                phase, cs=MICROSCOPE.cs, df_length=-MICROSCOPE.defocus, voltage=MICROSCOPE.voltage
            )
        return intensity.array.reshape(SIZE, SIZE).T

    return image, "mag2exp"


def plain_image(m: np.ndarray) -> np.ndarray:
    """Image of one film (H, W, 3), as in a short script."""
    moment = np.fft.fft2(MS * THICKNESS / np.cos(TILT) * in_beam(m), axes=(0, 1))
    ky, kx = np.meshgrid(np.fft.fftfreq(SIZE, PIXEL), np.fft.fftfreq(SIZE, PIXEL), indexing="ij")
    k2 = kx**2 + ky**2
    k2[0, 0] = 1
    curl = kx * moment[..., 1] - ky * moment[..., 0]
    curl[0, 0] = 0
    phase = np.fft.ifft2(-1j * e * mu_0 / hbar * curl / (2 * np.pi * k2)).real
    lam, k2[0, 0] = wavelength(MICROSCOPE.voltage), 0
    chi = np.pi * lam * k2 * (MICROSCOPE.defocus + MICROSCOPE.cs * lam**2 * k2 / 2)
    slope = MICROSCOPE.defocus + MICROSCOPE.cs * lam**2 * k2
    damping = (np.pi * MICROSCOPE.convergence * slope) ** 2 * k2
    damping += (np.pi * lam * MICROSCOPE.defocus_spread * k2) ** 2 / 2
    wave = np.fft.fft2(np.exp(1j * phase))
    return np.abs(np.fft.ifft2(wave * np.exp(-1j * chi - damping))) ** 2


def in_beam(m: np.ndarray) -> np.ndarray:
    """Components of m (H, W, 3) along x, across it, and along the beam tilted about x."""
    cos, sin = np.cos(TILT), np.sin(TILT)
    across, along = m[..., 1] * cos + m[..., 2] * sin, m[..., 2] * cos - m[..., 1] * sin
    return np.stack([m[..., 0], across, along], axis=-1).astype(np.float64)


if __name__ == "__main__":
    print(json.dumps(main()))
