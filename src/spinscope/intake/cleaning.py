"""The steps of `background` and `registration` put together for the frames of one recording."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spinscope.config import Intake
from spinscope.errors import SpinscopeError
from spinscope.intake import background
from spinscope.intake.background import Repair
from spinscope.intake.registration import SIGNIFICANT, Drift, Registration, aligned
from spinscope.recordings import Recording, RecordingError

EXAMPLES = 8
"""Frames, spread over the recording, to which weights and span are fitted."""

FIRST = r"first(?::([1-9]\d{0,5}))?"
"""Pattern of the reference that is the mean of the first frames."""

_FIRST = 16
_PIXELS = 2**25
"""Pixels that examples may have together, where three frames have fewer."""

_EXPOSURE = re.compile(r"exposure(?:[ _]?time)?(?:[ _(\[]*s(?:ec|econds)?[)\]]*)?", re.IGNORECASE)

Box = tuple[slice, slice]


class Misaligned(RecordingError):
    """A frame that does not show the structure of the reference."""


class LeftFrame(SpinscopeError):
    """A frame whose drift exceeds the limit."""


@dataclass(frozen=True)
class CleanFrame:
    """A frame after all steps.

    Attributes
    ----------
    contrast : (H, W) float32 array
        Contrast against the reference, dimensionless; 0 where the sample was not in view. Without
        a reference, the intensity as a fraction of white.
    inside : (slice, slice)
        Rows and columns that were in view.
    drift : Drift
        Drift that was removed.
    """

    contrast: np.ndarray
    inside: Box
    drift: Drift


class Cleaner:
    """Contrast of the frames of a recording against a reference.

    Parameters
    ----------
    recording : Recording
        Raw recording.
    settings : Intake
        Settings.
    reference : Recording, str or None
        Recording of the reference, "first" for the first frame (of the clean recording), "first:N"
        for the mean of the first N frames, "mean" for that over the recording, None to align only.
    align : bool, default True
        Whether drift is measured; otherwise every call needs it.

    Raises
    ------
    SpinscopeError
        For a recording that is a difference image already, a reference that does not fit, regions
        outside the frame, and frames without structure to align by.
    """

    def __init__(
        self,
        recording: Recording,
        settings: Intake,
        reference: Recording | str | None = "first",
        *,
        align: bool = True,
    ):
        check_raw(recording)
        if isinstance(reference, Recording):
            check_raw(reference)
            _check_exposure(recording, reference)
        self.recording, self.settings = recording, settings
        self.shape = height, width = recording.shape
        self.max_drift = settings.max_drift_px or min(height, width) / 4
        self.crop = box_of(settings.crop, self.shape, "crop") or (slice(0, height), slice(0, width))
        self.still = box_of(settings.still, self.shape, "still")
        self.regions: dict[str, Box] = {
            name: box_of(text, self.shape, f"region {name}")
            for name, text in settings.regions.items()
        }
        self._units = camera_units(recording)
        self.white = recording.span[1] if recording.span else recording.scale
        hot = np.zeros(self.shape, dtype=bool)
        if settings.hot_sd is not None:
            first = np.stack(
                _readable(recording, range(min(_several(_FIRST, self.shape), recording.n)))
            )
            hot = background.hot_pixels(first, settings.hot_sd)
        self.hot_pixels = int(hot.sum())
        self._repair = Repair(hot)
        self.examples = _spread(recording.n, _several(EXAMPLES, self.shape))
        self.reference = None if reference is None else self._reference_of(reference)
        if self.reference is not None:
            self._divisor = background.divisor(self.reference, settings.operation)
        self._registration = self._fitted() if settings.drift and align else None

    def _reference_of(self, reference: Recording | str) -> np.ndarray:
        """Reference image (H, W) in camera units."""
        if isinstance(reference, Recording):
            if reference.shape != self.shape:
                background.check_reference(
                    np.broadcast_to(0, reference.shape), np.broadcast_to(0, self.shape),
                    name=str(reference.path),
                )  # fmt: skip
            image = self._mean(reference, _spread(reference.n, self.settings.reference_frames))
            (frame,) = _readable(self.recording, range(self.recording.n), 1)
            background.check_reference(image, frame, name=str(reference.path))
            return image
        if found := re.fullmatch(FIRST, reference):
            count = int(found[1] or self.settings.average)
            return self._mean(self.recording, range(min(count, self.recording.n)))
        if reference == "mean":
            chosen = _spread(self.recording.n, self.settings.reference_frames)
            return self._mean(self.recording, chosen)
        raise SpinscopeError(
            f"reference (={reference!r}) must be a file, first, first:N, mean or none"
        )

    def _mean(self, recording: Recording, indices: Sequence[int]) -> np.ndarray:
        """Mean of frames after their drift has been removed, at the place of the first one."""
        frames = (self._repair(frame) for frame in _each_readable(recording, indices))
        first = next(frames, None)
        if first is None:
            _readable(recording, indices)  # raises the reason
        register = None
        if self.settings.drift and len(indices) > 1:
            few = _spread(len(indices), _several(EXAMPLES, self.shape))
            few = [indices[k] for k in few if k]
            register = Registration(first, map(self._repair, _readable(recording, few)))
        total, count = first.astype(np.float64), np.ones(first.shape)
        for frame in frames:
            inside = slice(None), slice(None)
            if register is not None:
                drift = register.drift(frame)
                if drift.peak < SIGNIFICANT or max(abs(drift.y), abs(drift.x)) > self.max_drift:
                    continue
                frame, inside = aligned(frame, drift.y, drift.x)
            total[inside] += frame[inside]
            count[inside] += 1
        return (total / count).astype(np.float32)

    def _fitted(self) -> Registration:
        """Registration against the reference, fitted to examples of the recording."""
        first = self.reference
        examples = [self._repair(one) for one in _readable(self.recording, self.examples)]
        if first is None:
            (first,) = map(self._repair, _readable(self.recording, range(self.recording.n), 1))
        found = Registration(first, examples)
        # The first frame is its own reference: its drift is 0 for any noise.
        peaks = [found.drift(frame).peak for frame in examples[1:]] or [np.inf]
        if max(peaks) < SIGNIFICANT:
            raise SpinscopeError(
                f"{self.recording.path} shows no structure to align by: the highest peak of the "
                f"correlation is {max(peaks):.1f} standard deviations, at least {SIGNIFICANT:g} "
                "are needed; use --drift none, or a reference of the same place"
            )
        return found

    def drift(self, frame: np.ndarray, index: int) -> Drift:
        """Drift of a repaired frame; zero where drift is not measured.

        Raises
        ------
        Misaligned
            Where the frame does not show the structure of the reference.
        """
        if self._registration is None:
            return Drift(0.0, 0.0)
        found = self._registration.drift(frame)
        if found.peak < SIGNIFICANT:
            raise Misaligned(
                f"{self.recording.path}: frame {index} does not show the structure of the "
                f"reference (peak of {found.peak:.1f} standard deviations, at least "
                f"{SIGNIFICANT:g} are needed)",
                index,
            )
        return found

    def __call__(
        self, pixels: np.ndarray, index: int = 0, drift: tuple[float, float] | None = None
    ) -> CleanFrame:
        """Clean one frame.

        Parameters
        ----------
        pixels : (H, W) array
            Frame as `Recording.read` returns it.
        index : int
            Number of the frame, for errors.
        drift : (float, float), optional
            Drift (y, x) in px; measured by default.

        Returns
        -------
        CleanFrame
            Contrast of the whole frame, not cropped.

        Raises
        ------
        LeftFrame
            Where the drift exceeds the limit.
        Misaligned
            Where the frame does not show the structure of the reference.
        """
        frame = self._repair(self._units(pixels))
        found = self.drift(frame, index) if drift is None else Drift(*map(float, drift))
        if not max(abs(found.y), abs(found.x)) <= self.max_drift:
            raise LeftFrame(
                f"{self.recording.path}: frame {index} has drifted by {found.y:.1f} px down and "
                f"{found.x:.1f} px right, over the limit of {self.max_drift:g} px "
                "(intake.max_drift_px): give the part before it, or a reference of the new place"
            )
        moved, inside = aligned(frame, found.y, found.x)
        contrast = np.zeros(self.shape, dtype=np.float32)
        contrast[inside] = self._contrast(moved[inside], inside)
        return CleanFrame(contrast, inside, found)

    def _contrast(self, frame: np.ndarray, inside: Box) -> np.ndarray:
        """Contrast (h, w) of the part of a frame that was in view."""
        if self.reference is None:
            return self._without_stripes(frame) / np.float32(self.white)
        reference, per = self.reference[inside], self._divisor[inside]
        contrast = self._without_stripes(frame - reference)
        if order := self.settings.light_order:
            # The same as dividing the frame, without its stripes, by the change of the light.
            change = background.light_change(1 + contrast / per, order)
            contrast -= reference * change
            contrast /= 1 + change
        contrast /= per
        if self.still is not None:
            rows, columns = (
                slice(max(one.start - at.start, 0), max(one.stop - at.start, 0))
                for one, at in zip(self.still, inside, strict=True)
            )
            if (part := contrast[rows, columns]).size:
                level = np.float32(np.median(part))
                contrast = (1 + contrast) / (1 + level) - 1
        return contrast

    def _without_stripes(self, residual: np.ndarray) -> np.ndarray:
        """Residual (h, w) without the offsets of rows and columns."""
        for axis in ("rows", "columns"):
            if self.settings.stripes in (axis, "both"):
                residual = residual - background.stripes(residual, axis)
        return residual

    def span(self, drift: np.ndarray | None = None) -> float:
        """Contrast that becomes white: that of the settings, else found on examples.

        Parameters
        ----------
        drift : (n, 2) array, optional
            Known drift (y, x) of each frame in px; measured by default.
        """
        if self.settings.span is not None or self.reference is None:
            return self.settings.span or 1.0
        found = []
        for index in self.examples:
            try:
                known = None if drift is None else tuple(drift[index])
                frame = self(self.recording.read(index), index, known)
            except (RecordingError, LeftFrame, OSError):
                continue
            part = frame.contrast[self.crop]
            found.append(part[:: max(1, part.shape[0] // 256)])
        if not found:
            raise RecordingError(f"{self.recording.path}: no frame of it can be cleaned")
        return background.span_of_contrast(np.stack(found))

    def mapped(self, contrast: np.ndarray, span: float) -> tuple[np.ndarray, float]:
        """16-bit intensities (h, w) of the region of interest, and the fraction clipped."""
        if self.reference is not None:
            return background.to_intensity(contrast[self.crop], span)
        levels = contrast[self.crop] * np.float32(65535) + np.float32(0.5)
        clipped = np.count_nonzero((levels < 0) | (levels >= 65536)) / max(levels.size, 1)
        return np.clip(levels, 0, 65535).astype(np.uint16), float(clipped)

    def means(self, contrast: np.ndarray, inside: Box) -> dict[str, float]:
        """Mean contrast of the region of interest and of the named regions, as far as in view.

        Parameters
        ----------
        contrast : (H, W) array
            Contrast of the whole frame.
        inside : (slice, slice)
            Rows and columns that were in view.

        Returns
        -------
        dict
            Column → mean; NaN where nothing of the region was in view.
        """
        boxes = {"intensity": self.crop}
        boxes |= {f"intensity_{name}": box for name, box in self.regions.items()}
        found = {}
        for name, box in boxes.items():
            part = contrast[common(box, inside)]
            found[name] = float(part.mean(dtype=np.float64)) if part.size else np.nan
        return found


def common(one: Box, other: Box) -> Box:
    """Rows and columns that two boxes share; empty slices where there are none."""
    rows, columns = (
        slice(max(a.start, b.start), max(a.start, b.start, min(a.stop, b.stop)))
        for a, b in zip(one, other, strict=True)
    )
    return rows, columns


def box_of(text: str | None, shape: tuple[int, int], name: str) -> Box | None:
    """Rows and columns of a rectangle "y0,x0,y1,x1" in px, half open.

    Raises
    ------
    SpinscopeError
        If it does not lie in frames of this shape.
    """
    if text is None:
        return None
    y0, x0, y1, x1 = map(int, text.split(","))
    height, width = shape
    if not (y0 < y1 <= height and x0 < x1 <= width):
        raise SpinscopeError(
            f"{name} (={text}) must be y0,x0,y1,x1 inside frames of {width}x{height} pixels: "
            f"y0 < y1, at most {height}, and x0 < x1, at most {width}"
        )
    return slice(y0, y1), slice(x0, x1)


def check_raw(recording: Recording) -> None:
    """Refuse a recording that holds differences already.

    Raises
    ------
    SpinscopeError
        If its first readable frame holds negative values.
    """
    for pixels in _stored(recording):
        if pixels.dtype.kind in "if" and (low := pixels.min()) < 0:
            raise SpinscopeError(
                f"{recording.path} holds signed values ({low:g} to {pixels.max():g}): it is "
                "already a difference image, which `spinscope segment` takes as it is; intake "
                "needs raw camera frames"
            )


def camera_units(recording: Recording) -> Callable[[np.ndarray], np.ndarray]:
    """Function from the intensities that `Recording.read` returns to stored values, float32."""
    if recording.span is not None:
        low, high = map(np.float32, recording.span)
        return lambda pixels: np.float32(high - low) * pixels + low
    signed = any(one.dtype.kind == "i" for one in _stored(recording))
    offset = np.float32((recording.scale + 1) / 2 if signed else 0)
    return lambda pixels: np.asarray(pixels, dtype=np.float32) - offset


def _stored(recording: Recording) -> Iterator[np.ndarray]:
    """Yield the stored values of the first frame that can be read."""
    for index in range(recording.n or 0):
        try:
            pixels = recording.stored(index)
        except (RecordingError, OSError):
            continue
        recording.intensity(pixels, index)  # sets the span of numbers that are not of 8 or 16 bit
        yield pixels
        return


def _check_exposure(recording: Recording, reference: Recording) -> None:
    """Refuse a reference of another exposure, where the metadata of both name it."""
    own, other = (_exposure(one.metadata) for one in (recording, reference))
    if own and other and abs(own / other - 1) > 0.01:
        raise SpinscopeError(
            f"{reference.path} was exposed for {other:g} s, {recording.path} for {own:g} s; both "
            "must be equal: take the reference with the exposure of the recording, or choose "
            "--reference first or mean"
        )


def _exposure(metadata: Any) -> float | None:
    """Exposure in s in the metadata of a microscope, None where it is not named."""
    pairs: list[tuple[Any, Any]] = []
    if isinstance(metadata, Mapping):
        pairs = list(metadata.items())
    elif isinstance(metadata, list | tuple):
        pairs = [("", value) for value in metadata]
    for key, value in pairs:
        if isinstance(value, Mapping | list | tuple):
            if found := _exposure(value):
                return found
        elif _EXPOSURE.fullmatch(str(key)):
            try:
                number = float(value)
            except (TypeError, ValueError):
                continue
            if number > 0:
                return number
    return None


def _several(most: int, shape: tuple[int, int]) -> int:
    """Number of frames of a shape that are in memory at once: `most`, fewer of very large ones."""
    return max(min(most, _PIXELS // (shape[0] * shape[1])), 3)


def _spread(n: int, count: int) -> list[int]:
    """At most `count` frame numbers that are spread evenly over `n`, with the first one."""
    return sorted({round(k) for k in np.linspace(0, n - 1, min(n, count))})


def _each_readable(recording: Recording, indices: Sequence[int]) -> Iterator[np.ndarray]:
    """Yield frames (H, W) float32 in camera units, without those that cannot be read."""
    units = camera_units(recording)
    for index in indices:
        try:
            pixels = recording.read(index)
        except (RecordingError, OSError):
            continue
        yield units(pixels)


def _readable(
    recording: Recording, indices: Sequence[int], count: int | None = None
) -> list[np.ndarray]:
    """Frames (H, W) float32 in camera units, at most `count`.

    Raises
    ------
    RecordingError
        Where none can be read.
    """
    found = []
    for frame in _each_readable(recording, indices):
        found.append(frame)
        if len(found) == count:
            break
    if not found:
        recording.read(indices[0])  # raises the reason
    return found
