"""A model applied to micrographs."""
