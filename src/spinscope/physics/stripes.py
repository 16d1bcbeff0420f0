r"""Stripe domains of a film with perpendicular anisotropy: energy, equilibrium period, spins.

Stripes of the period P, up and down in turn, are parted by walls :math:`m_z = \tanh(x / \Delta)`
whose magnetisation has the angle :math:`\psi` to the normal of the wall. Their energy per volume,
less that of the uniform film, is

.. math::

    e = \frac{2}{P}\Big[\frac{2A}{\Delta} + 2 K_u \Delta - \pi |D| c\Big]
      + \frac{\mu_0 M_s^2}{2} \Big[\sum_n \frac{8}{\pi^2 n^2}
        \Big(\frac{\xi_n}{\sinh \xi_n}\Big)^2 g_n - 1
      + \cos^2\!\psi \sum_n \Big(\frac{8 \xi_n^2}{\pi^2 n^2 \cosh^2 \xi_n}\Big) (1 - g_n)\Big]

for odd n, with :math:`k_n = 2\pi n / P`, :math:`\xi_n = \pi k_n \Delta / 2`,
:math:`g_n = (1 - e^{-k_n t}) / k_n t` for the thickness t, and :math:`c = \cos\psi` of interfacial,
:math:`\sin\psi` of bulk DMI. The first sum is the stray field of the surfaces; the second that of
the charges in the walls, which only interfacial DMI makes.

Sharp walls (Kooy and Enz; Kaplan and Gehring) of the energy
:math:`4\sqrt{A K_\mathrm{eff}} - \pi |D|` are the limit of walls much narrower than the film is
thick. In thinner films the width of the walls limits the stray field of the domains, and the period
of sharp walls is several times too small.

References
----------
Lemesh, Büttner and Beach, Phys. Rev. B 95, 174423 (2017); Kooy and Enz, Philips Res. Rep. 15, 7
(1960); Kaplan and Gehring, J. Magn. Magn. Mater. 128, 111 (1993).
"""

from __future__ import annotations

import numpy as np

from spinscope.errors import SpinscopeError
from spinscope.physics.effective_field import Grid, arrays
from spinscope.physics.film import MU_0, Material
from spinscope.physics.minimise import Start, relax

WIDEST = 1e-4
"""Longest period of stripes that is distinguished from a uniform film, m."""

_STEEPEST = 300.0  # argument of sinh and cosh beyond which a wave has no amplitude
_NEGLIGIBLE = 20.0  # the sums end at this argument


def wall_width(material: Material) -> float:
    r"""Width :math:`\Delta = \sqrt{A / K_\mathrm{eff}}` of a wall in a thin film, m.

    Raises
    ------
    SpinscopeError
        If the film is not magnetised along its normal:
        :math:`K_\mathrm{eff} = K_u - \mu_0 M_s^2 / 2` is not positive.
    """
    effective = material.ku - MU_0 * material.ms**2 / 2
    if effective <= 0:
        raise SpinscopeError(
            f"ku (={material.ku:g}) must exceed mu_0 ms²/2 (={MU_0 * material.ms**2 / 2:g} J/m³): "
            "the film has no domains along its normal"
        )
    return float(np.sqrt(material.a_ex / effective))


def stripe_energy(period: float, wall: float, material: Material) -> tuple[float, float]:
    r"""Energy of stripes less that of the uniform film, at the best angle of their walls.

    Parameters
    ----------
    period : float
        Period of the stripes, m.
    wall : float
        Width :math:`\Delta` of a wall, m.
    material : Material
        Constants, thickness and symmetry of the DMI; the external field is not counted.

    Returns
    -------
    energy : float
        Energy per volume, J/m³.
    angle : float
        Angle between the magnetisation in a wall and the normal of the wall, in [0, π/2].
    """
    last = max(3, int(4 * _NEGLIGIBLE / np.pi**2 * period / wall))
    n = np.arange(1, last, 2)
    kt = 2 * np.pi * n * material.thickness / period
    xi = np.minimum(np.pi**2 * n * wall / period, _STEEPEST)
    averaged = -np.expm1(-kt) / kt
    stray = MU_0 * material.ms**2 / 2
    surfaces = stray * (np.sum(8 / (np.pi * n) ** 2 * (xi / np.sinh(xi)) ** 2 * averaged) - 1)
    walls = 2 / period * (2 * material.a_ex / wall + 2 * material.ku * wall)
    dmi = 2 / period * np.pi * abs(material.dmi)
    if material.dmi_kind == "bulk":
        return float(walls + surfaces - dmi), np.pi / 2
    charges = stray * np.sum(8 / (np.pi * n) ** 2 * (xi / np.cosh(xi)) ** 2 * (1 - averaged))
    normal = min(1.0, dmi / (2 * charges))
    energy = walls + surfaces - dmi * normal + charges * normal**2
    return float(energy), float(np.arccos(normal))


