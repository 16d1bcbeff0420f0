r"""Order of a lattice of objects: neighbours, bond order, defects and the pair correlation.

A frame has no periodic borders. Quantities that depend on neighbours are given for interior objects
only, whose Voronoi cell lies in the convex hull of all positions, and are NaN for others and for
fewer than four objects.

SciPy (Qhull) computes the tessellation in double precision, freud order parameters and pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spinscope.errors import SpinscopeError

_MIN_OBJECTS = 4  # objects needed for statistics
_CHUNK = 20_000  # objects whose pairs are in memory together


def lattice_order(
    positions: np.ndarray, *, sample_mask: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    r"""Neighbours, cell and bond order of every object.

    Objects at the same position are one site.

    Parameters
    ----------
    positions : (n, 2) array
        Centroids (y, x) in px.
    sample_mask : (H, W) bool array, optional
        Where a patterned sample has a film: the corners of an interior object's cell lie on it. By
        default everywhere.

    Returns
    -------
    dict of (n,) arrays
        For all objects, `nearest_px`: distance of the nearest object, and `delaunay_neighbours`:
        bonds of the Delaunay triangulation (0 without one). For interior objects, otherwise NaN:

        - `neighbours`: objects with a common edge of Voronoi cells; `cell_area_px`: area of the
          cell.
        - `psi6`: :math:`|\psi_6|`, with :math:`\psi_6 = \frac1{N}\sum_j e^{6 i \theta_j}` over
          the neighbours, :math:`\theta` from x to y; 1 in a triangular lattice. `psi6_deg`: its
          phase over 6, the direction of the lattice, in (-30, 30].
        - `psi4`, `psi4_deg` (in (-45, 45]): the same with 4, each neighbour weighted by the length
          of the common edge, because noise adds neighbours across the diagonals of a square
          lattice.

        `interior`: whether the object is interior; `lattice_defect`: interior and without six
        neighbours.

    Raises
    ------
    SpinscopeError
        For positions that are not (n, 2) and finite.

    References
    ----------
    Nelson & Halperin, Phys. Rev. B 19, 2457 (1979); weights: Mickel et al., J. Chem. Phys. 138,
    044501 (2013).
    """
    positions = _checked(positions)
    sites, which = np.unique(positions, axis=0, return_inverse=True)
    which = which.reshape(-1)
    cells = _tessellate(sites, sample_mask)
    inner = cells.interior
    psi6 = _order(sites, cells, 6, weighted=False)
    psi4 = _order(sites, cells, 4, weighted=True)
    values = {
        "neighbours": cells.count,
        "cell_area_px": cells.area,
        "psi6": np.abs(psi6),
        "psi6_deg": np.degrees(np.angle(psi6)) / 6,
        "psi4": np.abs(psi4),
        "psi4_deg": np.degrees(np.angle(psi4)) / 4,
    }
    return (
        {"nearest_px": nearest(positions), "delaunay_neighbours": cells.delaunay[which]}
        | {name: np.where(inner, value, np.nan)[which] for name, value in values.items()}
        | {"interior": inner[which], "lattice_defect": (inner & (cells.count != 6))[which]}
    )


def lattice_summary(table: dict[str, np.ndarray]) -> dict[str, float]:
    r"""Lattice order of a frame, from the result of `lattice_order`.

    Returns
    -------
    dict of float
        NaN where no object is interior:

        - `objects`, `interior_objects`, `lattice_defects`: numbers; `lattice_defect_fraction`:
          lattice defects per interior object.
        - `nearest_px_mean`: mean over all objects.
        - `psi6_mean`, `psi4_mean`: :math:`\langle|\psi|\rangle` over interior objects.
        - `psi6_global`, `psi4_global`: :math:`|\langle\psi\rangle|`, near 1 only where the lattice
          has one direction throughout.
        - `lattice_px`: constant of the triangular lattice with the mean cell area A,
          :math:`\sqrt{2A/\sqrt3}`.
    """
    inner = np.asarray(table["interior"], dtype=bool)
    values = {name: np.asarray(column)[inner] for name, column in table.items()}
    summary: dict[str, float] = {
        "objects": len(inner),
        "interior_objects": int(inner.sum()),
        "lattice_defects": int(values["lattice_defect"].sum()),
        "lattice_defect_fraction": _mean(values["lattice_defect"]),
        "nearest_px_mean": _mean(np.asarray(table["nearest_px"])),
        "lattice_px": float(np.sqrt(2 * _mean(values["cell_area_px"]) / np.sqrt(3))),
    }
    for k in (6, 4):
        psi = values[f"psi{k}"] * np.exp(1j * k * np.deg2rad(values[f"psi{k}_deg"]))
        summary[f"psi{k}_mean"] = _mean(np.abs(psi))
        summary[f"psi{k}_global"] = float(np.abs(psi.mean())) if len(psi) else np.nan
    return summary


def pair_correlation(
    positions: np.ndarray,
    shape: tuple[int, int],
    *,
    r_max: float | None = None,
    width: float | None = None,
    sample_mask: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    r"""Pair correlation of objects in a frame without periodic borders.

    .. math:: g(r) = \frac{A^2}{N(N-1)} \sum_{i \ne j}
              \frac{1_{r_{ij} \in [r, r + \delta)}}{\gamma(r_j - r_i)}
              \frac{1}{\pi\,[(r + \delta)^2 - r^2]}, \qquad
              \gamma(\Delta) = (H - |\Delta_y|)(W - |\Delta_x|)

    Each pair is weighted by the inverse of the area in which its first object may lie so that both
    are in the frame (translation correction): g = 1 for independent objects at every r.

    Parameters
    ----------
    positions : (n, 2) array
        Centroids (y, x) in px.
    shape : (int, int)
        Height and width of the frame in px.
    r_max : float, optional
        Largest distance in px, at most half the shorter side; by default six mean spacings
        :math:`\sqrt{A/N}`.
    width : float, optional
        Width :math:`\delta` of the bins in px, by default a twentieth of the mean spacing.
    sample_mask : (H, W) bool array, optional
        Where a patterned sample has a film: area and :math:`\gamma` are those of the film, and
        objects elsewhere are left out. By default everywhere.

    Returns
    -------
    dict of arrays
        `r_px` (centres of the bins), `g` and `g_se` (from the number of pairs alone); empty for
        fewer than four objects.

    Raises
    ------
    SpinscopeError
        For positions outside the frame, and for `r_max` or `width` out of range.

    References
    ----------
    Ohser, Math. Operationsforsch. Statist. 14, 63 (1983).
    """
    positions = _checked(positions)
    height, wide = shape
    outside = ((positions < -0.5) | (positions > np.array(shape) - 0.5)).any(axis=1)
    if outside.any():
        y, x = positions[outside][0]
        raise SpinscopeError(f"position ({y:g}, {x:g}) must lie in the frame of {height} x {wide}")
    area, overlap = height * wide, None
    if sample_mask is not None:
        if sample_mask.shape != tuple(shape):
            raise SpinscopeError(
                f"sample_mask of shape {sample_mask.shape} must be as the frame, {tuple(shape)}"
            )
        positions = positions[_on(sample_mask, positions)]
        area, overlap = int(sample_mask.sum()), _overlap(sample_mask)
    spacing = np.sqrt(max(area, 1) / max(len(positions), 1))
    half = min(shape) / 2
    r_max = min(6 * spacing, half) if r_max is None else r_max
    width = spacing / 20 if width is None else width
    if not 0 < width <= r_max <= half:
        raise SpinscopeError(
            f"width (={width:g}) and r_max (={r_max:g}) must be 0 < width <= r_max <= {half:g} px, "
            "half the shorter side"
        )
    if len(positions) < _MIN_OBJECTS:
        return {name: np.zeros(0) for name in ("r_px", "g", "g_se")}
    edges = np.arange(0, r_max + width / 2, width)
    weight, pairs = np.zeros((2, len(edges) - 1))
    for dy, dx in _pairs(positions, shape, edges[-1]):
        r = np.hypot(dy, dx)
        if overlap is None:
            seen = (height - np.abs(dy)) * (wide - np.abs(dx))
        else:
            seen = np.maximum(overlap[np.rint(dy).astype(int), np.rint(dx).astype(int)], 1)
        weight += np.histogram(r, edges, weights=1 / seen)[0]
        pairs += np.histogram(r, edges)[0] / 2
    number = len(positions)
    g = weight * area**2 / (number * (number - 1)) / (np.pi * np.diff(edges**2))
    error = np.divide(g, np.sqrt(pairs), out=np.full(len(g), np.nan), where=pairs > 0)
    return {"r_px": (edges[1:] + edges[:-1]) / 2, "g": g, "g_se": error}


@dataclass(frozen=True)
class _Cells:
    """Voronoi cells of n sites, and the bonds in both directions between adjacent cells."""

    interior: np.ndarray  # (n,) bool
    area: np.ndarray  # (n,)
    count: np.ndarray  # (n,) neighbours
    delaunay: np.ndarray  # (n,)
    bonds: np.ndarray  # (b, 2) sites
    vectors: np.ndarray  # (b, 2) (y, x) from the first to the second
    edges: np.ndarray  # (b,) length of the common edge


def _tessellate(sites: np.ndarray, sample_mask: np.ndarray | None) -> _Cells:
    """Voronoi cells of all sites; none for fewer than four, or for sites on a line."""
    from scipy.spatial import Delaunay, QhullError

    count = len(sites)
    try:
        if count < _MIN_OBJECTS:
            raise QhullError
        middle = sites.mean(axis=0)
        triangles = Delaunay(sites - middle)
    except QhullError:
        none, nothing = np.zeros(count, dtype=np.int64), np.full(count, np.nan)
        pairs = np.zeros((0, 2))
        return _Cells(none > 0, nothing, none, none, pairs.astype(np.int64), pairs, pairs[:, 0])
    corners, beside = triangles.simplices, triangles.neighbors
    centre = _circumcentres(triangles.points[corners])
    # Two triangles have each edge: take it once, and its bond in both directions.
    own, opposite = np.nonzero(beside < np.arange(len(corners))[:, None])
    other = beside[own, opposite]
    a, b = (corners[own, (opposite + step) % 3] for step in (1, 2))
    edge = np.where(other < 0, np.inf, np.hypot(*(centre[own] - centre[other]).T))
    bonds = np.concatenate([np.stack([a, b], -1), np.stack([b, a], -1)])
    edge = np.tile(edge, 2)
    vectors = triangles.points[bonds[:, 1]] - triangles.points[bonds[:, 0]]
    length = np.hypot(*vectors.T)
    # Of four sites on a circle two are joined at random, and their cells do not touch.
    common = np.flatnonzero(edge > 1e-6 * length)
    common = common[np.lexsort((bonds[common, 1], bonds[common, 0]))]

    inside = np.isfinite(centre).all(axis=1)
    inside[inside] = triangles.find_simplex(centre[inside]) >= 0
    if sample_mask is not None:
        inside[inside] = _on(sample_mask, centre[inside] + middle)
    interior = np.bincount(corners.ravel(), minlength=count) > 0
    interior[corners[~inside]] = False
    interior[triangles.convex_hull] = False
    with np.errstate(invalid="ignore"):
        area = np.bincount(bonds[:, 0], edge * length / 4, minlength=count)
    delaunay = np.bincount(bonds[:, 0], minlength=count)
    bonds = bonds[common]
    neighbours = np.bincount(bonds[:, 0], minlength=count)
    return _Cells(interior, area, neighbours, delaunay, bonds, vectors[common], edge[common])


def _circumcentres(triangle: np.ndarray) -> np.ndarray:
    """Centres (t, 2) of the circles through three points (t, 3, 2); not finite on a line."""
    a = triangle[:, 0]
    b, c = triangle[:, 1] - a, triangle[:, 2] - a
    bb, cc = (b**2).sum(axis=1), (c**2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        twice = 2 * (b[:, 0] * c[:, 1] - b[:, 1] * c[:, 0])
        y = (c[:, 1] * bb - b[:, 1] * cc) / twice
        x = (b[:, 0] * cc - c[:, 0] * bb) / twice
    return a + np.stack([y, x], axis=-1)


def _order(sites: np.ndarray, cells: _Cells, k: int, *, weighted: bool) -> np.ndarray:
    """Complex bond order (n,) of symmetry k; NaN outside the interior."""
    import freud

    order = np.full(len(sites), np.nan, dtype=complex)
    if not cells.interior.any():
        return order
    points = _points(sites, sites.mean(axis=0))
    vectors = np.pad(cells.vectors[:, ::-1], ((0, 0), (0, 1)))
    bonds = freud.locality.NeighborList.from_arrays(
        len(sites), len(sites), cells.bonds[:, 0], cells.bonds[:, 1], vectors, cells.edges
    )
    # The box is so large that no bond crosses its border.
    box = freud.box.Box.square(8 * np.abs(points).max() + 1)
    hexatic = freud.order.Hexatic(k=k, weighted=weighted)
    hexatic.compute((box, points), neighbors=bonds)
    order[cells.interior] = hexatic.particle_order[cells.interior]
    return order


def _points(positions: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Positions as points (n, 3) float32 for freud, x first."""
    return np.pad(positions - middle, ((0, 0), (0, 1)))[:, [1, 0, 2]].astype(np.float32)


