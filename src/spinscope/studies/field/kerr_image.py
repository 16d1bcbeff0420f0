"""A measured Kerr image on a lattice, and the in-plane components that a network infers."""

from __future__ import annotations

from typing import Any

import numpy as np

from spinscope.jobs.field import complete
from spinscope.jobs.spin_input import SpinInput, image_spins
from spinscope.physics.lattice import Hamiltonian, energy, helix_pitch
from spinscope.physics.topology import topological_charge
from spinscope.studies.field.measures import Field

_SIDE = 320
"""Largest side of the part of an image that is used, px."""


def domain_period(image: np.ndarray) -> float:
    """Period of domains in px: the maximum of the power spectrum, averaged over directions.

    Parameters
    ----------
    image : (H, W) array
    """
    height, width = image.shape
    window = np.outer(np.hanning(height), np.hanning(width))
    power = np.abs(np.fft.fft2((image - image.mean()) * window)) ** 2
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    step = 1 / max(height, width)
    ring = np.rint(frequency / step).astype(int)
    mean = np.bincount(ring.ravel(), power.ravel()) / np.maximum(np.bincount(ring.ravel()), 1)
    first, last = max(3, round(4 / (max(height, width) * step))), round(0.25 / step)
    at = first + int(mean[first:last].argmax())
    near = np.arange(at - 2, at + 3)
    return float(mean[near].sum() / (mean[near] * near * step).sum())


def kerr_lattice(image: np.ndarray, hamiltonian: Hamiltonian) -> tuple[SpinInput, dict[str, float]]:
    """Middle of a Kerr image as m_z of a lattice whose helix pitch is the period of its domains.

    Parameters
    ----------
    image : (H, W) array
        Intensity in [0, 1].
    hamiltonian : Hamiltonian

    Returns
    -------
    SpinInput, dict
        The lattice; `period_px` and `sites_per_px`.
    """
    period = domain_period(image)
    middle = tuple(
        slice(max(0, (side - _SIDE) // 2), (side + min(side, _SIDE)) // 2) for side in image.shape
    )
    scale = helix_pitch(hamiltonian.dmi, hamiltonian.exchange) / period
    given = image_spins(image[middle], scale, dmi=hamiltonian.dmi)
    return given, {"period_px": period, "sites_per_px": scale}


def infer(
    field: Field, given: SpinInput, hamiltonian: Hamiltonian
) -> tuple[np.ndarray, dict[str, Any]]:
    """Spins of a Kerr image by a network.

    Returns
    -------
    m : (H, W, 3) array
        Spins inside the image.
    report : dict
        `sites`, `energy` per site in J and `charge` of the mirrored lattice, and `correlation` of
        the inferred m_z with that of the image.
    """
    found = complete(given, field.call).m
    m, m_z = given.shown(found), given.shown(given.m_z)
    report = {
        "sites": list(m.shape[:2]),
        "energy": energy(found, hamiltonian),
        "charge": round(topological_charge(found)),
        "correlation": float(np.corrcoef(m[..., 2].ravel(), m_z.ravel())[0, 1]),
    }
    return m, report
