"""Outlines of patterned devices: discs, squares, triangles, wires and bars with tapered ends.

An outline is a signed distance to the border in pixels, positive inside, and so is their union.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from spinscope.errors import SpinscopeError

FAR = np.float32(-1e3)  # distance far from every device


def disc(shape: tuple[int, int], y: float, x: float, radius: float) -> np.ndarray:
    """Signed distance (H, W) float32 to a disc, in pixels, positive inside."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (radius - np.hypot(rows - y, columns - x)).astype(np.float32)


def polygon(shape: tuple[int, int], corners: Sequence[Sequence[float]]) -> np.ndarray:
    """Signed distance (H, W) float32 to a convex polygon, positive inside.

    corners : (y, x) in either sense of rotation. Inside and beside its sides the distance is exact;
    outside a corner it is that to the nearer side's line.

    Raises SpinscopeError for fewer than three corners or corners on a line.
    """
    points = np.asarray(corners, dtype=np.float64)
    if len(points) < 3:
        raise SpinscopeError(f"polygon with {len(points)} corners must have at least 3")
    sides = np.roll(points, -1, axis=0) - points
    area = np.sum(
        points[:, 1] * np.roll(points[:, 0], -1) - points[:, 0] * np.roll(points[:, 1], -1)
    )
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
    """Signed distance to several devices together."""
    return np.maximum.reduce(outlines)


def device_masks(distance: np.ndarray, edge_width: float) -> tuple[np.ndarray, np.ndarray]:
    """Where the film is and where its edge is: (inside, edge), (H, W) bool and disjoint.

    edge_width : pixels of the band that is centred on the border.
    """
    edge = np.abs(distance) <= edge_width / 2
    return (distance > 0) & ~edge, edge


def draw_device(kind: str, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Signed distance (H, W) to a device of `kind` with place, size and turn drawn.

    Lengths go with the height of the frame. Raises SpinscopeError for an unknown kind.
    """
    if kind not in DEVICES:
        raise SpinscopeError(f"device {kind!r} must be one of {', '.join(DEVICES)}")
    return DEVICES[kind](shape, rng)


def _turned(centre: Sequence[float], corners: np.ndarray, angle: float) -> np.ndarray:
    """Corners (n, 2) about the origin, turned by `angle` and moved to `centre`."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.asarray(corners) @ np.array([[cos, sin], [-sin, cos]]) + np.asarray(centre)


def _row(shape: tuple[int, int], rng: np.random.Generator, sizes: tuple[float, float]) -> list:
    """Places (y, x, size) of devices in rows, as they stand on a chip; some cross the border."""
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


def _discs(shape, rng):
    if rng.random() < 0.35:  # one large disc with leads
        radius = shape[0] * rng.uniform(0.25, 0.5)
        y, x = (n * rng.uniform(0.35, 0.65) for n in shape)
        half = radius * rng.uniform(0.08, 0.2)
        reach = 2 * max(shape)
        lead = np.array([[-half, -reach], [-half, reach], [half, reach], [half, -reach]])
        leads = polygon(shape, _turned((y, x), lead, rng.uniform(0, np.pi)))
        return union([disc(shape, y, x, radius), leads])
    places = _row(shape, rng, (0.1, 0.45))
    return union([disc(shape, y, x, size / 2) for y, x, size in places])


def _squares(shape, rng):
    turn = rng.uniform(-0.05, 0.05)
    square = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]]) / 2
    places = _row(shape, rng, (0.1, 0.5))
    return union([polygon(shape, _turned((y, x), square * s, turn)) for y, x, s in places])


def _triangles(shape, rng):
    turn = rng.choice([0, np.pi / 2, np.pi, -np.pi / 2]) + rng.uniform(-0.05, 0.05)
    angles = 2 * np.pi * np.arange(3) / 3
    triangle = np.stack([np.cos(angles), np.sin(angles)], axis=-1) / np.sqrt(3)
    places = _row(shape, rng, (0.15, 0.6))
    return union([polygon(shape, _turned((y, x), triangle * s, turn)) for y, x, s in places])


def _wires(shape, rng):
    height, width = shape
    turn = rng.uniform(-0.05, 0.05) + (np.pi / 2 if rng.random() < 0.3 else 0)
    reach, across = 2 * (height + width), 0.75 * max(height, width)
    outlines, s = [], -across + height * rng.uniform(0, 0.2)
    while s < across:
        size = height * rng.uniform(0.06, 0.3)
        wire = np.array([[s, -reach], [s, reach], [s + size, reach], [s + size, -reach]])
        outlines.append(polygon(shape, _turned((height / 2, width / 2), wire, turn)))
        s += size + height * rng.uniform(0.08, 0.3)
    return union(outlines)


def _bars(shape, rng):
    height, width = shape
    half = height * rng.uniform(0.15, 0.4)
    left, right = (-width, width * rng.uniform(0.1, 0.45))
    taper = half * rng.uniform(0.1, 0.7)
    narrow = half * rng.uniform(0.1, 0.8)
    bar = np.array(
        [[-half, left], [-half, right - taper], [-narrow, right], [narrow, right],
         [half, right - taper], [half, left]]
    )  # fmt: skip
    centre = height * rng.uniform(0.4, 0.6), width * rng.uniform(0.4, 0.6)
    turn = rng.uniform(-0.15, 0.15) + (np.pi if rng.random() < 0.5 else 0)
    outlines = [polygon(shape, _turned(centre, bar, turn))]
    if rng.random() < 0.4:  # a second bar joined by a narrow bridge
        gap = height * rng.uniform(0.05, 0.2)
        mirrored = bar * [1, -1] + [0, 2 * right + gap]
        bridge = np.array([[-1, right - taper], [-1, right + gap + taper],
                           [1, right + gap + taper], [1, right - taper]])  # fmt: skip
        bridge[:, 0] *= max(2.0, narrow * 0.2)
        outlines += [polygon(shape, _turned(centre, part, turn)) for part in (mirrored, bridge)]
    return union(outlines)


DEVICES: dict[str, Callable[[tuple[int, int], np.random.Generator], np.ndarray]] = {
    "discs": _discs,
    "squares": _squares,
    "triangles": _triangles,
    "wires": _wires,
    "bars": _bars,
}
