"""Segmentation of whole recordings into masks and tables."""