def stripe_period(material: Material) -> float:
    """Period of the stripes of lowest energy in zero field, m; infinite above `WIDEST`.

    Parameters
    ----------
    material : Material
        Constants, thickness and symmetry of the DMI.

    Raises
    ------
    SpinscopeError
        If the film is not magnetised along its normal.

    Examples
    --------
    >>> film = Material(1.5e6, 31e-12, 1e-3, 1.6e6, dmi_kind="bulk", thickness=4e-9)
    >>> round(1e9 * stripe_period(film))
    416
    """
    from scipy.optimize import minimize_scalar

    width = wall_width(material)

    def lowest(log_period: float) -> float:
        best = minimize_scalar(
            lambda log_wall: stripe_energy(np.exp(log_period), np.exp(log_wall), material)[0],
            bounds=(np.log(width / 4), np.log(4 * width)),
            method="bounded",
        )
        return best.fun

    bounds = (np.log(4 * width), np.log(WIDEST))
    best = minimize_scalar(lowest, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return float(np.exp(best.x)) if best.x < bounds[1] - 1e-2 else float("inf")


def stripes(material: Material, shape: tuple[int, int], pairs: int) -> np.ndarray:
    """Spins of stripes along the columns of a periodic film, with the walls that its DMI favours.

    Parameters
    ----------
    material : Material
        Constants, cell and symmetry of the DMI.
    shape : (int, int)
        Rows and columns of cells.
    pairs : int
        Domains up, and as many down.

    Returns
    -------
    (3, H, W) float32 array
        Unit magnetisation.
    """
    width, period = wall_width(material), shape[1] * material.cell / pairs
    phase = 2 * np.pi * pairs * (np.arange(shape[1]) + 0.5) / shape[1]
    m_z = np.tanh(np.sin(phase) * period / (2 * np.pi * width))
    angle = stripe_energy(period, width, material)[1]
    # D > 0 favours m_x (interfacial) or m_y (bulk) of the sign of the derivative of m_z.
    in_plane = np.sqrt(1 - m_z**2) * np.sign(np.cos(phase)) * (-1 if material.dmi < 0 else 1)
    row = np.stack([np.cos(angle) * in_plane, np.sin(angle) * in_plane, m_z])
    return np.repeat(row[:, None].astype(np.float32), shape[0], axis=1)


def sharp_period(material: Material) -> float:
    r"""Period of stripes with sharp walls of the energy :math:`4\sqrt{A K_\mathrm{eff}} - \pi |D|`.

    The approximation of Kooy and Enz for a rigid magnetisation, valid where walls are much narrower
    than the film is thick.

    Parameters
    ----------
    material : Material
        Constants and thickness; the DMI counts as in a bulk film.

    Raises
    ------
    SpinscopeError
        If the film is not magnetised along its normal, or a wall has no energy.
    """
    from scipy.optimize import minimize_scalar

    wall = 4 * material.a_ex / wall_width(material) - np.pi * abs(material.dmi)
    if wall <= 0:
        raise SpinscopeError(
            f"dmi (={material.dmi:g} J/m²) must be below {4 / np.pi:.3g} √(A K_eff): walls have no "
            "energy"
        )
    n = np.arange(1, 200001, 2)

    def energy(log_period: float) -> float:
        period = np.exp(log_period)
        kt = 2 * np.pi * n * material.thickness / period
        surfaces = np.sum(8 / (np.pi * n) ** 2 * -np.expm1(-kt) / kt) - 1
        return 2 * wall / period + MU_0 * material.ms**2 / 2 * surfaces

    bounds = (np.log(material.thickness / 10), np.log(WIDEST))
    best = minimize_scalar(energy, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return float(np.exp(best.x)) if best.x < bounds[1] - 1e-2 else float("inf")


def relaxed_period(
    material: Material, *, height: float = 192e-9, columns: int = 384, pairs: range = range(1, 7)
) -> float:
    """Period of lowest energy among relaxed stripes, by interpolation between those that fit, m.

    Parameters
    ----------
    material : Material
        Constants, cell and thickness.
    height : float, default 192e-9
        Height of the periodic film, m.
    columns : int, default 384
        Cells of the film across the stripes.
    pairs : range, default 1 to 6
        Pairs of domains in the films that are relaxed.

    Raises
    ------
    SpinscopeError
        If the stripes of a film do not persist, or the lowest energy is at an end of `pairs`.
    """
    from scipy.interpolate import CubicSpline

    shape = (round(height / material.cell), columns)
    grid, one = Grid(*shape, material.cell, material.thickness), np.ones(1)
    constants = arrays(
        grid,
        np.full((1, *shape), material.ms),
        material.a_ex * one,
        material.dmi * one,
        material.ku * one,
        0 * one,
    )
    constants = {key: value[0] for key, value in constants.items()}
    starts = (Start(stripes(material, shape, number), constants) for number in pairs)
    found = dict(relax(grid, material.dmi_kind, starts, coarse=True, tolerance=1e-3))
    for index, number in enumerate(pairs):
        up = found[index].m[2] > 0
        walls = (up != np.roll(up, 1, axis=1)).sum(1)
        if not found[index].converged or (walls != 2 * number).any():
            raise SpinscopeError(f"the stripes of {number} pairs of domains must persist")
    energy = CubicSpline(pairs, [found[index].energy for index in range(len(pairs))])
    fine = np.linspace(pairs[0], pairs[-1], 2001)
    best = fine[energy(fine).argmin()]
    if best in (pairs[0], pairs[-1]):
        raise SpinscopeError(
            f"the period must be from {columns * material.cell / pairs[-1]:g} to "
            f"{columns * material.cell / pairs[0]:g} m; change columns or pairs"
        )
    return float(columns * material.cell / best)
