r"""Effective field and energy of batches of periodic films, in JAX.

.. math::

    E = t \int \Big[ A (\nabla m)^2 + w_D - K_u m_z^2 - M_s B m_z
        - \tfrac{1}{2} \mu_0 M_s\, m \cdot h_d \Big] dx\,dy,
    \qquad h = -\frac{1}{\mu_0 M_s} \frac{\delta E}{\delta m}

with :math:`w_D = D [m_z \nabla\!\cdot\! m - (m \cdot \nabla) m_z]` (interfacial) or
:math:`w_D = D\, m \cdot (\nabla \times m)` (bulk), the signs of mumax3.

The demagnetising tensor is NeuralMag's: Newell's formulae for a cell and its periodic images. The
local terms are sums over pairs of neighbours, written out here: on two cores they cost 0.9 ms a
film of 256 x 256, NeuralMag's compiled forms of the same terms 12 ms; tests hold them to those.

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
"""What a batch of films is made of, see `arrays`; every value's first axis counts the films."""


def require_jax() -> None:
    """Raise SpinscopeError where the extra `sim` is not installed."""
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
    """NeuralMag tells every step on its logger: nothing below a warning in here."""
    logger = logging.getLogger("NeuralMag")

    def warnings(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING

    logger.addFilter(warnings)  # its level is set anew when it is imported
    try:
        yield
    finally:
        logger.removeFilter(warnings)


@dataclass(frozen=True)
class Grid:
    """Cells of a film, and how often it is repeated for its demagnetising field."""

    height: int
    width: int
    cell: float  # m
    thickness: float  # m
    images: int = 2

    def __post_init__(self) -> None:
        if self.images < 1:
            raise SpinscopeError(
                f"grid: images (={self.images}) must be at least 1: the film is periodic"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.height, self.width


@cache
def demagnetising_tensor(grid: Grid) -> np.ndarray:
    """Fourier transform of the demagnetising tensor, (4, H, W // 2 + 1) float32: xx, xy, yy, zz.

    Real, as the tensor is even; the components xz and yz of a single layer vanish. Includes the
    sign: h = N M.  `grid.images` periods on each side are summed.
    Source: Newell et al., J. Geophys. Res. 98, 9551 (1993), by NeuralMag.
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
        # The response to a single magnetised cell is the tensor's column.
        field = state.resolve("h_demag", ["m"])
        columns = []
        for component in range(3):
            source = np.zeros((*cells, 3), dtype=np.float32)
            source[0, 0, component] = 1
            columns.append(np.asarray(field(source), dtype=np.float64))
    xx, xy = columns[0][..., 0], columns[0][..., 1]
    yy, zz = columns[1][..., 1], columns[2][..., 2]
    transformed = [np.fft.rfft2(part.T).real for part in (xx, xy, yy, zz)]
    return np.stack(transformed).astype(np.float32)


def arrays(
    grid: Grid,
    ms: np.ndarray,
    a_ex: np.ndarray,
    dmi: np.ndarray,
    ku: np.ndarray,
    b_ext: np.ndarray,
    exchange: np.ndarray | None = None,
) -> Arrays:
    """What the field needs of N films, as float32.

    ms : (N, H, W) A/m.   a_ex, dmi, ku, b_ext : (N,) in J/m, J/m², J/m³, T.
    exchange : (N, 2, H, W) factor on the exchange with the next cell along x and along y; ones
        where it is None.
    """
    n = len(ms)
    if exchange is None:
        exchange = np.ones((n, 2, *grid.shape), dtype=np.float32)
    per_film = {"dmi": dmi, "ku": ku, "b_ext": b_ext}
    links = np.asarray(a_ex, dtype=np.float64)[:, None, None, None] * exchange
    return {
        "ms": np.asarray(ms, dtype=np.float32),
        # J/m would lose digits beside float32's smallest numbers: in units of 1e-12 J/m.
        "links": (links * 1e12).astype(np.float32),
        **{key: np.asarray(value, dtype=np.float32) for key, value in per_film.items()},
    }


def field_and_energy(grid: Grid, kind: Dmi) -> Callable[[Any, Arrays], tuple[Any, Any]]:
    """A pure function (m (N, 3, H, W), arrays) → (h (N, 3, H, W) A/m, energy (N,) J).

    It may be compiled by `jax.jit` and runs where JAX runs, on a GPU as well.
    """
    require_jax()
    import jax.numpy as jnp

    tensor = jnp.asarray(demagnetising_tensor(grid))
    cell, volume = grid.cell, grid.cell**2 * grid.thickness

    def local(m: jax.Array, films: Arrays) -> jax.Array:
        """mu_0 Ms h of exchange, DMI and anisotropy, J/m³ (without the external field)."""
        x, y, z = m[:, 0], m[:, 1], m[:, 2]
        right, down = (
            films["links"][:, :1] * (2e-12 / cell**2),
            films["links"][:, 1:] * (2e-12 / cell**2),
        )
        east, south = jnp.roll(m, -1, 3) - m, jnp.roll(m, -1, 2) - m
        flow_x, flow_y = right * east, down * south
        exchange = flow_x - jnp.roll(flow_x, 1, 3) + flow_y - jnp.roll(flow_y, 1, 2)

        def along_x(a):
            return jnp.roll(a, -1, 2) - jnp.roll(a, 1, 2)

        def along_y(a):
            return jnp.roll(a, -1, 1) - jnp.roll(a, 1, 1)

        d = (films["dmi"] / cell)[:, None, None]
        if kind == "interfacial":
            dmi = jnp.stack([along_x(z), along_y(z), -along_x(x) - along_y(y)], 1)
        else:
            dmi = jnp.stack([-along_y(z), along_x(z), along_y(x) - along_x(y)], 1)
        anisotropy = 2 * films["ku"][:, None, None] * z
        return (exchange + d[:, None] * dmi).at[:, 2].add(anisotropy)

    def demagnetising(m: jax.Array, ms: jax.Array) -> jax.Array:
        """h_d, A/m."""
        fx, fy, fz = jnp.moveaxis(jnp.fft.rfft2(m * ms[:, None]), 1, 0)
        xx, xy, yy, zz = tensor
        h = jnp.stack([xx * fx + xy * fy, xy * fx + yy * fy, zz * fz], 1)
        return jnp.fft.irfft2(h, s=grid.shape)

    def evaluate(m: jax.Array, films: Arrays) -> tuple[jax.Array, jax.Array]:
        ms = films["ms"]
        force = local(m, films)  # of terms of second order in m: E = - force . m / 2
        stray = demagnetising(m, ms)
        zeeman = ms * films["b_ext"][:, None, None]
        quadratic = (m * (force + MU_0 * ms[:, None] * stray)).sum(1)
        density = -0.5 * quadratic - zeeman * m[:, 2]
        h = (
            (force / (MU_0 * ms[:, None]) + stray)
            .at[:, 2]
            .add(films["b_ext"][:, None, None] / MU_0)
        )
        return h, density.sum((1, 2)) * volume

    return evaluate
