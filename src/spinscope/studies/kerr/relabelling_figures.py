"""Figures of weak relabelling, as Matplotlib figures that the caller saves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from spinscope.classes import DEFECT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RECOVERED, MISSED, MADE_UP = (0.20, 0.75, 0.25), (0.15, 0.40, 0.95), (1.0, 0.55, 0.0)


def recovery_figure(
    frames: Sequence[tuple[str, np.ndarray, np.ndarray, np.ndarray]],
) -> Figure:
    """Frames as they are, and with their defects: recovered green, missed blue, made up orange.

    frames : (title, image (H, W) in [0, 1], true label (H, W), new label (H, W)), a row each.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4 * max(1, len(frames))), layout="constrained", dpi=110)
    for axes, (title, image, true, found) in zip(
        figure.subplots(max(1, len(frames)), 2, squeeze=False), frames, strict=False
    ):
        picture = np.repeat(image[..., None], 3, axis=-1)
        axes[0].imshow(picture, vmin=0, vmax=1)
        axes[0].set_title(title, fontsize="small")
        marked, a, b = picture.copy(), true == DEFECT, found == DEFECT
        for where, colour in ((a & b, RECOVERED), (a & ~b, MISSED), (b & ~a, MADE_UP)):
            marked[where] = 0.35 * marked[where] + 0.65 * np.array(colour)
        axes[1].imshow(marked)
        axes[1].set_title(f"defects: {a.sum()} px labelled, {b.sum()} px found", fontsize="small")
        for panel in axes:
            panel.set_axis_off()
    return figure


def mcc_figure(mcc: Mapping[str, Sequence[float]]) -> Figure:
    """MCC of every student, a column a kind of labels, a line a seed; the mean as a bar."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 3.4), layout="constrained", dpi=110)
    axes = figure.subplots()
    table = np.array(list(mcc.values()))  # (kinds, seeds)
    axes.plot(table, "o-", color="#9aa3ad", lw=0.8, ms=4)
    axes.hlines(table.mean(axis=1), np.arange(len(table)) - 0.2, np.arange(len(table)) + 0.2)
    axes.set_xticks(range(len(table)), [f"{kind} labels" for kind in mcc])
    axes.set(ylabel="MCC, validation", xlim=(-0.5, len(table) - 0.5))
    axes.grid(alpha=0.3)
    return figure
