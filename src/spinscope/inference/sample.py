"""What of an image is sample: information bars, lettering and scale bars are left out.

Software draws without noise. An information bar is a strip along a side of the image whose
background has one grey level; lettering and scale bars over the film have one grey level, sharp
borders, and characters that stand in a line. Film has none of this, whatever its contrast and
noise. In an image without noise (a drawing, a saturated frame) nothing can be told apart, and the
whole image is sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from spinscope.classes import BACKGROUND, OUTSIDE, SKYRMION
from spinscope.errors import SpinscopeError
from spinscope.inference.conditions import only_noise
from spinscope.inference.predict import Predictor, Segmented

_MARGIN, _LINES = 4, 24
"""Lowest bar, and rows in which a bar must have one without lettering, px."""

_CLEAN, _BACKGROUND, _FILM = 0.9, 0.3, 0.25
"""Fraction of a row that has the level of a bar: without lettering at least, with lettering at
least, and in rows of the film at most."""

_FLAT = 0.7
"""Fraction of equal neighbours in a film without noise, of which nothing is left out."""

_RINGING = 0.12
"""Deviations of a compressed bar from its level, as a fraction of its contrast with the film."""

_LARGEST = 0.4
"""Largest fraction of the image that a bar covers."""

_HEIGHT, _LENGTH, _CHARACTERS = 6, 20, 3
"""Lowest character and shortest scale bar in px, and fewest characters in a line."""

_MAX_PIXELS = 2**24
"""Lettering is not looked for in larger images."""

_SPARSE = 0.05
"""Largest fraction of the film that is drawn over."""

_MAX_COMPONENTS = 400
"""More components of one grey level than this are noise or a clipped film."""


@dataclass(frozen=True)
class Part:
    """Rectangle of an image that is not sample; rows y0 to y1 and columns x0 to x1, half open.

    Attributes
    ----------
    kind : str
        "information bar", "lettering", "scale bar", "label box" or "outside the crop".
    reason : str
        What it was recognised by.
    y0, x0, y1, x1 : int
        Extent in px.
    """

    kind: str
    reason: str
    y0: int
    x0: int
    y1: int
    x1: int

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def overlaps(self, other: Part) -> bool:
        """Whether another part of the same kind shares a pixel with this one."""
        return (
            self.kind == other.kind
            and max(self.y0, other.y0) < min(self.y1, other.y1)
            and max(self.x0, other.x0) < min(self.x1, other.x1)
        )

    def joined(self, other: Part) -> Part:
        """Smallest rectangle that holds this part and another."""
        return Part(
            self.kind,
            self.reason,
            min(self.y0, other.y0),
            min(self.x0, other.x0),
            max(self.y1, other.y1),
            max(self.x1, other.x1),
        )


@dataclass(frozen=True)
class SampleRegion:
    """What of an image is sample.

    Attributes
    ----------
    shape : (int, int)
        Height and width of the image in px.
    parts : tuple of Part
        What is left out.
    """

    shape: tuple[int, int]
    parts: tuple[Part, ...] = ()

    @classmethod
    def crop(cls, shape: tuple[int, int], text: str) -> SampleRegion:
        """Return the region of a crop "y0,x0,y1,x1" in px, half open.

        Raises
        ------
        SpinscopeError
            Where the crop does not lie in the image.
        """
        (height, width), (y0, x0, y1, x1) = shape, map(int, text.split(","))
        if not (y0 < y1 <= height and x0 < x1 <= width):
            raise SpinscopeError(
                f"segment.region (={text}) must be y0,x0,y1,x1 in frames of {width}x{height} pixels"
            )
        border = (0, 0, y0, width), (y1, 0, height, width), (y0, 0, y1, x0), (y0, x1, y1, width)
        return cls(
            shape,
            tuple(
                Part("outside the crop", f"segment.region {text}", *box)
                for box in border
                if box[0] < box[2] and box[1] < box[3]
            ),
        )

    @cached_property
    def left_out(self) -> np.ndarray:
        """Pixels that are no sample, (H, W) bool."""
        mask = np.zeros(self.shape, dtype=bool)
        for part in self.parts:
            mask[part.window] = True
        return mask

    @cached_property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the smallest rectangle that holds the sample."""
        sides = []
        for axis in (1, 0):
            kept = np.flatnonzero(~self.left_out.all(axis=axis))
            sides.append(slice(int(kept[0]), int(kept[-1]) + 1) if len(kept) else slice(0, 0))
        return sides[0], sides[1]

    def sample(self, image: np.ndarray) -> np.ndarray:
        """Return the rectangle without bars of an image, with lettering at the film's median."""
        if not self.parts:
            return image
        inner = image[self.window]
        drawn = self.left_out[self.window]
        if not drawn.any():
            return inner
        inner = inner.copy()
        inner[drawn] = np.median(inner[~drawn][::7])
        return inner

    def expanded(self, mask: np.ndarray, beyond: int = OUTSIDE) -> np.ndarray:
        """Return the mask or map of the whole image, (H, W), from that of `sample`.

        Parameters
        ----------
        mask : (h, w) array
            Class indices or probabilities of the rectangle without bars, whose type is kept.
        beyond : int
            Class or probability of what is left out.
        """
        whole = np.empty(self.shape, dtype=mask.dtype)
        whole[self.window] = mask
        whole[self.left_out] = beyond
        return whole


