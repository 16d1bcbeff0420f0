"""Masks for other programs: ROI sets, label images, COCO, tables, pictures and films.

Every kind is a function of one signature, which writes its target whole or not at all and holds one
frame in memory at a time:

    write(target, frames, *, classes, pixel_size=None, interval=None, names=number, min_px=1)

target : file to write, for "png" the folder.   frames : (index, image, mask) in order; image (H, W)
of any real type, or None where it is not at hand ("png" and "mp4" need it); mask (H, W) uint8 of
indices into `classes`, the names of the classes.   pixel_size : m.   interval : s between frames.
names : index → what the frame is called.   min_px : objects of fewer pixels are left out; they are
numbered 1 … n by class and frame, as in the table of objects.
Returns the number of frames written.
Raises SpinscopeError for no frame, frames of unequal size, a class without a name, and a target
that cannot be written.
"""

from spinscope.analysis.exports.coco import write_coco
from spinscope.analysis.exports.film import write_film
from spinscope.analysis.exports.frames import number
from spinscope.analysis.exports.ome import write_class_image, write_object_image
from spinscope.analysis.exports.overlays import write_overlays
from spinscope.analysis.exports.rois import write_rois
from spinscope.analysis.exports.table import write_table

KINDS = {
    "roi": write_rois,
    "labels": write_object_image,
    "classes": write_class_image,
    "coco": write_coco,
    "csv": write_table,
    "png": write_overlays,
    "mp4": write_film,
}
"""Name of a kind → the function that writes it."""

SUFFIXES = {
    "roi": ".rois.zip",
    "labels": ".objects.ome.tif",
    "classes": ".classes.ome.tif",
    "coco": ".coco.json",
    "csv": ".objects.csv",
    "png": ".overlays",
    "mp4": ".mp4",
}
"""What to append to a recording's name."""

__all__ = ["KINDS", "SUFFIXES", "number"]
