"""Models applied to images: probabilities and masks."""
