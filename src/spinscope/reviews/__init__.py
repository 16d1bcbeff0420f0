"""Corrections of masks as versioned data, and training with them."""

from spinscope.reviews.retraining import retrain

__all__ = ["retrain"]
