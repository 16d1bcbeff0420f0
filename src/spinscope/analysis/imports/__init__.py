"""Import masks and tracks that other programs made: ROI sets, COCO, label images, TrackMate.

Each module reads one format. `open_masks` checks a file against the frames of a recording; the mask
of a frame is drawn when it is requested. `read_tracks` reads tracks.
"""

from __future__ import annotations

from pathlib import Path

from spinscope.analysis.imports.cellpose import SEG, read_cellpose
from spinscope.analysis.imports.coco import read_coco
from spinscope.analysis.imports.label_images import read_label_image
from spinscope.analysis.imports.rois import read_rois
from spinscope.analysis.imports.target import Drawn, Masks, Target
from spinscope.analysis.imports.tracks import read_tracks
from spinscope.errors import SpinscopeError


def open_masks(path: Path | str, target: Target, class_indices: bool = False) -> Masks:
    """Read the masks of a recording, whatever their format.

    Parameters
    ----------
    path : Path or str
        ImageJ ROI set (`.zip`, `.roi`), COCO JSON, label images (TIFF, PNG, OME-Zarr, or a folder
        of them), or `_seg.npy` of cellpose (or a folder of them).
    target : Target
        Frames and classes.
    class_indices : bool
        Whether the pixels of label images are class indices instead of object numbers.

    Returns
    -------
    Masks
        Frame → function that draws its mask.

    Raises
    ------
    SpinscopeError
        For a file that cannot be read or does not fit the frames. Errors of a single mask are
        raised when it is drawn.
    """
    path = Path(path)
    if not path.exists():
        raise SpinscopeError(f"masks {path} do not exist")
    if path.is_file() and not path.stat().st_size:
        raise SpinscopeError(f"{path} is empty; export the masks again")
    suffix = path.suffix.lower()
    if suffix in (".zip", ".roi"):
        return read_rois(path, target)
    if suffix == ".json":
        return read_coco(path, target)
    if suffix == ".npy" or (path.is_dir() and any(path.glob(f"*{SEG}"))):
        return read_cellpose(path, target, class_indices)
    return read_label_image(path, target, class_indices)


__all__ = ["Drawn", "Masks", "Target", "open_masks", "read_tracks"]
