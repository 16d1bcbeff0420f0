r"""Effective field and energy of batches of periodic films, in JAX.

.. math::

    E = t \int \Big[ A (\nabla m)^2 + w_D - K_u m_z^2 - M_s B m_z
        - \tfrac{1}{2} \mu_0 M_s\, m \cdot h_d \Big] dx\,dy,
    \qquad h = -\frac{1}{\mu_0 M_s} \frac{\delta E}{\delta m}

with :math:`w_D = D [m_z \nabla\!\cdot\! m - (m \cdot \nabla) m_z]` (interfacial) or
:math:`w_D = D\, m \cdot (\nabla \times m)` (bulk), in the sign convention of mumax3.

The demagnetising tensor is NeuralMag's: Newell's formulae for a cell and its periodic images. The
local terms are sums over pairs of neighbours, implemented here: on two cores they take 0.9 ms for
a film of 256 x 256 cells, NeuralMag's compiled forms 12 ms. Tests compare the two.

Arrays are (N, 3, H, W) float32: a component is contiguous, so that loops over it vectorise.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from spinscope.errors import SpinscopeError
from spinscope.physics.film import MU_0, Dmi

if TYPE_CHECKING:
    import jax

Arrays = dict[str, Any]
"""Arrays of a batch of films, see `arrays`; the first axis counts the films."""


def require_jax() -> None:
    """Import NeuralMag with its JAX backend.

    Raises
    ------
    SpinscopeError
        If the extra ``sim`` is not installed, or NeuralMag has another backend in this process.
    """
    with _quiet():
        try:
            import neuralmag  # before JAX: it keeps JAX from taking all memory of a GPU

            if not hasattr(neuralmag.config, "backend_name"):
                neuralmag.config.backend = "jax"
        except ImportError as error:
            raise SpinscopeError(
                "simulating films needs NeuralMag and JAX: pip install 'spinscope[sim]'"
            ) from error
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
    return np.stack([np.fft.rfft2(n.T).real for n in components]).astype(np.float32)


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


def field_and_energy(grid: Grid, kind: Dmi) -> Callable[[Any, Arrays], tuple[Any, Any]]:
    """Return the function that computes effective field and energy of a batch of films.

    Parameters
    ----------
    grid : Grid
        Grid of all films.
    kind : {"interfacial", "bulk"}
        Symmetry of the Dzyaloshinskii-Moriya interaction.

    Returns
    -------
    callable
        (m, arrays) → (h, energy): magnetisation (N, 3, H, W) and `arrays` of the films to the
        field (N, 3, H, W) in A/m and the energy (N,) in J. It is pure and may be compiled by
        `jax.jit`, also for a GPU.
    """
    require_jax()
    import jax.numpy as jnp

    tensor = jnp.asarray(demagnetising_tensor(grid))
    cell, volume = grid.cell, grid.cell**2 * grid.thickness

    def along_x(a: jax.Array) -> jax.Array:
        return jnp.roll(a, -1, 2) - jnp.roll(a, 1, 2)

    def along_y(a: jax.Array) -> jax.Array:
        return jnp.roll(a, -1, 1) - jnp.roll(a, 1, 1)

    def local(m: jax.Array, films: Arrays) -> jax.Array:
        """Return mu_0 Ms h of exchange, DMI and anisotropy, J/m³."""
        x, y, z = m[:, 0], m[:, 1], m[:, 2]
        stiffness = films["links"] * (2e-12 / cell**2)
        flow_x = stiffness[:, :1] * (jnp.roll(m, -1, 3) - m)
        flow_y = stiffness[:, 1:] * (jnp.roll(m, -1, 2) - m)
        exchange = flow_x - jnp.roll(flow_x, 1, 3) + flow_y - jnp.roll(flow_y, 1, 2)
        if kind == "interfacial":
            dmi = jnp.stack([along_x(z), along_y(z), -along_x(x) - along_y(y)], 1)
        else:
            dmi = jnp.stack([-along_y(z), along_x(z), along_y(x) - along_x(y)], 1)
        dmi = (films["dmi"] / cell)[:, None, None, None] * dmi
        ku = films["ku"].reshape(len(z), *films["ku"].shape[1:] or (1, 1))
        return (exchange + dmi).at[:, 2].add(2 * ku * z)

    def demagnetising(m: jax.Array, ms: jax.Array) -> jax.Array:
        """Return the demagnetising field, A/m."""
        fx, fy, fz = jnp.moveaxis(jnp.fft.rfft2(m * ms[:, None]), 1, 0)
        xx, xy, yy, zz = tensor
        h = jnp.stack([xx * fx + xy * fy, xy * fx + yy * fy, zz * fz], 1)
        return jnp.fft.irfft2(h, s=grid.shape)

    def evaluate(m: jax.Array, films: Arrays) -> tuple[jax.Array, jax.Array]:
        ms, b_ext = films["ms"], films["b_ext"][:, None, None]
        force = local(m, films)  # of terms of second order in m: E = - force . m / 2
        stray = demagnetising(m, ms)
        quadratic = (m * (force + MU_0 * ms[:, None] * stray)).sum(1)
        density = -0.5 * quadratic - ms * b_ext * m[:, 2]
        h = (force / (MU_0 * ms[:, None]) + stray).at[:, 2].add(b_ext / MU_0)
        return h, density.sum((1, 2)) * volume

    return evaluate
