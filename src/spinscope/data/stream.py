"""Former name of `spinscope.recordings`."""

from spinscope.recordings import image_of
from spinscope.recordings import open_recording as open_stream

__all__ = ["image_of", "open_stream"]
