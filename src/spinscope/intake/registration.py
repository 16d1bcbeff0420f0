r"""Drift of frames, by phase correlation of the structure that does not magnetise.

Dust, scratches, edges and roughness move with the sample, while its domains change. With the
Fourier transforms :math:`F` of a frame and :math:`S` of the structure, both under a window, the
drift :math:`d` maximises

.. math:: C(d) = \mathrm{Re} \sum_k w(|k|)\, \frac{F(k)\, S^*(k)}{|F(k)\, S(k)|}\, e^{i k \cdot d}.

Each frequency counts by its phase alone, so that a bright edge or a domain wall outweighs nothing,
and by the weight :math:`w = \gamma^2 / (1 - \gamma^2)` of the coherence :math:`\gamma` that frames
and structure have at frequencies of this length: smooth domains that change and the noise have no
coherence. The frequencies along the axes, where the stripes of a camera are, do not count.

References
----------
Knapp and Carter, IEEE Trans. Acoust. Speech Signal Process. 24, 320 (1976), for the weights;
Guizar-Sicairos, Thurman and Fienup, Opt. Lett. 33, 156 (2008), for the maximum between pixels.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import fft
from scipy.ndimage import correlate1d

from spinscope.errors import SpinscopeError

SIGNIFICANT = 6.5
"""Peaks of the correlation below this many standard deviations are those of noise."""

_RINGS = 64
_AXIS = 2
_TAPS = 4
_WHOLE = 0.01  # px: no interpolation for less
_FAR = 2.0


class Drift(NamedTuple):
    """Displacement of a frame.

    Attributes
    ----------
    y, x : float
        Displacement of the sample against the reference in px, positive downwards and to the right.
    peak : float
        Height of the peak of the correlation in its standard deviations; below `SIGNIFICANT` the
        frame does not show the structure of the reference.
    """

    y: float
    x: float
    peak: float = np.inf


class Registration:
    """Drift of frames against a reference.

    The structure is first that of the reference alone. With `examples`, weights are fitted to
    them, and they are averaged with the reference after they have been aligned.

    Parameters
    ----------
    reference : (H, W) array
        Image without drift.
    examples : iterable of (H, W) arrays, optional
        Frames of the recording, best spread over its length.

    Raises
    ------
    SpinscopeError
        If the reference is constant.
    """

    def __init__(self, reference: np.ndarray, examples: Iterable[np.ndarray] = ()):
        self.shape = reference.shape
        height, width = self.shape
        self._window = [_window(side) for side in self.shape]
        self._ky = (2j * np.pi * fft.fftfreq(height)).astype(np.complex64)
        self._kx = (2j * np.pi * fft.rfftfreq(width)).astype(np.complex64)
        length = np.hypot(self._ky.imag[:, None], self._kx.imag) / np.pi
        self._ring = np.minimum((length * _RINGS).astype(np.intp), _RINGS)
        self._ring[:_AXIS, :] = self._ring[1 - _AXIS :, :] = self._ring[:, :_AXIS] = _RINGS + 1
        self._counts = np.maximum(self._ring_sums(np.ones(self._ring.shape)), 1)
        # Before examples are known: no light, no fine noise.
        rings = (np.arange(_RINGS) + 0.5) / _RINGS
        self._weigh((1 - np.exp(-((rings / 0.02) ** 2))) * np.exp(-((rings / 0.3) ** 2)))
        reference_spectrum = self._spectrum(reference)
        if not np.any(reference_spectrum):
            raise SpinscopeError("the reference image is constant; its drift cannot be measured")
        self._structure = reference_spectrum
        self._origin = np.zeros(2)
        if examples := list(examples):
            self._fit(reference_spectrum, examples)

    def _fit(self, reference: np.ndarray, examples: Sequence[np.ndarray]) -> None:
        """Fit the weights to examples, and average their structure with that of the reference.

        Twice the examples are aligned with the reference, then each with the average of the others:
        in an average that holds it, a frame finds its own noise where it was put before.
        """
        power = self._ring_sums(_power(reference))
        found = [self._aligned_spectrum(frame, reference) for frame in examples]
        shown = [peak >= SIGNIFICANT for _, peak in found]
        examples = list(itertools.compress(examples, shown))
        spectra = [spectrum for spectrum, _ in itertools.compress(found, shown)]
        if not examples:
            return
        powers = [self._ring_sums(_power(one)) for one in spectra]
        # A reference of n averaged frames has less fine noise, and counts n times.
        fine = slice(_RINGS // 2, _RINGS)
        ratio = np.mean(powers, axis=0)[fine] / np.maximum(power[fine], 1e-30)
        weighted = float(np.clip(np.median(ratio), 1, 64)) * reference
        rests = [weighted] * len(spectra)
        for step in range(3):
            self._weigh_by_coherence(spectra, rests)
            if step:
                rests = [weighted + sum(spectra) - one for one in spectra]
            spectra = [
                self._aligned_spectrum(frame, rest)[0]
                for frame, rest in zip(examples, rests, strict=True)
            ]
        others = sum(spectra)
        self._weigh_by_coherence(spectra, [weighted + others - one for one in spectra])
        self._structure = weighted + others
        self._origin = self._maximum(reference, others)[0]

    def _weigh_by_coherence(
        self, spectra: Sequence[np.ndarray], rests: Sequence[np.ndarray]
    ) -> None:
        """Set the weights from the coherence of aligned spectra with others, one for each."""
        coherence = np.zeros(_RINGS)
        for one, rest in zip(spectra, rests, strict=True):
            cross = self._ring_sums((one * rest.conj()).real)
            norm = self._ring_sums(_power(one)) * self._ring_sums(_power(rest))
            coherence += (cross / np.sqrt(np.maximum(norm, 1e-30)))[:_RINGS] / len(spectra)
        # Less than what independent spectra reach by chance is no coherence.
        chance = 3 / np.sqrt(2 * self._counts[:_RINGS] * len(spectra))
        squared = np.where(coherence > chance, np.clip(coherence, 0, 0.95) ** 2, 0)
        if np.any(squared):
            self._weigh(squared / (1 - squared))

    def drift(self, frame: np.ndarray) -> Drift:
        """Measure the drift of a frame.

        Parameters
        ----------
        frame : (H, W) array
            Frame of the size of the reference.

        Returns
        -------
        Drift
            Displacement in px.
        """
        place, peak = self._maximum(self._spectrum(frame))
        if np.abs(place).max() > _FAR:  # again, under a window that moved with the sample
            place, peak = self._maximum(self._spectrum(frame, np.rint(place).astype(int)))
        y, x = place - self._origin
        return Drift(float(y), float(x), peak)

    def _aligned_spectrum(
        self, frame: np.ndarray, structure: np.ndarray
    ) -> tuple[np.ndarray, float]:
        """Fourier transform of a frame whose drift has been removed, and the peak of its drift."""
        place, _ = self._maximum(self._spectrum(frame), structure)
        moved = np.rint(place).astype(int)
        spectrum = self._spectrum(frame, moved)
        place, peak = self._maximum(spectrum, structure)
        spectrum *= np.exp(self._ky * place[0])[:, None]
        spectrum *= np.exp(self._kx * place[1])
        return spectrum, peak

    def _spectrum(self, frame: np.ndarray, place: Sequence[int] = (0, 0)) -> np.ndarray:
        """Fourier transform (H, W // 2 + 1) of a frame under a window that is displaced."""
        y, x = (_moved(window, int(by)) for window, by in zip(self._window, place, strict=True))
        image = np.subtract(frame, np.float32(np.mean(frame)), dtype=np.float32)
        image *= y[:, None]
        image *= x
        return fft.rfft2(image, overwrite_x=True)

    def _ring_sums(self, values: np.ndarray) -> np.ndarray:
        """Sum over frequencies of equal length, of `_RINGS` lengths up to half the sampling."""
        return np.bincount(self._ring.ravel(), values.ravel(), minlength=_RINGS + 2)[:-1]

    def _weigh(self, rings: np.ndarray) -> None:
        """Set the weights of the lengths, and the band that holds nearly all of them."""
        rings = np.concatenate([rings, [0.0, 0.0]]).astype(np.float32)
        lengths = np.arange(_RINGS) + 1
        share = np.cumsum(rings[:_RINGS] * lengths**3)
        top = int(np.searchsorted(share, 0.995 * share[-1])) + 1
        height, width = self.shape
        rows = min(int(top / _RINGS * height / 2) + 1, (height - 1) // 2)
        columns = min(int(top / _RINGS * width / 2) + 1, (width - 1) // 2)
        self._band = np.r_[0 : rows + 1, height - rows : height], slice(0, columns + 1)
        self._grid = tuple(
            min(side, fft.next_fast_len(4 * half + 2, real=True))
            for side, half in zip(self.shape, (rows, columns), strict=True)
        )
        self._rows = rows
        self._weights = rings[self._ring[self._band[0], self._band[1]]]
        self._ky_band, self._kx_band = self._ky[self._band[0]], self._kx[self._band[1]]

    def _maximum(
        self, spectrum: np.ndarray, structure: np.ndarray | None = None
    ) -> tuple[np.ndarray, float]:
        """Place (y, x) in px and height of the peak of the correlation with a structure."""
        rows, columns = self._band
        structure = self._structure if structure is None else structure
        cross = spectrum[rows, columns] * structure[rows, columns].conj()
        magnitude = np.abs(cross)
        cross *= np.divide(
            self._weights, magnitude, out=np.zeros_like(magnitude), where=magnitude > 0
        )
        padded = np.zeros((self._grid[0], self._grid[1] // 2 + 1), np.complex64)
        padded[: self._rows + 1, : cross.shape[1]] = cross[: self._rows + 1]
        padded[self._grid[0] - self._rows :, : cross.shape[1]] = cross[self._rows + 1 :]
        coarse = fft.irfft2(padded, s=self._grid, overwrite_x=True)
        at = np.unravel_index(np.argmax(coarse), coarse.shape)
        spread = float(coarse.std())
        peak = float(coarse[at]) / spread if spread else 0.0
        place = np.array([
            ((index + cells // 2) % cells - cells // 2) * side / cells
            for index, cells, side in zip(at, self._grid, self.shape, strict=True)
        ])  # fmt: skip
        return self._refined(cross, place), peak

    def _refined(self, cross: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Maximum of the correlation near the maximum of its grid, by Newton's method."""
        step = np.array([side / cells for side, cells in zip(self.shape, self._grid, strict=True)])
        near = np.array([-0.5, 0.0, 0.5])  # a peak may be narrower than the grid
        values = self._sums(
            cross,
            np.exp(self._ky_band * (place[0] + near[:, None] * step[0])),
            np.exp(self._kx_band * (place[1] + near[:, None] * step[1])),
        )
        best = np.unravel_index(np.argmax(values), values.shape)
        start = place = place + near[list(best)] * step
        for _ in range(8):
            y, x = np.exp(self._ky_band * place[0]), np.exp(self._kx_band * place[1])
            sums = self._sums(
                cross,
                np.stack([y, y * self._ky_band, y * self._ky_band**2]),
                np.stack([x, x * self._kx_band, x * self._kx_band**2]),
            )
            gradient = np.array([sums[1, 0], sums[0, 1]])
            curvature = np.array([[sums[2, 0], sums[1, 1]], [sums[1, 1], sums[0, 2]]])
            if np.linalg.eigvalsh(curvature).max() >= 0:  # no maximum near here
                return start
            change = np.clip(-np.linalg.solve(curvature, gradient), -step / 4, step / 4)
            place = place + change
            if np.abs(change).max() < 1e-3:
                break
        return place if np.all(np.abs(place - start) <= step) else start

    @staticmethod
    def _sums(cross: np.ndarray, down: np.ndarray, across: np.ndarray) -> np.ndarray:
        """Sums of a spectrum with factors along its rows and columns, real part.

        einsum, not a product of matrices, whose threads would disturb those of the frames.
        """
        return np.einsum("ik,jk->ij", down, np.einsum("kc,jc->jk", cross, across)).real


def aligned(frame: np.ndarray, y: float, x: float) -> tuple[np.ndarray, tuple[slice, slice]]:
    """Move a frame back by its drift, by Lanczos interpolation over eight pixels.

    Parameters
    ----------
    frame : (H, W) array
        Frame.
    y, x : float
        Its drift in px.

    Returns
    -------
    (H, W) float32 array
        Frame without drift; pixels that were not in view repeat the border.
    (slice, slice)
        Rows and columns that were in view.
    """
    image = np.asarray(frame, dtype=np.float32)
    inside = []
    for axis, drift in enumerate((y, x)):
        if abs(drift - np.rint(drift)) < _WHOLE:
            drift = np.rint(drift)
        whole = int(np.floor(drift))
        image = _taken(image, whole, axis)
        if drift != whole:
            image = correlate1d(image, _lanczos(drift - whole), axis, mode="nearest", origin=-1)
        side = frame.shape[axis]
        first = min(max(0, -whole), side)
        inside.append(slice(first, max(first, min(side, int(np.floor(side - drift))))))
    return image, (inside[0], inside[1])


def _taken(image: np.ndarray, whole: int, axis: int) -> np.ndarray:
    """Image whose pixel i is pixel i + `whole` along an axis; borders are repeated."""
    if not whole:
        return image
    side = image.shape[axis]
    return np.take(image, np.clip(np.arange(side) + whole, 0, side - 1), axis)


def _lanczos(fraction: float) -> np.ndarray:
    """Weights of the eight pixels around a place between two of them; their sum is 1."""
    distance = np.arange(1 - _TAPS, _TAPS + 1) - fraction
    weights = np.sinc(distance) * np.sinc(distance / _TAPS)
    return weights / weights.sum()


def _window(side: int) -> np.ndarray:
    """Window that falls to 0 at both ends as half a cosine over a quarter of the side."""
    place = np.minimum(np.arange(side) + 0.5, side - 0.5 - np.arange(side)) / side
    return (np.sin(np.pi / 2 * np.minimum(4 * place, 1)) ** 2).astype(np.float32)


def _moved(window: np.ndarray, by: int) -> np.ndarray:
    """Window that is displaced by a number of pixels, 0 where it comes from outside."""
    if not by:
        return window
    moved = np.zeros_like(window)
    side = len(window)
    by = max(-side, min(side, by))
    moved[max(by, 0) : side + min(by, 0)] = window[max(-by, 0) : side - max(by, 0)]
    return moved


def _power(spectrum: np.ndarray) -> np.ndarray:
    """Squared magnitude of a spectrum."""
    return spectrum.real**2 + spectrum.imag**2
