"""spinscope: from magnetic micrographs to promoted models and masks in the lab."""

__version__ = "0.1.0"
