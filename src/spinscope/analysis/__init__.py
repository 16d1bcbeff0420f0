"""Measurements on masks: shapes, lattice order, tracks and their uncertainty."""

from spinscope.analysis.lattice import lattice_order, lattice_summary, pair_correlation
from spinscope.analysis.objects import equivalent_diameter, label_objects, shared_pixels
from spinscope.analysis.shapes import measure, measure_numbered
from spinscope.analysis.tracks import (
    assign_tracks,
    default_search_range,
    diffusion,
    lifetimes,
    link,
    mean_lifetime,
    mean_squared_displacement,
    subtract_drift,
    track_diffusion,
    track_msd,
)
from spinscope.analysis.uncertainty import frame_quantities, measure_views
from spinscope.analysis.units import with_units

__all__ = [
    "assign_tracks",
    "default_search_range",
    "diffusion",
    "equivalent_diameter",
    "frame_quantities",
    "label_objects",
    "lattice_order",
    "lattice_summary",
    "lifetimes",
    "link",
    "mean_lifetime",
    "mean_squared_displacement",
    "measure",
    "measure_numbered",
    "measure_views",
    "pair_correlation",
    "shared_pixels",
    "subtract_drift",
    "track_diffusion",
    "track_msd",
    "with_units",
]
