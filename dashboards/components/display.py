"""Display of images on a page: kind of display, opacity, zoom, images side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import streamlit as st

from components import images


def choose(
    kinds: Sequence[str], default: str, *, with_opacity: str, prefix: str = ""
) -> tuple[str, float, Callable[[np.ndarray], np.ndarray]]:
    """Choose the kind of display, the opacity of masks, and a window to zoom into.

    Parameters
    ----------
    kinds : sequence of str
        Kinds of display.
    default : str
        Kind that is shown by default.
    with_opacity : str
        Kind with an opacity.
    prefix : str, default ""
        Prefix of the keys of the widgets.

    Returns
    -------
    str, float, callable
        Kind of display; opacity from 0 to 1; array (H, W, ...) → its window.
    """
    left, middle, right = st.columns([3, 2, 2], vertical_alignment="bottom", gap="large")
    kind = left.segmented_control("Display", kinds, default=default, key=f"{prefix}display")
    opacity = middle.slider(
        "Opacity, %", 0, 100, 45, 5, key=f"{prefix}opacity", disabled=kind != with_opacity
    )
    zoom = right.select_slider("Zoom", [1, 2, 4, 8], key=f"{prefix}zoom")
    x = y = 50
    if zoom > 1:
        across, down = st.columns(2)
        x = across.slider("Horizontal position, %", 0, 100, 50, key=f"{prefix}x")
        y = down.slider("Vertical position, %", 0, 100, 50, key=f"{prefix}y")
    return kind or default, opacity / 100, lambda array: images.crop(array, zoom, x / 100, y / 100)


def side_by_side(shown: Mapping[str, np.ndarray]) -> None:
    """Show caption → image (H, W, 3) side by side."""
    for column, (caption, image) in zip(st.columns(len(shown)), shown.items(), strict=True):
        column.image(images.enlarged(image), caption=caption, width="stretch")
