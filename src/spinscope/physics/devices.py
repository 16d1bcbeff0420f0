"""Outlines of patterned devices: discs, squares, triangles, wires and bars with tapered ends.

An outline is the signed distance to its border in pixels, positive inside, as is the union of
several outlines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from spinscope.errors import SpinscopeError

Shape = tuple[int, int]


def disc(shape: Shape, y: float, x: float, radius: float) -> np.ndarray:
    """Signed distance to the border of a disc.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the frame in pixels.
    y, x, radius : float
        Centre and radius in pixels.

    Returns
    -------
    (H, W) float32 array
        Distance in pixels, positive inside.
    """
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (radius - np.hypot(rows - y, columns - x)).astype(np.float32)


def polygon(shape: Shape, corners: Sequence[Sequence[float]]) -> np.ndarray:
    """Signed distance to the border of a convex polygon.

    The distance is exact inside and beside the sides; outside a corner it is that to the line of
    the nearer side.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the frame in pixels.
    corners : sequence of (float, float)
        Corners (y, x) in pixels, in either sense of rotation.

    Returns
    -------
    (H, W) float32 array
        Distance in pixels, positive inside.

    Raises
    ------
    SpinscopeError
        If there are fewer than three corners, or all lie on one line.
    """
    points = np.asarray(corners, dtype=np.float64)
    if len(points) < 3:
        raise SpinscopeError(f"polygon with {len(points)} corners must have at least 3")
    following = np.roll(points, -1, axis=0)
    sides = following - points
    area = np.sum(points[:, 1] * following[:, 0] - points[:, 0] * following[:, 1])
    if area == 0:
        raise SpinscopeError("polygon: the corners must not lie on one line")
    inward = np.sign(area) * np.stack([sides[:, 1], -sides[:, 0]], axis=-1)
    inward /= np.linalg.norm(inward, axis=1, keepdims=True)
    rows = np.arange(shape[0], dtype=np.float32)[:, None]
    columns = np.arange(shape[1], dtype=np.float32)[None, :]
    distance = np.full(shape, np.float32(np.inf))
    for (ny, nx), (y, x) in zip(inward, points, strict=True):
        line = np.float32(ny) * (rows - np.float32(y)) + np.float32(nx) * (columns - np.float32(x))
        np.minimum(distance, line, out=distance)
    return distance


def union(outlines: Sequence[np.ndarray]) -> np.ndarray:
    """Signed distance to the border of several outlines together."""
    return np.maximum.reduce(outlines)


def device_masks(distance: np.ndarray, edge_width: float) -> tuple[np.ndarray, np.ndarray]:
    """Split a frame into the inside of a device and its edge.

    Parameters
    ----------
    distance : (H, W) array
        Signed distance to the border in pixels.
    edge_width : float
        Width of the edge in pixels, centred on the border.

    Returns
    -------
    (H, W) bool array, (H, W) bool array
        Inside and edge; they do not overlap.
    """
    edge = np.abs(distance) <= edge_width / 2
    return (distance > 0) & ~edge, edge


def draw_device(kind: str, shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Draw the outline of a device at a random place, in random size and orientation.

    Parameters
    ----------
    kind : str
        One of `DEVICES`.
    shape : (int, int)
        Height and width of the frame in pixels; lengths scale with the height.
    rng : numpy.random.Generator
        Random numbers.

    Returns
    -------
    (H, W) float32 array
        Signed distance to the border in pixels.

    Raises
    ------
    SpinscopeError
        If the kind is unknown.
    """
    if kind not in DEVICES:
        raise SpinscopeError(f"device {kind!r} must be one of {', '.join(DEVICES)}")
    return DEVICES[kind](shape, rng)


