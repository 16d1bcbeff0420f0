"""Images from magnetisation: domain patterns, devices and Kerr micrographs with exact labels."""

from spinscope.physics.brownian import brownian_frame, brownian_skyrmions
from spinscope.physics.domains import domain_pattern, free_energy, growth_rate
from spinscope.physics.kerr import Defect, KerrOptics, kerr_image, kerr_label
from spinscope.physics.kerr_corpus import kerr_frames, make_kerr_corpus, preview

__all__ = [
    "Defect",
    "KerrOptics",
    "brownian_frame",
    "brownian_skyrmions",
    "domain_pattern",
    "free_energy",
    "growth_rate",
    "kerr_frames",
    "kerr_image",
    "kerr_label",
    "make_kerr_corpus",
    "preview",
]
