"""Helpers of the figures of all studies."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = ("#2a6f97", "#e07a1f", "#5a8f3c", "#8e5ea2", "#b5483a")


def new_figure(width: float, height: float) -> Figure:
    """Empty figure of a size in inches.

    Parameters
    ----------
    width : float
        Width in inches.
    height : float
        Height in inches.
    """
    return Figure(figsize=(width, height), layout="constrained", dpi=110)


def finish(axes: Axes, legend: str | None = "small", **labels: Any) -> None:
    """Label the axes of a panel and add a grid and a legend.

    Parameters
    ----------
    axes : Axes
        Axes of a figure.
    legend : str, optional
        Font size of the legend.
    """
    axes.set(**labels)
    axes.grid(alpha=0.3)
    if legend:
        axes.legend(fontsize=legend)


def colour(number: int) -> str:
    """Colour of a model by its number.

    Parameters
    ----------
    number : int
        Number of the model.
    """
    return COLOURS[number % len(COLOURS)]


def png(figure: Figure | bytes, dpi: int = 150) -> bytes:
    """Figure as the bytes of a PNG file; bytes are returned as they are.

    Parameters
    ----------
    figure : Figure or bytes
        The figure.
    dpi : int
        Resolution in dots per inch.
    """
    if isinstance(figure, bytes):
        return figure
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()
