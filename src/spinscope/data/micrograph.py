"""Former name of `spinscope.images`."""

from spinscope.images import check_image

__all__ = ["check_image"]
