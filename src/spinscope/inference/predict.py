"""From an image to class probabilities and a mask.

One path serves every caller: standardise the image, rotate and scale it to the geometry of the
training images, then for each augmented view pad, apply the network and undo the view, and average
over the views. Images larger than the tiling allows take the same path tile by tile. An ensemble
averages the views of several networks and is used like a single one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spinscope.classes import SKYRMION
from spinscope.errors import SpinscopeError
from spinscope.images import moments, standardise
from spinscope.inference.engine import Engine, KerasEngine, Name, Precision, open_engine
from spinscope.inference.geometry import Geometry
from spinscope.inference.level import LEVEL_SD, at_level, boundary_rim
from spinscope.inference.rules import Upscale, doubtful, drop_low_peaks, most_probable
from spinscope.inference.tiling import Tiling, tiled
from spinscope.inference.views import VIEWS, VIEWS_OF_SYMMETRY, View, mean_of, transform, undo

Band = tuple[slice, np.ndarray]
"""Rows of an image and their class probabilities, (h, W, C) float32."""


class Segmented(NamedTuple):
    """Mask of an image and what is known of its accuracy.

    Attributes
    ----------
    mask : (H, W) uint8 array
        Class indices.
    doubt : float
        Fraction of pixels whose highest class probability is below `DOUBT`.
    views : list of (H, W) uint8 arrays
        Mask of each augmented view; empty for a single view, and where there are tiles.
    rim : (H, W) bool array or None
        Pixels of skyrmions that a level one standard deviation higher leaves out, see
        `boundary_rim`; None where the probability is unknown.
    """

    mask: np.ndarray
    doubt: float
    views: list[np.ndarray]
    rim: np.ndarray | None


@dataclass(frozen=True)
class Predictor:
    """One network, applied to images.

    Parameters
    ----------
    engine : Engine
        Computes the network.
    info : dict
        Description of the model; must hold `classes` and `size_multiple`.
    tiling : Tiling
        Size of the tiles.
    geometry : Geometry, optional
        Rotation and scaling applied before inference. Where it is None, the model's `upscale` rule
        decides.
    level : float, optional
        Probability from which a pixel is a skyrmion. Where it is None, the most probable class
        counts. A model may store its own.
    level_sd : float
        Standard deviation of the level in logits, which gives the uncertainty of the boundary.
    inverted : bool
        Whether images are inverted before inference: bright skyrmions on a dark film.
    doubted : bool
        Whether frames may show nothing but noise, so that `segment_sample` checks each of them.
    """

    engine: Engine
    info: dict[str, Any]
    tiling: Tiling = field(default_factory=Tiling)
    geometry: Geometry | None = None
    level: float | None = None
    level_sd: float = LEVEL_SD
    inverted: bool = False
    doubted: bool = False

    @classmethod
    def load(
        cls,
        folder: Path | str,
        engine: Name = "keras",
        precision: Precision = "auto",
        *,
        streams: int = 1,
        tiling: Tiling | None = None,
        axis_deg: float | None = None,
        scale: float | None = None,
    ) -> Predictor:
        """Load a model folder, its checksums verified.

        Parameters
        ----------
        folder : Path
            Model folder.
        engine : {"keras", "openvino", "auto"}
            Keras is the reference, "auto" the fastest (see `open_engine`).
        precision : {"auto", "bf16", "f32"}
            Precision of OpenVINO.
        streams : int
            Images that OpenVINO computes at once, for callers with as many threads.
        tiling : Tiling, optional
            Size of the tiles, by default 1024 px with an overlap of 128 px.
        axis_deg, scale : float, optional
            See `with_geometry`.

        Raises
        ------
        SpinscopeError
            For a damaged or missing folder, and for a tilt axis of a model without one.
        """
        network, info = open_engine(folder, engine, precision, streams)
        made = cls(network, info, tiling or Tiling(), level=info.get("level"))
        return made.with_geometry(axis_deg, scale)

    @classmethod
    def of(cls, model: Any, info: dict[str, Any]) -> Predictor:
        """Wrap a Keras model; `info` must hold `classes` and `size_multiple`."""
        return cls(KerasEngine(model), info, level=info.get("level"))

    def probabilities(self, image: np.ndarray, tta: int = 1) -> np.ndarray:
        """Return the class probabilities of an image, averaged over augmented views.

        Parameters
        ----------
        image : (H, W) array
            Image of any type and size; brightness and contrast do not matter.
        tta : {1, 2, 3, 8}
            Number of augmented views, of which those are averaged that the model's symmetry
            allows.

        Returns
        -------
        (H, W, C) float32 array
            Probability of each class.

        Raises
        ------
        SpinscopeError
            For another number of views.
        """
        bands = [band for _, band in self.bands(image, tta)]
        return bands[0] if len(bands) == 1 else np.concatenate(bands)

    def classes(self, image: np.ndarray, tta: int = 1, out: np.ndarray | None = None) -> np.ndarray:
        """Return the mask of an image, (H, W) uint8 class indices, written to `out` if given."""
        return self.segment(image, tta, out)[0]

    def segment(
        self, image: np.ndarray, tta: int = 1, out: np.ndarray | None = None
    ) -> tuple[np.ndarray, float]:
        """Return the mask of an image and the fraction of doubtful pixels.

        Parameters
        ----------
        image : (H, W) array
            Image of any type and size.
        tta : {1, 2, 3, 8}
            Number of augmented views.
        out : (H, W) uint8 array, optional
            Array that the mask is written to.

        Returns
        -------
        mask : (H, W) uint8 array
            Class indices.
        doubt : float
            Fraction of pixels whose highest probability is below `DOUBT`.
        """
        mask = np.empty(image.shape, dtype=np.uint8) if out is None else out
        return mask, self._fill(image, tta, mask)

    def segment_views(self, image: np.ndarray, tta: int = 1) -> Segmented:
        """Return mask and doubt as `segment` does, the mask of each augmented view, and the rim.

        An image that is computed in tiles has no masks of views.
        """
        if not self.tiling.fits(image.shape):
            mask, rim = np.empty(image.shape, np.uint8), np.empty(image.shape, bool)
            return Segmented(mask, self._fill(image, tta, mask, rim), [], rim)
        views = list(self.views(image, tta))
        mean = mean_of(views)
        mask, highest = self._decide(mean, image.shape)
        masks = [self._decide(view, image.shape)[0] for view in views] if len(views) > 1 else []
        return Segmented(mask, doubtful(highest), masks, self._rim(mean, mask))

    def mask_and_probability(
        self, image: np.ndarray, tta: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the mask of an image and the probability of skyrmion, before the peak rule.

        Parameters
        ----------
        image : (H, W) array
            Image of any type and size.
        tta : {1, 2, 3, 8}
            Number of augmented views.

        Returns
        -------
        mask : (H, W) uint8 array
            Class indices.
        probability : (H, W) float32 array
            Probability of skyrmion.
        """
        probabilities = self.probabilities(image, tta)
        return self._decide(probabilities, image.shape)[0], probabilities[..., SKYRMION]

    def with_level(self, level: float | None, sd: float = LEVEL_SD) -> Predictor:
        """Return this predictor with the boundary of skyrmions at another level.

        Parameters
        ----------
        level : float or None
            Probability from which a pixel is a skyrmion, None for the most probable class.
        sd : float
            Standard deviation of the level in logits.

        Raises
        ------
        SpinscopeError
            For a level that is not between 0 and 1.
        """
        if level is not None and not 0 < level < 1:
            raise SpinscopeError(f"level (={level:g}) must be a probability between 0 and 1")
        return replace(self, level=level, level_sd=sd)

    def with_geometry(self, axis_deg: float | None = None, scale: float | None = None) -> Predictor:
        """Return this predictor for recordings with another tilt axis or another scale.

        Parameters
        ----------
        axis_deg : float, optional
            Tilt axis of the recording in degrees, from the columns' direction (+x) to the rows'
            (+y). Images are rotated until it lies as in the training images.
        scale : float, optional
            Ratio between network and image pixels.

        Raises
        ------
        SpinscopeError
            For a tilt axis of a model that was trained without one.
        """
        return replace(self, geometry=Geometry.for_model(self.info, axis_deg, scale))

    def under(self, scale: float | None, inverted: bool) -> Predictor:
        """Return this predictor for recordings of another scale and polarity.

        Parameters
        ----------
        scale : float or None
            Ratio between network and image pixels; None leaves it as it is.
        inverted : bool
            Whether the skyrmions are bright on a dark film.
        """
        geometry = self.geometry
        if scale is not None:
            geometry = Geometry(geometry.rotate_deg if geometry else 0.0, scale)
        return replace(self, geometry=geometry, inverted=inverted)

    def transforms(self, tta: int = 1) -> tuple[View, ...]:
        """Return the augmented views among `tta` that the model's symmetry allows.

        Raises
        ------
        SpinscopeError
            For a number of views other than 1, 2, 3 or 8.
        """
        if tta not in VIEWS:
            raise SpinscopeError(f"tta (={tta}) must be 1, 2, 3 or 8")
        allowed = VIEWS_OF_SYMMETRY[self.info.get("symmetry", "square")]
        return tuple(view for view in VIEWS[tta] if view in allowed)

    def views(self, image: np.ndarray, tta: int = 1) -> Iterator[np.ndarray]:
        """Yield the class probabilities (H, W, C) of each augmented view of an image.

        The `upscale` rule of the model applies where no geometry was asked for; an image that
        becomes larger than a tile is computed in tiles.
        """
        standard, geometry, known = self._standard(image), self.geometry, {}
        if geometry is None and (rule := Upscale.of(self.info)):
            plain = self.transforms(tta)[0]
            known[plain] = first = self._apply(standard, plain)
            if rule.applies(most_probable(first)[0] == SKYRMION):
                geometry, known = Geometry(scale=rule.scale), {}
        if geometry is not None:
            standard = geometry.apply(standard)
        for found in self._views(standard, tta, known):
            yield found if geometry is None else geometry.undo(found, image.shape)

    def grid_views(self, standard: np.ndarray, tta: int = 1) -> Iterator[np.ndarray]:
        """Yield the class probabilities of each augmented view, without geometry and rules.

        Parameters
        ----------
        standard : (H, W) array
            Standardised image with dark skyrmions, on the grid of the network.
        tta : {1, 2, 3, 8}
            Number of augmented views.

        Yields
        ------
        (H, W, C) float32 array
            Class probabilities.
        """
        return self._views(standard, tta, {})

    def _views(
        self, standard: np.ndarray, tta: int, known: dict[View, np.ndarray]
    ) -> Iterator[np.ndarray]:
        """Class probabilities of each view of a standardised image, in tiles if it is large."""
        for view in self.transforms(tta):
            found = known.pop(view, None)
            if found is None and self.tiling.fits(standard.shape):
                found = self._apply(standard, view)
            elif found is None:
                bands = self._tiled(lambda *w, v=view: self._apply(standard[w], v), standard.shape)
                found = np.concatenate([band for _, band in bands])
            yield found

    def bands(self, image: np.ndarray, tta: int = 1) -> Iterator[Band]:
        """Yield the class probabilities of an image in bands of rows, one row of tiles each.

        The memory needed does not depend on the height of the image. An image that fits the
        tiling, or is rotated or scaled, is a single band.

        Parameters
        ----------
        image : (H, W) array
            Image of any type and size.
        tta : {1, 2, 3, 8}
            Number of augmented views.

        Yields
        ------
        rows : slice
            Rows of the band.
        probabilities : (h, W, C) float32 array
            Class probabilities.
        """
        if self.tiling.fits(image.shape):
            yield slice(0, image.shape[0]), mean_of(self.views(image, tta))
        else:
            yield from self._tiled_bands(image, tta)

    def _tiled_bands(self, image: np.ndarray, tta: int, grid: int | None = None) -> Iterator[Band]:
        """Bands of an image in tiles that start at multiples of `grid` pixels."""
        statistics, views = moments(image), self.transforms(tta)

        def mean_view(standard: np.ndarray) -> np.ndarray:
            return mean_of(self._apply(standard, view) for view in views)

        if self.geometry is None:
            yield from self._tiled(
                lambda *window: mean_view(self._standard(image[window], statistics)),
                image.shape,
                grid,
            )
        else:
            standard = self.geometry.apply(self._standard(image, statistics))
            bands = self._tiled(lambda *window: mean_view(standard[window]), standard.shape, grid)
            found = np.concatenate([band for _, band in bands])
            yield slice(0, image.shape[0]), self.geometry.undo(found, image.shape)

    def _standard(
        self, image: np.ndarray, statistics: tuple[float, float] | None = None
    ) -> np.ndarray:
        """Standardised image with dark skyrmions."""
        standard = standardise(image, statistics)
        return -standard if self.inverted else standard

    def _rim(self, probabilities: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Pixels of skyrmions that a level one standard deviation higher leaves out."""
        return boundary_rim(probabilities, mask, self.level, self.level_sd)

    def _fill(
        self, image: np.ndarray, tta: int, mask: np.ndarray, rim: np.ndarray | None = None
    ) -> float:
        """Write mask and rim of an image, band by band; return the fraction of doubtful pixels."""
        doubt = 0.0
        for rows, band in self.bands(image, tta):
            mask[rows], highest = self._decide(band, image.shape)
            if rim is not None:
                rim[rows] = self._rim(band, mask[rows])
            doubt += doubtful(highest) * highest.size / mask.size
            del band  # free the memory before the next band is made
        return doubt

    def _decide(
        self, probabilities: np.ndarray, shape: tuple[int, ...]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Class and probability of each pixel; objects of whole images must pass the peak rule."""
        mask, highest = most_probable(probabilities)
        if self.level is not None:
            mask = at_level(probabilities, self.level)
        min_peak_probability = self.info.get("min_peak_probability")
        if min_peak_probability and mask.shape == shape:  # a band may cut objects
            drop_low_peaks(mask, probabilities[..., SKYRMION], min_peak_probability)
        return mask, highest

    def _tiled(self, apply, shape: tuple[int, int], grid: int | None = None) -> Iterator[Band]:
        """Bands of a standardised image, `apply` called on each of its tiles."""
        grid, classes = grid or self.info["size_multiple"], len(self.info["classes"])
        return tiled(apply, shape, self.tiling, grid, classes, self.engine.streams)

    def _apply(self, standard: np.ndarray, view: View) -> np.ndarray:
        """Class probabilities of one augmented view: transform, pad, apply the network, undo."""
        image = transform(standard, view)
        height, width = image.shape
        pad = [(0, -side % self.info["size_multiple"]) for side in image.shape]
        if any(after for _, after in pad):
            image = np.pad(image, pad, mode="symmetric")
        found = self.engine(np.ascontiguousarray(image)[None, ..., None])
        return undo(found[0, :height, :width], view)


@dataclass(frozen=True)
class Ensemble(Predictor):
    """Several networks as one: the mean over all their augmented views.

    Engine, tiling and inference rules are those of the first network; see `Ensemble.of`.
    """

    members: tuple[Predictor, ...] = ()

    @classmethod
    def of(cls, members: Sequence[Predictor]) -> Ensemble:
        """Combine networks that know the same classes.

        Raises
        ------
        SpinscopeError
            Where the networks have different classes.
        """
        classes = {tuple(member.info["classes"]) for member in members}
        if len(classes) != 1:
            raise SpinscopeError(f"models must know the same classes, not {sorted(classes)}")
        first = members[0]
        made = cls(
            first.engine,
            first.info,
            first.tiling,
            inverted=first.inverted,
            members=tuple(members),
        )
        return made.with_level(first.level, first.level_sd)

    def with_geometry(self, axis_deg: float | None = None, scale: float | None = None) -> Ensemble:
        """Return this ensemble for recordings with another tilt axis or another scale."""
        members = [member.with_geometry(axis_deg, scale) for member in self.members]
        return self.of(members).with_level(self.level, self.level_sd)

    def under(self, scale: float | None, inverted: bool) -> Ensemble:
        """Return this ensemble for recordings of another scale and polarity."""
        members = [member.under(scale, inverted) for member in self.members]
        return self.of(members).with_level(self.level, self.level_sd)

    def transforms(self, tta: int = 1) -> tuple[View, ...]:
        """Return the augmented views of the network with the lowest symmetry."""
        return min((member.transforms(tta) for member in self.members), key=len)

    def views(self, image: np.ndarray, tta: int = 1) -> Iterator[np.ndarray]:
        """Yield the class probabilities of each augmented view by each network."""
        return chain.from_iterable(member.views(image, tta) for member in self.members)

    def grid_views(self, standard: np.ndarray, tta: int = 1) -> Iterator[np.ndarray]:
        """Yield the class probabilities of each augmented view by each network."""
        return chain.from_iterable(member.grid_views(standard, tta) for member in self.members)

    def _tiled_bands(self, image: np.ndarray, tta: int, grid: int | None = None) -> Iterator[Band]:
        """Mean class probabilities of an image in tiles, which all networks share."""
        grid = math.lcm(*(member.info["size_multiple"] for member in self.members))
        together = (member._tiled_bands(image, tta, grid) for member in self.members)
        for bands in zip(*together, strict=True):
            yield bands[0][0], mean_of(band for _, band in bands)


def combined(members: Sequence[Predictor]) -> Predictor:
    """Return a single network as it is, several as an ensemble."""
    return members[0] if len(members) == 1 else Ensemble.of(members)
