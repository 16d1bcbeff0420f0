"""Frames of a file, a folder or a camera, with their calibration."""

from spinscope.recordings.base import Stream, StreamError, image_of
from spinscope.recordings.opening import open_stream, watch

__all__ = ["Stream", "StreamError", "image_of", "open_stream", "watch"]
