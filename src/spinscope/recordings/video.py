"""Frames of a video as luma: AVI, MP4, MOV or MKV, in any codec that FFmpeg decodes."""

from __future__ import annotations

import bisect
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spinscope.images import MAX_PIXELS
from spinscope.recordings.base import (
    Recording,
    RecordingError,
    check_size,
    fingerprint,
)

if TYPE_CHECKING:
    import av

# Only containers of frames: a playlist named like a video could open other files.
_CONTAINER = {"format_whitelist": "avi,mov,mp4,matroska,webm", "protocol_whitelist": "file"}
# A damaged frame is an error, not a guess from its neighbours.
_CODEC = {"err_detect": "explode+crccheck+bitstream+buffer", "max_pixels": str(MAX_PIXELS)}

_AHEAD = 64
"""A frame at most this far ahead is reached by decoding those between, not by seeking."""


class VideoRecording(Recording):
    """Frames of a video; grey pixels unchanged, colours as luma of full range.

    Frames of more than 8 bit are uint16 of full scale 65535. `interval` is one over the frame rate
    of the file, which may differ from the camera's.
    """

    def __init__(self, path: Path):
        self.path = path
        self.name = path.stem
        self.fingerprint = fingerprint([path])
        self._lock = threading.Lock()
        self._cursor: tuple[int, Iterator[tuple[int, np.ndarray]]] | None = None
        self._table: list[tuple[int, int, bool]] | None = None
        self._count = 0
        with self._open() as (_, video):
            codec = video.codec_context
            check_size(path, codec.height, codec.width)
            self.shape = (codec.height, codec.width)
            self._deep = codec.format is not None and codec.format.components[0].bits > 8
            self.scale = 65535.0 if self._deep else 255.0
            rate = video.average_rate or video.guessed_rate
            self.interval = float(1 / rate) if rate else None
            self._promised = video.frames
        if not self._promised:  # Matroska stores no number of frames
            self._packets()
        self.n = self._promised or self._count

    def stored(self, index: int) -> np.ndarray:
        """Read the pixels (H, W) of one frame; fast where it follows the one read before."""
        self.check_index(index)
        with self._lock:
            if self._cursor is None or not 0 <= index - self._cursor[0] < _AHEAD:
                self._cursor = index, self.frames(index)
            at, frames = self._cursor
            self._cursor = None  # stays None where the next line raises
            for at, pixels in frames:
                if at == index:
                    self._cursor = index + 1, frames
                    return pixels
        raise RecordingError(f"{self.path} ends before frame {index} of {self.n}", index)

    def frames(self, start: int = 0) -> Iterator[tuple[int, np.ndarray]]:
        """Iterate over (index, pixels) in order.

        Raises
        ------
        RecordingError
            At a damaged frame, and at one that is coded as a difference from it.
        """
        import av
        from av.video.reformatter import VideoReformatter

        reformatter, index, seen = VideoReformatter(), 0, 0
        with self._open() as (container, video):
            jumped = bool(start) and self._jump(container, video, start)
            try:
                for packet in container.demux(video):
                    seen += packet.size > 0
                    for frame in packet.decode():
                        if jumped:
                            index, jumped = self._place(frame.pts, start), False
                        if index >= start:
                            yield index, self._luma(frame, index, reformatter)
                        index += 1
            except av.error.FFmpegError as error:
                for frame in self._delayed(video, index):
                    if index >= start:
                        yield index, self._luma(frame, index, reformatter)
                    index += 1
                index = max(index, start)
                raise RecordingError(
                    f"{self.path}: frame {index} of {self.n} cannot be decoded: {error.strerror}",
                    index,
                ) from error
        if not start and seen < self._promised:
            raise RecordingError(
                f"{self.path} is cut off: it ends after {index} of {self.n} frames", index
            )

    @contextlib.contextmanager
    def _open(self) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
        import av

        try:
            container = av.open(str(self.path.resolve()), options=_CONTAINER)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise RecordingError(
                f"{self.path} is not a readable video: {getattr(error, 'strerror', error)}"
            ) from error
        with container:
            if not container.streams.video:
                raise RecordingError(f"{self.path} holds no video")
            video = container.streams.video[0]
            if video.codec_context is None:
                raise RecordingError(f"{self.path}: its codec is not known to this FFmpeg")
            video.codec_context.options = _CODEC
            yield container, video

    def _packets(self) -> list[tuple[int, int, bool]]:
        """(presentation time, decoding time, key frame) of every frame; empty where unknown."""
        if self._table is None:
            with self._open() as (container, video):
                rows = [
                    (packet.pts, packet.dts, packet.is_keyframe)
                    for packet in _demux(container, video)
                    if packet.size and not packet.is_discard
                ]
            self._count = len(rows)
            timed = all(shown is not None and decoded is not None for shown, decoded, _ in rows)
            rows = sorted(rows) if timed else []
            self._table = rows if len({row[0] for row in rows}) == len(rows) else []
        return self._table

    def _jump(self, container, video, index: int) -> bool:
        """Seek the last key frame at or before a frame; False where the video has to be decoded
        from its start.
        """
        table = self._packets()
        keys = [row for row in table[: index + 1] if row[2]]
        if not keys:
            return False
        import av

        try:
            container.seek(keys[-1][1], stream=video, backward=True)
        except av.error.FFmpegError:  # its index is damaged
            return False
        return True

    def _place(self, time: int | None, start: int) -> int:
        """Number of the frame with this presentation time."""
        table = self._packets()
        place = bisect.bisect_left(table, time if time is not None else -1, key=lambda row: row[0])
        if time is None or place >= len(table) or table[place][0] != time or place > start:
            raise RecordingError(f"{self.path}: frame {start} cannot be found in the video", start)
        return place

    def _delayed(self, video, index: int) -> list:
        """Complete frames left in the decoder, consecutive from `index`."""
        import av

        times = [row[0] for row in self._packets()]
        try:
            frames = video.codec_context.decode(None)
        except av.error.FFmpegError:
            return []
        whole = []
        for frame in frames:
            at = index + len(whole)
            if frame.is_corrupt or at >= len(times) or frame.pts != times[at]:
                break
            whole.append(frame)
        return whole

    def _luma(self, frame: av.VideoFrame, index: int, reformatter) -> np.ndarray:
        """Grey pixels (H, W) of a decoded frame, checked."""
        if frame.is_corrupt:
            raise RecordingError(f"{self.path}: frame {index} of {self.n} is damaged", index)
        self.check_like((frame.height, frame.width), self.scale, index)
        kind = "gray16le" if self._deep else "gray"
        if frame.format.name != kind:
            frame = reformatter.reformat(frame, format=kind)
        return frame.to_ndarray()


def _demux(container, video) -> Iterator[av.Packet]:
    """Packets of a video until its end or until it is cut off."""
    import av

    with contextlib.suppress(av.error.FFmpegError):
        yield from container.demux(video)
