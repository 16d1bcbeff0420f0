"""Keras builders, one architecture per file, losses and model folders."""
