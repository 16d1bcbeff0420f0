"""Boundaries that the frame itself places: half contrast, whatever the network's mask."""

import numpy as np
import pytest
from scipy import ndimage

from spinscope.analysis import measure
from spinscope.inference.edges import half_contrast_edges
from spinscope.inference.geometry import Geometry

SHAPE, SCALE = (512, 672), 1 / 8


def ellipse(major: float, minor: float, place: tuple[float, float] = (260, 330)) -> np.ndarray:
    """Mask (H, W) of an ellipse with axes in px."""
    y, x = np.ogrid[: SHAPE[0], : SHAPE[1]]
    return np.hypot((y - place[0]) / (minor / 2), (x - place[1]) / (major / 2)) < 1


def frame(mask: np.ndarray, noise: float, light: float = 0.0, seed: int = 0) -> np.ndarray:
    """Frame (H, W) with dark objects of contrast 1, a wall of 1.5 px, noise and uneven light."""
    wall = ndimage.gaussian_filter(mask.astype(float), 1.5)
    slope = light * np.linspace(-1, 1, SHAPE[1])
    return np.random.default_rng(seed).normal(slope - wall, noise)


def coarse(mask: np.ndarray) -> np.ndarray:
    """Mask (h, w) as a network at `SCALE` would draw it."""
    return Geometry(scale=SCALE).apply(mask.astype(np.float32)) > 0.5


def edges_of(image: np.ndarray, found: np.ndarray):
    """Edges of an image near the boundaries of a mask at `SCALE`."""

    def scaled(scale: float) -> np.ndarray:
        return image if scale == 1 else Geometry(scale=scale).apply(image)

    return half_contrast_edges(scaled, found, SCALE, image.shape)


def axes_of(mask: np.ndarray) -> np.ndarray:
    """Axes (n, 2) of the objects of a mask in px."""
    objects = measure(mask, min_px=4)
    return np.stack([objects["major_px"], objects["minor_px"]], axis=1)


@pytest.mark.parametrize("noise, within", [(0.3, 0.002), (1.0, 0.005), (3.0, 0.02)])
@pytest.mark.parametrize("grown", [-2, 0, 2])
def test_the_axes_are_those_of_the_frame(noise, within, grown):
    """A mask that is up to two pixels of the network too large or small does no harm."""
    truth = ellipse(300, 240)
    found = coarse(truth)
    change = ndimage.binary_dilation if grown > 0 else ndimage.binary_erosion
    found = change(found, iterations=abs(grown)) if grown else found
    edges = edges_of(frame(truth, noise, light=1.0), found)
    mask = np.where(edges.band, edges.contrast > 0.5, Geometry(scale=SCALE).nearest(found, SHAPE))
    assert axes_of(mask) == pytest.approx(axes_of(truth), rel=within)


def test_a_shadow_is_no_object():
    """Uneven light has no wall as steep as those of the domains beside it."""
    truth = ellipse(200, 180, (256, 200))
    found = coarse(truth) | coarse(ellipse(120, 160, (256, 560)))
    slow = 0.6 * np.exp(-((np.arange(SHAPE[1]) - 560) ** 2) / (2 * 90.0**2))
    image = frame(truth, 0.5) - slow
    edges = edges_of(image, found)
    mask = np.where(edges.band, edges.contrast > 0.5, Geometry(scale=SCALE).nearest(found, SHAPE))
    assert axes_of(mask) == pytest.approx(axes_of(truth), rel=0.01)


def test_thin_objects_and_noise_keep_their_boundary():
    """Where the frame shows nothing, or an object is thinner than five pixels of the network."""
    thin, noise = ellipse(60, 30), np.random.default_rng(1).normal(0, 1, SHAPE)
    assert edges_of(frame(thin, 0.2), coarse(thin)) is None
    assert edges_of(noise, coarse(ellipse(300, 240))) is None
    assert edges_of(noise, np.zeros((64, 84), bool)) is None
