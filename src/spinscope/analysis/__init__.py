"""What the lab measures on masks."""

from spinscope.analysis.objects import equivalent_diameter, label_objects
from spinscope.analysis.shapes import measure, measure_numbered
from spinscope.analysis.units import with_units

__all__ = [
    "equivalent_diameter",
    "label_objects",
    "measure",
    "measure_numbered",
    "with_units",
]