def _placed(centre: Sequence[float], corners: np.ndarray, angle: float) -> np.ndarray:
    """Corners (n, 2) about the origin, rotated by `angle` and moved to `centre`."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.asarray(corners) @ np.array([[cos, sin], [-sin, cos]]) + np.asarray(centre)


def _rows(shape: Shape, rng: np.random.Generator, sizes: tuple[float, float]) -> list:
    """Places (y, x, size) of devices in rows, as on a chip; some cross the border."""
    height, width = shape
    largest = height * rng.uniform(*sizes)
    places, y = [], rng.uniform(-0.3, 0.3) * largest
    while y < height + largest / 2:
        x, size = rng.uniform(-0.5, 0.5) * largest, largest
        gap = rng.uniform(0.4, 1.5)
        while x < width + size / 2:
            places.append((y, x, size))
            following = size * rng.uniform(0.6, 1.0) if rng.random() < 0.7 else size
            x += (size + following) / 2 + gap * following
            size = max(following, 0.05 * height)
        y += largest * rng.uniform(1.3, 2.5)
    return places


def _rectangle(top: float, bottom: float, left: float, right: float) -> np.ndarray:
    """Corners (4, 2) of a rectangle."""
    return np.array([[top, left], [top, right], [bottom, right], [bottom, left]])


def _polygons(shape: Shape, places: list, corners: np.ndarray, angle: float) -> np.ndarray:
    """Union of polygons of unit size at places (y, x, size)."""
    return union([polygon(shape, _placed((y, x), corners * s, angle)) for y, x, s in places])


def _discs(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Discs in rows, or one large disc with leads."""
    if rng.random() < 0.35:
        radius = shape[0] * rng.uniform(0.25, 0.5)
        y, x = (n * rng.uniform(0.35, 0.65) for n in shape)
        half, far = radius * rng.uniform(0.08, 0.2), 2 * max(shape)
        lead = _rectangle(-half, half, -far, far)
        leads = polygon(shape, _placed((y, x), lead, rng.uniform(0, np.pi)))
        return union([disc(shape, y, x, radius), leads])
    places = _rows(shape, rng, (0.1, 0.45))
    return union([disc(shape, y, x, size / 2) for y, x, size in places])


def _squares(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Squares in rows."""
    angle = rng.uniform(-0.05, 0.05)
    square = _rectangle(-0.5, 0.5, -0.5, 0.5)
    return _polygons(shape, _rows(shape, rng, (0.1, 0.5)), square, angle)


def _triangles(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Equilateral triangles in rows."""
    angle = rng.choice([0, np.pi / 2, np.pi, -np.pi / 2]) + rng.uniform(-0.05, 0.05)
    angles = 2 * np.pi * np.arange(3) / 3
    triangle = np.stack([np.cos(angles), np.sin(angles)], axis=-1) / np.sqrt(3)
    return _polygons(shape, _rows(shape, rng, (0.15, 0.6)), triangle, angle)


def _wires(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Parallel wires across the frame."""
    height, width = shape
    angle = rng.uniform(-0.05, 0.05) + (np.pi / 2 if rng.random() < 0.3 else 0)
    far, across = 2 * (height + width), 0.75 * max(height, width)
    outlines, s = [], -across + height * rng.uniform(0, 0.2)
    while s < across:
        size = height * rng.uniform(0.06, 0.3)
        wire = _rectangle(s, s + size, -far, far)
        outlines.append(polygon(shape, _placed((height / 2, width / 2), wire, angle)))
        s += size + height * rng.uniform(0.08, 0.3)
    return union(outlines)


def _bars(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """One bar with a tapered end, or two bars joined by a narrow bridge."""
    height, width = shape
    half = height * rng.uniform(0.15, 0.4)
    left, right = -width, width * rng.uniform(0.1, 0.45)
    taper = half * rng.uniform(0.1, 0.7)
    narrow = half * rng.uniform(0.1, 0.8)
    bar = np.array(
        [[-half, left], [-half, right - taper], [-narrow, right], [narrow, right],
         [half, right - taper], [half, left]]
    )  # fmt: skip
    centre = height * rng.uniform(0.4, 0.6), width * rng.uniform(0.4, 0.6)
    angle = rng.uniform(-0.15, 0.15) + (np.pi if rng.random() < 0.5 else 0)
    outlines = [polygon(shape, _placed(centre, bar, angle))]
    if rng.random() < 0.4:
        gap = height * rng.uniform(0.05, 0.2)
        mirrored = bar * [1, -1] + [0, 2 * right + gap]
        bridge = _rectangle(-1, 1, right - taper, right + gap + taper)
        bridge[:, 0] *= max(2.0, narrow * 0.2)
        outlines += [polygon(shape, _placed(centre, part, angle)) for part in (mirrored, bridge)]
    return union(outlines)


DEVICES: dict[str, Callable[[Shape, np.random.Generator], np.ndarray]] = {
    "discs": _discs,
    "squares": _squares,
    "triangles": _triangles,
    "wires": _wires,
    "bars": _bars,
}
"""Functions that draw each kind of device."""
