"""Stacks of raw frames for benchmarks."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write_stack(path: Path, frames: np.ndarray, count: int) -> None:
    """Write a TIFF stack of `count` frames that repeats `frames`."""
    import tifffile

    with tifffile.TiffWriter(path, bigtiff=True) as file:
        file.write(
            (frames[k % len(frames)] for k in range(count)),
            shape=(count, *frames.shape[1:]),
            dtype=frames.dtype,
            photometric="minisblack",
        )
