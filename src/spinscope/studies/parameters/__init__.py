"""Magnetic parameters from domain images across imaging scales: Watanabe et al. (2024)."""

from spinscope.studies.base import Part

PARTS: tuple[Part, ...] = ()