def _on(sample_mask: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Whether positions (n, 2) lie on the film."""
    pixel = np.floor(positions + 0.5).astype(np.int64)
    here = ((pixel >= 0) & (pixel < sample_mask.shape)).all(axis=1)
    here[here] = sample_mask[tuple(pixel[here].T)]
    return here


def nearest(positions: np.ndarray) -> np.ndarray:
    """Return the distance of the nearest neighbour of each position, NaN for a single one."""
    from scipy.spatial import KDTree

    if len(positions) < 2:
        return np.full(len(positions), np.nan)
    return KDTree(positions).query(positions, k=2)[0][:, 1]


def _overlap(sample_mask: np.ndarray) -> np.ndarray:
    """Number of pixels where a film overlaps itself shifted by (dy, dx), the indices."""
    from scipy import fft

    size = [fft.next_fast_len(2 * n, real=True) for n in sample_mask.shape]
    spectrum = fft.rfft2(sample_mask.astype(np.float32), size)
    return fft.irfft2(np.abs(spectrum) ** 2, size)


def _pairs(positions: np.ndarray, shape: tuple[int, int], r_max: float):
    """Yield separations (dy, dx) of all pairs within r_max, in both directions, in batches."""
    import freud

    points = _points(positions, (np.array(shape) - 1) / 2)
    query = freud.locality.AABBQuery(freud.box.Box.square(2 * (max(shape) + r_max)), points)
    for start in range(0, len(points), _CHUNK):
        found = query.query(points[start : start + _CHUNK], {"r_max": r_max}).toNeighborList()
        i, j = found.query_point_indices + start, found.point_indices
        separation = positions[j[i != j]] - positions[i[i != j]]
        yield separation[:, 0], separation[:, 1]


def _checked(positions: np.ndarray) -> np.ndarray:
    """Positions as (n, 2) floats, finite."""
    positions = np.asarray(positions, dtype=float)
    if positions.ndim != 2 or positions.shape[1] != 2 or not np.isfinite(positions).all():
        raise SpinscopeError(f"positions of shape {positions.shape} must be (n, 2) and finite")
    return positions


def _mean(values: np.ndarray) -> float:
    """Mean of the values that are known."""
    values = values[~np.isnan(values.astype(float))]
    return float(values.mean()) if len(values) else np.nan
