r"""Effective field and energy of periodic films, compiled by Numba.

.. math::

    E = t \int \Big[ A (\nabla m)^2 + w_D - K_u m_z^2 - M_s B m_z
        - \tfrac{1}{2} \mu_0 M_s\, m \cdot h_d \Big] dx\,dy,
    \qquad h = -\frac{1}{\mu_0 M_s} \frac{\delta E}{\delta m}

with :math:`w_D = D [m_z \nabla\!\cdot\! m - (m \cdot \nabla) m_z]` (interfacial) or
:math:`w_D = D\, m \cdot (\nabla \times m)` (bulk), in the sign convention of mumax3.

The demagnetising tensor is NeuralMag's: Newell's formulae for a cell and its periodic images. The
local terms are sums over pairs of neighbours, implemented here in one loop over the cells: on one
core they take 0.2 ms for a film of 256 x 256 cells, the Fourier transforms 1.3 ms. Tests compare
them with NeuralMag's terms.

Magnetisation is (3, H, W) float32: a component is contiguous, so that loops over it vectorise.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy import fft

from spinscope.errors import SpinscopeError
from spinscope.extras import explained
from spinscope.physics.film import MU_0, Dmi

Arrays = dict[str, Any]
"""Arrays of a batch of films, see `arrays`; the first axis counts the films."""


def require_jax() -> None:
    """Import NeuralMag with its JAX backend.

    Raises
    ------
    SpinscopeError
        If the extra ``sim`` is not installed, or NeuralMag has another backend in this process.
    """
    with _quiet(), explained():
        import neuralmag  # before JAX: it keeps JAX from taking all memory of a GPU

        if not hasattr(neuralmag.config, "backend_name"):
            neuralmag.config.backend = "jax"
    if neuralmag.config.backend_name != "jax":
        raise SpinscopeError(
            f"NeuralMag's backend (={neuralmag.config.backend_name!r}) must be jax in this process"
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress NeuralMag's log messages below a warning."""
    logger = logging.getLogger("NeuralMag")

    def warnings(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING

    logger.addFilter(warnings)  # NeuralMag sets the level of its logger on import
    try:
        yield
    finally:
        logger.removeFilter(warnings)


@dataclass(frozen=True)
class Grid:
    """Cells of a film and the periodic images of its demagnetising field."""

    height: int
    width: int
    cell: float
    """Edge of a cell in the plane, m."""
    thickness: float
    """Thickness of the film, m."""
    images: int = 2
    """Periodic images on each side in the demagnetising field."""

    def __post_init__(self) -> None:
        if self.images < 1:
            raise SpinscopeError(
                f"grid: images (={self.images}) must be at least 1: the film is periodic"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of cells, (H, W)."""
        return self.height, self.width


@cache
def demagnetising_tensor(grid: Grid) -> np.ndarray:
    r"""Fourier transform of the demagnetising tensor of a film and its periodic images.

    .. math:: h_d(k) = N(k)\, M(k)

    Parameters
    ----------
    grid : Grid
        Cells of the film and number of images.

    Returns
    -------
    (4, H, W // 2 + 1) float32 array
        Components xx, xy, yy, zz, with the sign of the field. They are real, as the tensor is
        even; xz and yz of a single layer vanish.

    References
    ----------
    Newell et al., J. Geophys. Res. 98, 9551 (1993), as implemented in NeuralMag.
    """
    require_jax()
    import neuralmag

    # NeuralMag's first axis is x; ours are rows (y), then columns (x).
    cells = (grid.width, grid.height)
    size = (grid.cell, grid.cell, grid.thickness)
    with _quiet():
        mesh = neuralmag.Mesh(cells, size, pbc=(grid.images, grid.images))
        state = neuralmag.State(mesh)
        state.m = neuralmag.VectorCellFunction(state).fill((0.0, 0.0, 1.0))
        state.material.Ms = neuralmag.CellFunction(state).fill(1.0, expand=True)
        neuralmag.DemagField().register(state)
        # The response to a single magnetised cell is a column of the tensor.
        field = state.resolve("h_demag", ["m"])
        columns = []
        for component in range(3):
            source = np.zeros((*cells, 3), dtype=np.float32)
            source[0, 0, component] = 1
            columns.append(np.asarray(field(source), dtype=np.float64))
    components = [columns[i][..., j] for i, j in ((0, 0), (0, 1), (1, 1), (2, 2))]
    tensor = np.stack([np.fft.rfft2(n.T).real for n in components])
    return np.ascontiguousarray(tensor, np.float32)


def arrays(
    grid: Grid,
    ms: np.ndarray,
    a_ex: np.ndarray,
    dmi: np.ndarray,
    ku: np.ndarray,
    b_ext: np.ndarray,
    exchange: np.ndarray | None = None,
    friction: np.ndarray | None = None,
) -> Arrays:
    """Arrange the constants of N films for `field_and_energy`.

    Parameters
    ----------
    grid : Grid
        Grid of all films.
    ms : (N, H, W) array
        Saturation magnetisation in A/m.
    a_ex, dmi, b_ext : (N,) array
        Exchange stiffness in J/m, DMI in J/m², external field along z in T.
    ku : (N,) or (N, H, W) array
        Anisotropy in J/m³, of each film or of each cell.
    exchange : (N, 2, H, W) array, optional
        Factor on the exchange with the next cell along x and along y; 1 by default.
    friction : (N,) array, optional
        Pressure below which a wall does not move, J/m³; none by default.

    Returns
    -------
    dict of float32 arrays
        ``ms``, ``dmi``, ``ku``, ``b_ext`` and ``links``, the exchange stiffness between
        neighbours in 1e-12 J/m: in J/m it would be near the smallest float32; with friction also
        ``friction``, the field in A/m that exerts this pressure on a wall.
    """
    if exchange is None:
        exchange = np.ones((len(ms), 2, *grid.shape), dtype=np.float32)
    links = np.asarray(a_ex, dtype=np.float64)[:, None, None, None] * exchange * 1e12
    values = {"ms": ms, "links": links, "dmi": dmi, "ku": ku, "b_ext": b_ext}
    if friction is not None:
        values["friction"] = friction / (2 * MU_0 * np.asarray(ms, dtype=np.float64).mean((1, 2)))
    return {key: np.asarray(value).astype(np.float32) for key, value in values.items()}


class FilmField:
    """Effective field and energy of one film.

    Parameters
    ----------
    grid : Grid
        Grid of the film.
    kind : {"interfacial", "bulk"}
        Symmetry of the Dzyaloshinskii-Moriya interaction.
    constants : dict of arrays
        `arrays` of the film, without the axis of the films.
    """

    def __init__(self, grid: Grid, kind: Dmi, constants: Arrays):
        from spinscope.physics import film_loops  # compiled on first use, with the extra `sim`

        self._loops, self.grid = film_loops, grid
        self.ms = np.ascontiguousarray(constants["ms"], np.float32)
        links = np.asarray(constants["links"], np.float64) * (2e-12 / grid.cell**2)
        ku = np.broadcast_to(np.asarray(constants["ku"], np.float64), grid.shape)
        self._tensor = demagnetising_tensor(grid)
        self._local = (
            *links.astype(np.float32),
            np.ascontiguousarray(2 * ku, np.float32),
            (1 / (MU_0 * self.ms.astype(np.float64))).astype(np.float32),
            np.float32(constants["dmi"] / grid.cell),
            np.float32(constants["b_ext"] / MU_0),
            kind == "bulk",
        )

    def field(self, m: np.ndarray, source: np.ndarray, h: np.ndarray) -> None:
        """Write the effective field of m into h, A/m.

        Parameters
        ----------
        m, source, h : (3, H, W) float32 arrays
            Unit magnetisation, the same times Ms, and the result.
        """
        spectrum = fft.rfft2(source)
        self._loops.multiply(self._tensor, spectrum)
        stray = fft.irfft2(spectrum, s=self.grid.shape, overwrite_x=True)
        self._loops.field(m, stray, *self._local, h)

    def energy(self, m: np.ndarray) -> float:
        """Return the energy of m (3, H, W) in J."""
        h = np.empty_like(m)
        self.field(m, m * self.ms, h)
        h[2] += self._local[-2]
        # Of terms of second order in m, the energy is half of - mu_0 Ms m . h.
        density = -0.5 * MU_0 * (self.ms * h.astype(np.float64) * m).sum()
        return float(density * self.grid.cell**2 * self.grid.thickness)


def field_and_energy(
    grid: Grid, kind: Dmi, m: np.ndarray, films: Arrays
) -> tuple[np.ndarray, np.ndarray]:
    """Compute effective field and energy of N films.

    Parameters
    ----------
    grid : Grid
        Grid of all films.
    kind : {"interfacial", "bulk"}
        Symmetry of the Dzyaloshinskii-Moriya interaction.
    m : (N, 3, H, W) array
        Unit magnetisation.
    films : dict of arrays
        `arrays` of the films.

    Returns
    -------
    (N, 3, H, W) float32 array, (N,) array
        Field in A/m and energy in J.
    """
    m = np.ascontiguousarray(m, np.float32)
    field, energy = np.empty_like(m), np.empty(len(m))
    for n, one in enumerate(m):
        film = FilmField(grid, kind, {key: value[n] for key, value in films.items()})
        film.field(one, one * film.ms, field[n])
        energy[n] = film.energy(one)
    return field, energy
