"""What the lab measures on masks."""

from spinscope.analysis.objects import equivalent_diameter, label_objects

__all__ = ["equivalent_diameter", "label_objects"]