def segment_sample(
    predictor: Predictor, image: np.ndarray, tta: int = 1, region: SampleRegion | None = None
) -> Segmented:
    """Segment the sample of an image; what is left out becomes the class "outside".

    Parameters
    ----------
    predictor : Predictor or Ensemble
        Model.
    image : (H, W) array
        Image of any type.
    tta : {1, 2, 3, 8}
        Number of augmented views.
    region : SampleRegion, optional
        Sample of the image, by default all of it.

    Returns
    -------
    Segmented
        Mask, fraction of doubtful pixels of the sample, mask of each augmented view, and rim.
    """
    whole = region is None or not region.parts
    sample = image if whole else region.sample(image)
    found = predictor.segment_views(sample, tta)
    if predictor.doubted and only_noise(predictor, sample, found.mask):
        for one in (found.mask, *found.views):
            one[one == SKYRMION] = BACKGROUND
    if whole:
        return found
    mask, doubt, views, rim = found
    if rim is not None:
        rim = region.expanded(rim, 0)
    return Segmented(region.expanded(mask), doubt, [region.expanded(v) for v in views], rim)


def without_noise(
    predictor: Predictor, image: np.ndarray, tta: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Return mask and probability of an image, without skyrmions where it shows only noise.

    Parameters
    ----------
    predictor : Predictor or Ensemble
        Model; where it is `doubted`, the image is checked by `only_noise`.
    image : (H, W) array
        Image of any type.
    tta : {1, 2, 3, 8}
        Number of augmented views.

    Returns
    -------
    mask : (H, W) uint8 array
        Class indices.
    probability : (H, W) float32 array
        Probability of skyrmion.
    """
    mask, probability = predictor.mask_and_probability(image, tta)
    if predictor.doubted and only_noise(predictor, image, mask):
        mask[mask == SKYRMION] = BACKGROUND
        probability = np.zeros_like(probability)
    return mask, probability


def recording_region(
    shape: tuple[int, int], images: Sequence[np.ndarray], setting: str = "auto"
) -> SampleRegion:
    """Find what of the frames of a recording is sample, from a few of them.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the frames in px.
    images : sequence of (H, W) arrays
        Frames far from each other.
    setting : str
        "auto"; "whole": everything is sample; or a crop "y0,x0,y1,x1" in px, half open.

    Returns
    -------
    SampleRegion
        What at least two of several frames show counts, with its largest extent: values in the
        lettering change from frame to frame.

    Raises
    ------
    SpinscopeError
        For a crop that does not lie in the frames.
    """
    if setting == "whole" or (setting == "auto" and not len(images)):
        return SampleRegion(shape)
    if setting != "auto":
        return SampleRegion.crop(shape, setting)
    regions = [sample_region(image) for image in images]
    if len(regions) == 1:
        return regions[0]
    shared = [
        part
        for k, region in enumerate(regions)
        for part in region.parts
        if any(part.overlaps(other) for r in regions[:k] + regions[k + 1 :] for other in r.parts)
    ]
    return SampleRegion(shape, tuple(_merged(shared)))


def sample_region(image: np.ndarray) -> SampleRegion:
    """Find what of an image is sample.

    Parameters
    ----------
    image : (H, W) array
        Pixels of any type, as they were recorded.

    Returns
    -------
    SampleRegion
        Region without information bars, lettering and scale bars.
    """
    height, width = image.shape
    middle = image[height // 4 : -(height // 4), width // 4 : -(width // 4) : 2]
    steps = np.abs(np.diff(middle[::4].astype(np.float32), axis=0))
    noise = float(np.median(steps)) if steps.size else 0.0
    if not np.isfinite(noise):
        return SampleRegion(image.shape)
    tolerance = noise / 4 if image.dtype.kind == "f" else int(noise / 4)
    sides, parts = [0, 0, height, width], []
    for _ in range(2):  # a bar may end at another one
        for side in range(4):
            inner = image[sides[0] : sides[2], sides[1] : sides[3]]
            rows = inner if side % 2 == 0 else inner.T
            rows = rows if side < 2 else rows[::-1]
            depth, level = _bar(rows, tolerance)
            if not depth:
                continue
            before = list(sides)
            sides[side] += depth if side < 2 else -depth
            extent = list(before)
            extent[(side + 2) % 4] = sides[side]
            reason = f"strip of grey level {level:g} along the {_SIDES[side]} side"
            parts.append(Part("information bar", reason, *extent))
    inner = image[sides[0] : sides[2], sides[1] : sides[3]]
    for part in _drawn(inner) if noise and inner.size <= _MAX_PIXELS else ():
        box = part.y0 + sides[0], part.x0 + sides[1], part.y1 + sides[0], part.x1 + sides[1]
        parts.append(Part(part.kind, part.reason, *box))
    return SampleRegion(image.shape, tuple(parts))


_SIDES = ("top", "left", "bottom", "right")


def _near(values: np.ndarray, level: float | int, tolerance: float | int) -> np.ndarray:
    """Pixels of a grey level."""
    if tolerance == 0:
        return values == level
    return (values >= level - tolerance) & (values <= level + tolerance)


def _flat(rows: np.ndarray, tolerance: float | int) -> np.ndarray:
    """Fraction of neighbouring pixels in each row that have the same level."""
    steps = np.abs(np.diff(rows.astype(np.float32), axis=1))
    return (steps <= tolerance).mean(axis=1)


def _bar(image: np.ndarray, tolerance: float | int) -> tuple[int, float]:
    """Rows of a bar at the top of an image and its grey level, (0, 0) without one."""
    height = len(image)
    limit = int(_LARGEST * height)
    if limit < _MARGIN or image.shape[1] < _LENGTH:
        return 0, 0.0
    outer = image[: min(_LINES, limit)]
    flat = _flat(outer, tolerance)
    film = float(np.median(image[limit::8, ::4]))
    film_flat = float(np.median(_flat(image[limit::8], tolerance)))
    if film_flat > _FLAT:
        return 0, 0.0
    tried: list[float] = []
    for row in np.flatnonzero(flat >= max(0.6, film_flat + 0.2)):
        level = np.partition(outer[row], outer.shape[1] // 2)[outer.shape[1] // 2].item()
        near = max(tolerance, type(tolerance)(_RINGING * abs(level - film)))
        clean = _near(outer[row], level, near).mean() >= _CLEAN
        if not clean or any(abs(level - other) <= near for other in tried):
            continue
        tried.append(level)
        at_level = _near(image[: limit + 12], level, near).mean(axis=1)
        # The bar ends before three rows in a row that do not have its level.
        other = np.convolve(at_level[row:] < _BACKGROUND, np.ones(3, int), "valid") == 3
        if not other.any():
            continue
        depth = int(row + np.argmax(other))
        clean = at_level[max(depth - 2, row) : depth].max(initial=0) >= 2 * _BACKGROUND
        whole = at_level[:depth].min() >= _CLEAN
        while depth < limit and _flat(image[depth : depth + 1], tolerance)[0] >= _CLEAN:
            depth += 1  # a line between bar and film
        rest = image[depth::8]
        if (
            clean
            and (depth >= 2 * _MARGIN or (whole and depth >= _MARGIN))
            and depth <= limit
            and at_level[depth : depth + 8].mean() <= _FILM
            and _near(rest, level, near).mean() <= _FILM
        ):
            return depth, level
    return 0, 0.0


def _drawn(image: np.ndarray) -> list[Part]:
    """Lettering, scale bars and label boxes over the film."""
    parts: list[Part] = []
    for level, mask in _candidates(image):
        parts += _parts_of(image, mask, level)
    return _merged(parts)


def _candidates(image: np.ndarray) -> Iterator[tuple[float, np.ndarray]]:
    """Grey levels in which something may be drawn, and their pixels."""
    film = float(np.median(image[::4, ::4]))
    extremes = image.max().item(), image.min().item()
    for level in extremes:
        for contrast in (0.45, 0.7, 1.0):  # thin characters are grey
            near = film + contrast * (level - film)
            near = near if image.dtype.kind == "f" else round(near)
            mask = image >= near if level > film else image <= near
            if np.count_nonzero(mask) <= 0.015 * mask.size:
                break
        if 0 < np.count_nonzero(mask) <= _SPARSE * mask.size:
            yield level, mask
    if image.dtype.kind != "u" or image.dtype.itemsize > 2:
        return
    counts = np.bincount(image.ravel())
    around = ndimage.uniform_filter1d(counts.astype(np.float32), 17, mode="nearest") * 17 - counts
    excess = counts - 5 * around / 16
    fewest = max(60, np.partition(excess, -3)[-3]) if len(excess) > 3 else 60
    for level in np.flatnonzero(excess >= fewest).tolist():
        if level not in extremes and counts[level] <= _SPARSE * image.size:
            yield level, image == level


def _parts_of(image: np.ndarray, mask: np.ndarray, level: float) -> list[Part]:
    """Parts that the pixels of one grey level form."""
    mask = _without_specks(mask)
    pixels, number, boxes = _components(mask)
    areas = np.bincount(number, minlength=len(boxes))
    if not 0 < np.count_nonzero(areas >= _HEIGHT) <= _MAX_COMPONENTS:
        return []
    height, width = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    character = (
        (height >= _HEIGHT)
        & (height <= max(0.12 * image.shape[0], 4 * _HEIGHT))
        & (width <= 3 * height)
    )
    parts, groups, rest = [], _lines(boxes[character]), mask.copy()
    for k in np.flatnonzero(np.maximum(height, width) >= _LENGTH):
        alone = np.zeros_like(mask)
        alone.ravel()[pixels[number == k]] = True
        y0, x0, y1, x1 = boxes[k]
        kind = _solid(alone[y0:y1, x0:x1])
        exact = np.count_nonzero(image[y0:y1, x0:x1][alone[y0:y1, x0:x1]] == level)
        if (
            kind
            and exact >= 0.8 * areas[k]
            and _ends(image, boxes[k], level)
            and _sharp(image, alone, boxes[k], level)
        ):
            reason = f"rectangle of grey level {level:g} with straight borders"
            parts.append(Part(kind, reason, *_padded(boxes[k], image.shape)))
            rest[y0:y1, x0:x1] = False
            groups += _lines(boxes[character & _beside(boxes, boxes[k])], fewest=2)
    lines = [(*group[:, :2].min(axis=0), *group[:, 2:].max(axis=0)) for group in groups]
    for y0, x0, y1, x1 in lines:
        rest[y0:y1, x0:x1] = False
    for group, box in zip(groups, lines, strict=True):
        y0, x0, y1, x1 = box
        drawn = image[y0:y1, x0:x1][mask[y0:y1, x0:x1]]
        exact = np.count_nonzero(drawn == level)
        if exact < max(3, 0.05 * drawn.size) and len(group) < 2 * _CHARACTERS:
            continue
        if _sharp(image, mask, box, level) and _denser(mask, rest, box):
            grown = _absorbed(box, boxes[areas >= _HEIGHT])
            box = grown if _denser(mask, rest, grown) else box
            reason = f"characters of grey level {level:g} in a line"
            parts.append(Part("lettering", reason, *_padded(box, image.shape)))
    return parts


def _without_specks(mask: np.ndarray) -> np.ndarray:
    """Mask without pixels that have fewer than two of eight neighbours: single noisy pixels."""
    padded = np.pad(mask, 1)
    stride = padded.shape[1]
    pixels = np.flatnonzero(padded)
    flat = padded.ravel().view(np.int8)
    steps = (-stride - 1, -stride, -stride + 1, -1, 1, stride - 1, stride, stride + 1)
    neighbours = sum(flat[pixels + step] for step in steps)
    kept = np.zeros_like(padded)
    kept.ravel()[pixels[neighbours >= 2]] = True
    return kept[1:-1, 1:-1].copy()


def _components(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels of a sparse mask, number of the component of each, and boxes (n, 4) of these."""
    width = mask.shape[1]
    pixels = np.flatnonzero(mask)
    column = pixels % width
    place = np.full(mask.size, -1, dtype=np.int32)
    place[pixels] = np.arange(len(pixels))
    first, second = [], []
    for step, inside in (
        (1, column < width - 1),
        (width - 1, column > 0),
        (width, column >= 0),
        (width + 1, column < width - 1),
    ):
        one = np.flatnonzero(inside & (pixels + step < mask.size))
        other = place[pixels[one] + step]
        first.append(one[other >= 0])
        second.append(other[other >= 0])
    pairs = np.concatenate(first), np.concatenate(second)
    graph = csr_array((np.ones(len(pairs[0]), np.int8), pairs), shape=(len(pixels),) * 2)
    count, number = connected_components(graph, directed=False)
    boxes = np.empty((count, 4), dtype=np.int64)
    for side, values in enumerate((pixels // width, column)):
        boxes[:, side], boxes[:, side + 2] = np.iinfo(np.int64).max, -1
        np.minimum.at(boxes[:, side], number, values)
        np.maximum.at(boxes[:, side + 2], number, values)
    boxes[:, 2:] += 1
    return pixels, number, boxes


def _solid(pixels: np.ndarray) -> str | None:
    """Kind of a component that is a rectangle with straight borders."""
    core = pixels
    for _ in range(2):  # without the noisy pixels that touch it
        rows = np.flatnonzero(core.mean(axis=1) >= 0.6)
        if not len(rows):
            return None
        core = core[rows[0] : rows[-1] + 1].T
    if min(core.shape) < 1:
        return None
    height, width = core.shape
    long, thick = max(height, width), min(height, width)
    border = min(core[0].mean(), core[-1].mean(), core[:, 0].mean(), core[:, -1].mean())
    if border < 0.9:
        return None
    if long >= max(_LENGTH, 4 * thick) and core.mean() >= 0.95:
        return "scale bar" if thick >= 2 or long >= 2 * _LENGTH else None
    return "label box" if thick >= 10 and core.mean() >= 0.4 else None


def _ends(image: np.ndarray, box: Sequence[int], level: float, by: int = 8) -> bool:
    """Whether a rectangle ends before the border of the image, and is not part of a longer line."""
    y0, x0, y1, x1 = box
    upright = int(y1 - y0 > x1 - x0)
    start, stop = (x0, y0)[upright], (x1, y1)[upright]
    if start < 3 or stop > image.shape[1 - upright] - 3:
        return False
    if upright:
        ends = image[max(0, y0 - by) : y0 - 2, x0:x1], image[y1 + 2 : y1 + by, x0:x1]
    else:
        ends = image[y0:y1, max(0, x0 - by) : x0 - 2], image[y0:y1, x1 + 2 : x1 + by]
    around = image[max(0, y0 - 3 * by) : y1 + 3 * by, max(0, x0 - 3 * by) : x1 + 3 * by]
    film = float(np.median(around))
    return all(abs(float(end.mean()) - film) <= 0.55 * abs(level - film) for end in ends)


def _sharp(
    image: np.ndarray, mask: np.ndarray, box: Sequence[int], level: float, margin: int = 6
) -> bool:
    """Whether the film begins two pixels beside the pixels of a mask: optics blur it further."""
    y0, x0 = (max(0, side - margin) for side in box[:2])
    y1, x1 = (side + margin for side in box[2:])
    section = image[y0:y1, x0:x1].astype(np.float32)
    distance = ndimage.distance_transform_cdt(~mask[y0:y1, x0:x1], "chessboard")
    beside, film = section[distance == 2], section[distance >= 4]
    if not len(beside) or not len(film):
        return False
    base = float(np.median(film))
    return abs(float(np.median(beside)) - base) <= 0.2 * abs(level - base)


def _denser(mask: np.ndarray, rest: np.ndarray, box: Sequence[int]) -> bool:
    """Whether a mask is much denser in a box than what else of it lies around the box."""
    y0, x0, y1, x1 = box
    around = slice(max(0, 2 * y0 - y1), 2 * y1 - y0), slice(max(0, x0 + y0 - y1), x1 + y1 - y0)
    outside = np.count_nonzero(rest[around]) - np.count_nonzero(rest[y0:y1, x0:x1])
    return mask[y0:y1, x0:x1].mean() >= max(0.05, 4 * outside / rest[around].size)


def _beside(boxes: np.ndarray, bar: np.ndarray) -> np.ndarray:
    """Boxes as near to a scale bar as its label is."""
    y0, x0, y1, x1 = bar
    reach = 1.5 * (boxes[:, 2] - boxes[:, 0])
    middle = (boxes[:, 1] + boxes[:, 3]) / 2
    along = np.abs(middle - (x0 + x1) / 2) <= max(x1 - x0, 100)
    below, above = boxes[:, 0] - y1, y0 - boxes[:, 2]
    return along & (np.maximum(below, above) <= reach) & (np.maximum(below, above) >= 0)


def _lines(boxes: np.ndarray, fewest: int = _CHARACTERS) -> list[np.ndarray]:
    """Groups of boxes that stand in a line like characters."""
    if len(boxes) < fewest:
        return []
    y0, x0, y1, x1 = boxes.T
    height = y1 - y0
    taller, lower = np.maximum.outer(height, height), np.minimum.outer(height, height)
    overlap = np.minimum.outer(y1, y1) - np.maximum.outer(y0, y0)
    gap = np.maximum.outer(x0, x0) - np.minimum.outer(x1, x1)
    near = (overlap >= 0.5 * lower) & (gap <= taller) & (taller <= 2 * lower)
    count, number = connected_components(near, directed=False)
    groups = []
    for group in (boxes[number == k] for k in range(count)):
        slack = max(1.0, 0.1 * float(np.median(group[:, 2] - group[:, 0])))
        bases, tops = _alike(group[:, 2], slack), _alike(group[:, 0], slack)
        if bases >= max(fewest, 0.6 * len(group)) and tops >= max(2, 0.4 * len(group)):
            groups.append(group)
    return groups


def _alike(values: np.ndarray, slack: float) -> int:
    """Largest number of values within `slack` of one of them."""
    return int((np.abs(np.subtract.outer(values, values)) <= slack).sum(axis=1).max())


def _absorbed(box: Sequence[int], boxes: np.ndarray) -> tuple[int, ...]:
    """Box of a line with the words before and after it, and with its dots and signs."""
    y0, x0, y1, x1 = box
    tall = y1 - y0
    height, width = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    middle = (boxes[:, 0] + boxes[:, 2]) / 2
    fits = (height <= 1.6 * tall) & (width <= 6 * tall) & (middle >= y0 - 0.3 * tall)
    boxes = boxes[fits & (middle <= y1 + 0.3 * tall)]
    reach = np.where(boxes[:, 2] - boxes[:, 0] >= 0.4 * tall, 3 * tall, 0.6 * tall)
    for _ in range(12):
        beside = (boxes[:, 1] <= x1 + reach) & (boxes[:, 3] >= x0 - reach)
        found = np.vstack([boxes[beside], [[y0, x0, y1, x1]]])
        grown = *found[:, :2].min(axis=0), *found[:, 2:].max(axis=0)
        if grown == (y0, x0, y1, x1):
            break
        y0, x0, y1, x1 = grown
    return int(y0), int(x0), int(y1), int(x1)


def _padded(box: Sequence[int], shape: tuple[int, int], by: int = 3) -> tuple[int, ...]:
    """Box that is wider by a few pixels, for antialiased borders."""
    y0, x0, y1, x1 = (int(side) for side in box)
    return max(0, y0 - by), max(0, x0 - by), min(shape[0], y1 + by), min(shape[1], x1 + by)


def _merged(parts: Sequence[Part]) -> list[Part]:
    """Parts of which those of one kind that overlap are joined."""
    merged: list[Part] = []
    for part in parts:
        for other in [one for one in merged if one.overlaps(part)]:
            merged.remove(other)
            part = other.joined(part)
        merged.append(part)
    return merged
