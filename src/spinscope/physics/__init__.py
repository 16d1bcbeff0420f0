"""Pure functions of arrays: films, fields, domain patterns, Kerr and Lorentz image formation."""

from spinscope.physics.brownian import brownian_frame, brownian_skyrmions
from spinscope.physics.domains import domain_pattern, free_energy, growth_rate
from spinscope.physics.kerr import Defect, KerrOptics, kerr_image, kerr_label

__all__ = [
    "Defect",
    "KerrOptics",
    "brownian_frame",
    "brownian_skyrmions",
    "domain_pattern",
    "free_energy",
    "growth_rate",
    "kerr_image",
    "kerr_label",
]
