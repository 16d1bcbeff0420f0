r"""Monte Carlo annealing of classical spins on a square lattice, compiled by Numba.

A sweep updates the two sublattices of a checkerboard in turn; the spins of a sublattice do not
interact, so a row is one vectorised loop. A heat-bath update draws a spin from the Boltzmann
distribution of its field F,

.. math:: p(S) \propto e^{\beta F \cdot S}, \qquad
          \cos\theta = 1 + \frac{\ln(u + (1 - u) e^{-2\beta F})}{\beta F},

and a reflection :math:`S' = 2 (S\cdot\hat F)\hat F - S` (over-relaxation) keeps the energy. With an
anisotropy, both are proposals that are accepted by its change of energy. At the end the spins are
aligned with their fields until the torque vanishes.

Every place in a row has a generator of its own (xoshiro128++), seeded by the lattice's seed. The
result depends on nothing but the seed.

References
----------
Miyatake et al., J. Phys. C 19, 2539 (1986); Creutz, Phys. Rev. D 36, 515 (1987).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from spinscope.errors import SpinscopeError
from spinscope.extras import explained
from spinscope.physics.lattice import Hamiltonian, random_spins

with explained("Monte Carlo"):
    from numba import njit, types
    from numba.extending import intrinsic

F, U = np.float32, np.uint32
_FAST = {"nnan", "ninf", "nsz"}  # no fused or reordered operations: vectors and scalars agree


@dataclass(frozen=True)
class Schedule:
    """Temperatures of an annealing.

    Parameters
    ----------
    temperature : float, default 1
        Temperature of the first sweep, in units of J; above the ordering temperature.
    sweeps : int, default 1000
        Heat-bath sweeps, at temperatures that fall geometrically to a hundredth of the first.
    reflections : int, default 2
        Sweeps of reflections after each heat-bath sweep.
    alignments : int, default 200
        Last sweeps, at zero temperature.
    """

    temperature: float = 1.0
    sweeps: int = 1000
    reflections: int = 2
    alignments: int = 200

    @property
    def temperatures(self) -> np.ndarray:
        """Temperature of each heat-bath sweep."""
        return self.temperature * np.geomspace(1, 0.01, self.sweeps)

    @property
    def updates(self) -> int:
        """Updates per spin of the whole annealing."""
        return self.sweeps * (1 + self.reflections) + self.alignments


class Lattice:
    """Spins of one lattice with their generators, in the layout of the compiled loops.

    Parameters
    ----------
    m : (H, W, 3) array
        Unit vectors; H and W must be even.
    hamiltonian : Hamiltonian
    seed : int or sequence of int
        Seed of all draws.
    """

    def __init__(self, m: np.ndarray, hamiltonian: Hamiltonian, seed: int | tuple[int, ...]):
        height, width = m.shape[:2]
        if height % 2 or width % 2:
            raise SpinscopeError(
                f"lattice has {height}×{width} sites; the checkerboard needs even numbers"
            )
        if not (hamiltonian.exchange or hamiltonian.dmi or hamiltonian.field):
            raise SpinscopeError(
                "exchange, DMI and field are 0; a spin must have an effective field"
            )
        self.hamiltonian = hamiltonian
        self._spins = _split(np.asarray(m, F))
        states = np.random.SeedSequence(seed).generate_state(4 * (width // 2))
        self._states = states.reshape(4, -1)
        self._couplings = np.array(
            [hamiltonian.exchange, *hamiltonian.bonds.ravel(), hamiltonian.field,
             hamiltonian.anisotropy], F,
        )  # fmt: skip

    @property
    def m(self) -> np.ndarray:
        """Spins, (H, W, 3) float32."""
        return _join(self._spins)

    def sweep(self, temperatures: np.ndarray, reflections: int = 0) -> None:
        """One heat-bath sweep per temperature, each followed by sweeps of reflections.

        Parameters
        ----------
        temperatures : array
            In units of J, above 0.
        reflections : int, default 0
        """
        heat, reflect = (
            (_heat_anisotropic, _reflect_anisotropic)
            if self.hamiltonian.anisotropy
            else (_heat, _reflect)
        )
        for temperature in temperatures:
            beta = F(1 / temperature)
            heat(self._spins, self._states, self._couplings, beta)
            for _ in range(reflections):
                reflect(self._spins, self._states, self._couplings, beta)

    def align(self, sweeps: int, relaxation: float = 1.7) -> None:
        """Sweeps at zero temperature: each spin turns towards its field.

        Parameters
        ----------
        sweeps : int
        relaxation : float, default 1.7
            Factor of over-relaxation, below 2; 1 aligns each spin with its field.
        """
        for _ in range(sweeps):
            _align(self._spins, self._states, self._couplings, F(relaxation))


def anneal(
    shape: tuple[int, int],
    hamiltonian: Hamiltonian,
    schedule: Schedule,
    *,
    seed: int | tuple[int, ...],
) -> np.ndarray:
    """Anneal one lattice from random spins to zero temperature.

    Parameters
    ----------
    shape : (int, int)
        Sites; even numbers.
    hamiltonian : Hamiltonian
    schedule : Schedule
    seed : int or sequence of int
        Equal seeds give equal bytes, whatever the number of threads.

    Returns
    -------
    (H, W, 3) float32 array
        Unit vectors.

    Raises
    ------
    SpinscopeError
        If a side of the lattice is odd.
    """
    start = random_spins(shape, np.random.default_rng(seed))
    lattice = Lattice(start, hamiltonian, seed)
    lattice.sweep(schedule.temperatures, schedule.reflections)
    lattice.align(schedule.alignments)
    return lattice.m


def anneal_in_fields(
    m: np.ndarray,
    hamiltonian: Hamiltonian,
    fields: Sequence[float],
    *,
    temperature: float,
    sweeps: int,
    seed: int | tuple[int, ...],
) -> list[np.ndarray]:
    """Spins in external fields, one after the other, each annealed from a temperature to zero.

    Parameters
    ----------
    m : (H, W, 3) array
        Unit vectors before the first field.
    hamiltonian : Hamiltonian
        Its own field is added to the external ones.
    fields : sequence of float
        External fields along +z in units of J.
    temperature : float
        First temperature at each field, in units of J; the last is a hundredth of J.
    sweeps : int
        Heat-bath sweeps at each field.
    seed : int or sequence of int

    Returns
    -------
    list of (H, W, 3) float32 array
        Spins in each field.
    """
    found = []
    for field in fields:
        lattice = Lattice(m, replace(hamiltonian, field=hamiltonian.field + field), seed)
        lattice.sweep(np.geomspace(temperature, 0.01, sweeps), reflections=2)
        lattice.align(200)
        m = lattice.m
        found.append(m)
    return found


# The sublattices: colour c of row y holds the columns 2k + (y + c) % 2, with one repeated column at
# either end, so that the neighbours of a row are slices of the other colour.


def _split(m: np.ndarray) -> np.ndarray:
    """Spins (H, W, 3) as sublattices (2, 3, H, W / 2 + 2)."""
    height, width = m.shape[:2]
    spins = np.zeros((2, 3, height, width // 2 + 2), F)
    for colour in range(2):
        for odd in range(2):
            rows = m[odd::2, (odd + colour) % 2 :: 2]
            spins[colour, :, odd::2, 1:-1] = np.moveaxis(rows, -1, 0)
    spins[..., 0], spins[..., -1] = spins[..., -2], spins[..., 1]
    return spins


def _join(spins: np.ndarray) -> np.ndarray:
    """Sublattices as spins (H, W, 3) of length 1."""
    height, width = spins.shape[2], 2 * (spins.shape[3] - 2)
    m = np.empty((height, width, 3), F)
    for colour in range(2):
        for odd in range(2):
            rows = spins[colour, :, odd::2, 1:-1]
            m[odd::2, (odd + colour) % 2 :: 2] = np.moveaxis(rows, 0, -1)
    return m / np.linalg.norm(m, axis=-1, keepdims=True)


_HEAT, _REFLECT, _ALIGN = 0, 1, 2  # kinds of update


@intrinsic
def _bits(typing, x):
    """Bits of a float as an integer."""

    def code(context, builder, _signature, values):
        return builder.bitcast(values[0], context.get_value_type(types.int32))

    return types.int32(types.float32), code


@intrinsic
def _float(typing, x):
    """Float of the bits of an integer."""

    def code(context, builder, _signature, values):
        return builder.bitcast(values[0], context.get_value_type(types.float32))

    return types.float32(types.int32), code


@njit(inline="always")
def _exp2(x):
    """2**x for x <= 0, relative error 2e-7."""
    x = max(x, F(-126))
    whole = math.floor(x)
    f = F(x - whole)
    p = F(1.8775767e-3) * f + F(8.9893397e-3)
    p = p * f + F(5.5826318e-2)
    p = p * f + F(2.4015361e-1)
    p = p * f + F(6.9315308e-1)
    p = p * f + F(9.9999994e-1)
    return p * _float(np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)))


@njit(inline="always")
def _log(x):
    """Natural logarithm of x > 0, relative error 1e-7."""
    bits = _bits(x)
    exponent = (bits - np.int32(0x3F3504F3)) >> np.int32(23)
    m = _float(np.int32(bits - (exponent << np.int32(23)))) - F(1)
    p = F(7.0376836292e-2) * m + F(-1.1514610310e-1)
    p = p * m + F(1.1676998740e-1)
    p = p * m + F(-1.2420140846e-1)
    p = p * m + F(1.4249322787e-1)
    p = p * m + F(-1.6668057665e-1)
    p = p * m + F(2.0000714765e-1)
    p = p * m + F(-2.4999993993e-1)
    p = p * m + F(3.3333331174e-1)
    z = m * m
    return m + (m * z * p - F(0.5) * z) + F(exponent) * F(math.log(2))


@njit(inline="always")
def _turn(x, k):
    """Rotate the bits of a word."""
    return U((x << U(k)) | (x >> U(32 - k)))


@njit(inline="always")
def _open_uniform(word):
    """Number between 0 and 1, both excluded, of a word of 32 random bits."""
    return (F(np.int32(word >> U(8))) + F(0.5)) * F(2.0**-24)


@njit(inline="always")
def _draw(r0, r1, r2, r3, k):
    """Next word of the generator of column k."""
    s0, s1, s2, s3 = r0[k], r1[k], r2[k], r3[k]
    word = U(_turn(U(s0 + s3), 7) + s0)
    t = U(s1 << U(9))
    s2 ^= s0
    s3 ^= s1
    s1 ^= s2
    s0 ^= s3
    s2 ^= t
    r0[k], r1[k], r2[k], r3[k] = s0, s1, s2, _turn(s3, 11)
    return word


def _row_update(kind: int, anisotropic: bool):
    """Compiled update of one row of one sublattice, of a kind that is constant in the loop."""

    @njit(fastmath=_FAST, error_model="numpy", nogil=True, forceinline=True)
    def update(
        first,
        size,
        sx,
        sy,
        sz,
        ax,
        ay,
        az,
        cx,
        cy,
        cz,
        dx,
        dy,
        dz,
        r0,
        r1,
        r2,
        r3,
        couplings,
        strength,
    ):
        """Rows of this sublattice, and of the other: the same row, below and above.

        The neighbours to the left of the row start at column `first`. `strength` is the inverse
        temperature, or the relaxation of an alignment.
        """
        exchange, field, anisotropy = couplings[0], couplings[7], couplings[8]
        xx, xy, xz = couplings[1], couplings[2], couplings[3]
        yx, yy, yz = couplings[4], couplings[5], couplings[6]
        for i in range(size):
            k, a, b = i + 1, i + first + 1, i + first
            ux, uy, uz = ax[a] - ax[b], ay[a] - ay[b], az[a] - az[b]
            vx, vy, vz = cx[k] - dx[k], cy[k] - dy[k], cz[k] - dz[k]
            fx = exchange * (ax[a] + ax[b] + cx[k] + dx[k])
            fy = exchange * (ay[a] + ay[b] + cy[k] + dy[k])
            fz = exchange * (az[a] + az[b] + cz[k] + dz[k]) + field
            fx -= (uy * xz - uz * xy) + (vy * yz - vz * yy)
            fy -= (uz * xx - ux * xz) + (vz * yx - vx * yz)
            fz -= (ux * xy - uy * xx) + (vx * yy - vy * yx)
            if kind == _ALIGN:
                fz += F(2) * anisotropy * sz[k]
            length = F(math.sqrt(fx * fx + fy * fy + fz * fz)) + F(1e-12)
            inverse = F(1) / length
            fx, fy, fz = fx * inverse, fy * inverse, fz * inverse
            if kind == _HEAT:
                u, bf = _open_uniform(_draw(r0, r1, r2, r3, i)), strength * length
                tail = (F(1) - u) * _exp2(F(-2 / math.log(2)) * bf)
                cos = min(max(F(1) + _log(u + tail) / bf, F(-1)), F(1))
                sin = F(math.sqrt(F(1) - cos * cos))
                # The azimuth is twice an angle within ±π/2, whose Taylor series is short.
                half = (_open_uniform(_draw(r0, r1, r2, r3, i)) - F(0.5)) * F(math.pi)
                q = half * half
                p = F(-1 / 5040) + q * (F(1 / 362880) + q * F(-1 / 39916800))
                half_sin = half * (F(1) + q * (F(-1 / 6) + q * (F(1 / 120) + q * p)))
                p = F(1 / 40320) + q * (F(-1 / 3628800) + q * F(1 / 479001600))
                half_cos = F(1) + q * (F(-1 / 2) + q * (F(1 / 24) + q * (F(-1 / 720) + q * p)))
                p1, p2 = sin * (F(1) - F(2) * half_sin * half_sin), sin * F(2) * half_sin * half_cos
                # Two unit vectors perpendicular to the field: Duff et al., JCGT 6, 1 (2017).
                sign = F(math.copysign(F(1), fz))
                c = F(-1) / (sign + fz)
                e = fx * fy * c
                x = cos * fx + p1 * (F(1) + sign * fx * fx * c) + p2 * e
                y = cos * fy + p1 * (sign * e) + p2 * (sign + fy * fy * c)
                z = cos * fz - p1 * sign * fx - p2 * fy
            elif kind == _REFLECT:
                p = F(2) * (sx[k] * fx + sy[k] * fy + sz[k] * fz)
                x, y, z = p * fx - sx[k], p * fy - sy[k], p * fz - sz[k]
            else:
                rest = F(1) - strength
                x, y = strength * fx + rest * sx[k], strength * fy + rest * sy[k]
                z = strength * fz + rest * sz[k]
                inverse = F(1) / (F(math.sqrt(x * x + y * y + z * z)) + F(1e-12))
                x, y, z = x * inverse, y * inverse, z * inverse
            # One Newton step keeps the length at 1.
            keep = F(1.5) - F(0.5) * (x * x + y * y + z * z)
            x, y, z = x * keep, y * keep, z * keep
            if anisotropic and kind != _ALIGN:
                gain = strength * anisotropy * (z * z - sz[k] * sz[k])
                accepted = _log(_open_uniform(_draw(r0, r1, r2, r3, i))) < gain
                x, y, z = (x, y, z) if accepted else (sx[k], sy[k], sz[k])
            sx[k], sy[k], sz[k] = x, y, z

    return update


def _sweep_of(kind: int, anisotropic: bool):
    """Compiled sweep over both sublattices."""
    row = _row_update(kind, anisotropic)

    @njit(nogil=True)
    def sweep(spins, state, couplings, strength):
        height, size = spins.shape[2], spins.shape[3] - 2
        for colour in range(2):
            own, other = spins[colour], spins[1 - colour]
            for y in range(height):
                below, above = (y + 1) % height, (y - 1) % height
                row(
                    (y + colour) % 2, size, own[0, y], own[1, y], own[2, y],
                    other[0, y], other[1, y], other[2, y],
                    other[0, below], other[1, below], other[2, below],
                    other[0, above], other[1, above], other[2, above],
                    state[0], state[1], state[2], state[3], couplings, strength,
                )  # fmt: skip
                for c in range(3):
                    own[c, y, 0], own[c, y, size + 1] = own[c, y, size], own[c, y, 1]

    return sweep


_heat, _heat_anisotropic = _sweep_of(_HEAT, False), _sweep_of(_HEAT, True)
_reflect, _reflect_anisotropic = _sweep_of(_REFLECT, False), _sweep_of(_REFLECT, True)
_align = _sweep_of(_ALIGN, False)
