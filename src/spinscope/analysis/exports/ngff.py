"""Frames with their masks as OME-Zarr."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spinscope.analysis.exports.frames import Frames
from spinscope.analysis.objects import label_objects
from spinscope.classes import COLOURS
from spinscope.recordings.ome_zarr import ZarrWriter


def write_zarr(target: Path, frames: Frames) -> None:
    """Write an OME-Zarr image (0.5) with the labels `classes` and `objects`.

    The image is a time series (axes t, y, x) of 16 bit, 65535 white. `classes` holds the class
    index of each pixel, and one label per class of objects, as `skyrmion`, the number of the object
    of each pixel. Scales are in micrometres and seconds where they are known.

    References
    ----------
    ngff.openmicroscopy.org/0.5
    """
    writer = ZarrWriter(target, frames.pixel_size, frames.interval)
    colours = {k: COLOURS[k] for k in range(1, len(frames.classes))}
    for _, image, mask in frames:
        grey = np.round(np.clip(image, 0, 1) * np.float32(65535)).astype(np.uint16)
        writer.add("", grey)
        writer.add("classes", mask, colours)
        for class_, name in frames.object_classes:
            numbers = label_objects(mask == class_, frames.min_px)[0]
            writer.add(name, numbers.astype(np.uint32), {})
    writer.finish()
