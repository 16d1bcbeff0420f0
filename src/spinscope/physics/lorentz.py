r"""Lorentz images: defocused transmission electron microscopy of a magnetic film.

The electrons fly along :math:`\hat p`, the normal +z of the film rotated by the tilt
:math:`\theta` about an axis :math:`\hat a` in the film (right-hand rule). Along their path they
acquire the phase

.. math::
   \varphi = -\frac{e}{\hbar}\int A\cdot\hat p\,dl, \qquad
   \frac{\partial\varphi}{\partial x} = \frac{e}{\hbar}\int B_y\,dz, \quad
   \frac{\partial\varphi}{\partial y} = -\frac{e}{\hbar}\int B_x\,dz.

The wave :math:`\psi = e^{i\varphi}` propagates by the defocus :math:`\Delta z` (positive:
overfocus, beyond the sample) through the lens; the image is :math:`|\psi|^2`. A weak phase gives
:math:`I = 1 - \frac{\lambda\Delta z}{2\pi}\nabla^2\varphi`.

Films and images are periodic, in the order (y, x) with x along the columns; vectors have the
components (x, y, z). A tilted film is shown on its own grid, without foreshortening.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import constants, fft

from spinscope.errors import SpinscopeError


@dataclass(frozen=True)
class Microscope:
    """Electron optics; the defaults are those of McCray et al. (2024)."""

    voltage: float = 200e3
    """Acceleration voltage, V."""
    defocus: float = -2e-3
    """Defocus, m; positive for overfocus."""
    cs: float = 200e-6
    """Spherical aberration, m."""
    convergence: float = 1e-5
    """Convergence semi-angle, where the source falls to 1/e, rad."""
    defocus_spread: float = 80e-9
    """Standard deviation of the defocus, m."""
    astigmatism: float = 0.0
    """Defocus added along the astigmatism's angle and subtracted across it, m."""
    astigmatism_angle: float = 0.0
    """Angle from +x towards +y, rad."""

    def __post_init__(self) -> None:
        wavelength(self.voltage)
        for name, value in vars(self).items():
            _finite(name, value)
        for name in ("convergence", "defocus_spread"):
            if getattr(self, name) < 0:
                raise SpinscopeError(f"{name} (={getattr(self, name)}) must not be negative")


def wavelength(voltage: float) -> float:
    r"""Relativistic wavelength of electrons.

    .. math:: \lambda = h / \sqrt{2 m_e e U (1 + e U / 2 m_e c^2)}

    Parameters
    ----------
    voltage : float
        Acceleration voltage in V.

    Returns
    -------
    float
        Wavelength in m.

    Raises
    ------
    SpinscopeError
        If the voltage is missing or not positive.

    Examples
    --------
    >>> round(wavelength(200e3) * 1e12, 4)
    2.5079
    """
    if voltage is None or not voltage > 0 or not np.isfinite(voltage):
        raise SpinscopeError(f"voltage (={voltage}) must be a positive number of volts")
    energy, rest = constants.e * voltage, constants.m_e * constants.c**2
    return constants.h * constants.c / float(np.sqrt(energy * (energy + 2 * rest)))


def interaction_constant(voltage: float) -> float:
    r"""Phase per volt of inner potential and metre of sample.

    .. math:: C_E = \frac{2\pi}{\lambda U}\frac{e U + m_e c^2}{e U + 2 m_e c^2}

    Parameters
    ----------
    voltage : float
        Acceleration voltage in V.

    Returns
    -------
    float
        Interaction constant in rad/(V m).

    Examples
    --------
    >>> round(interaction_constant(200e3) / 1e6, 2)
    7.29
    """
    energy, rest = constants.e * voltage, constants.m_e * constants.c**2
    return 2 * np.pi / (wavelength(voltage) * voltage) * (energy + rest) / (energy + 2 * rest)


def magnetic_phase(
    m: np.ndarray,
    ms: float | np.ndarray,
    thickness: float,
    pixel_size: float,
    *,
    tilt: float = 0.0,
    axis: float = 0.0,
    workers: int | None = None,
) -> np.ndarray:
    r"""Magnetic phase shift of the electron wave behind a film (Mansuripur's algorithm).

    With :math:`k_1` along the tilt axis :math:`\hat a` and :math:`k_2` across it, both in the film,
    the beam sees the wave vector :math:`q = (k_1, k_2/\cos\theta)`, and

    .. math::
       \varphi_k = -\frac{i e\mu_0}{\hbar}\frac{t}{\cos\theta}\,
       \mathrm{sinc}\Big(\frac{k_2 t}{2}\tan\theta\Big)\frac{q_1 M_2 - q_2 M_1}{q^2},

    where :math:`M_1 = M\cdot\hat a` and :math:`M_2 = M\cdot(\hat p\times\hat a)` are the
    components that deflect the beam.

    Parameters
    ----------
    m : (..., H, W, 3) array
        Unit magnetisation of periodic films, uniform through the thickness.
    ms : float or array that broadcasts with (..., H, W)
        Saturation magnetisation in A/m.
    thickness, pixel_size : float
        Film thickness and lateral cell size in m.
    tilt : float, default 0
        Tilt of the beam about the axis in rad.
    axis : float, default 0
        Tilt axis in rad, from +x towards +y.
    workers : int, optional
        Threads over the films; by default one per processor.

    Returns
    -------
    (..., H, W) float32 array
        Phase in rad, zero mean.

    Raises
    ------
    SpinscopeError
        If a shape is wrong, a value is not finite, or a length or tilt is out of range.

    References
    ----------
    Mansuripur, J. Appl. Phys. 69, 2455 (1991).
    """
    phase, shape = _phases(m, ms, thickness, pixel_size, tilt, axis)
    return _each(phase, shape, workers)


def electrostatic_phase(
    potential: float, thickness: float | np.ndarray, voltage: float, *, tilt: float = 0.0
) -> float | np.ndarray:
    r"""Phase shift of the mean inner potential, :math:`\varphi = C_E V t / \cos\theta`.

    A film of uniform thickness shifts the whole wave and is invisible.

    Parameters
    ----------
    potential : float
        Mean inner potential in V.
    thickness : float or array
        Thickness of the sample in m.
    voltage : float
        Acceleration voltage in V.
    tilt : float, default 0
        Tilt of the beam in rad.

    Returns
    -------
    float or array
        Phase in rad, of the shape of `thickness`.

    Raises
    ------
    SpinscopeError
        If a value is out of range.
    """
    path = np.asarray(thickness, dtype=np.float64) / np.cos(_tilt(tilt))
    if not np.all(np.isfinite(path)) or np.any(path < 0):
        raise SpinscopeError("thickness must be finite and not negative")
    phase = interaction_constant(voltage) * _finite("potential", potential) * path
    return phase if phase.ndim else float(phase)


def transfer_function(
    shape: tuple[int, int], pixel_size: float, microscope: Microscope
) -> np.ndarray:
    r"""Transfer of the wave from the film to the image plane.

    .. math::
       T(k) = e^{-i\chi}\,
       e^{-\frac12(\pi\lambda\Delta k^2)^2}\,e^{-(\theta_c|\nabla\chi|/2\lambda)^2}, \quad
       \chi = \pi\lambda k^2\,[\Delta z + A\cos 2(\alpha - \alpha_A)]
       + \tfrac{\pi}{2} C_s\lambda^3 k^4,

    with k in cycles per metre at the angle :math:`\alpha` from +x. The envelopes of the defocus
    spread :math:`\Delta` and of a Gaussian source with convergence semi-angle :math:`\theta_c` are
    exact to first order in the phase.

    Parameters
    ----------
    shape : (int, int)
        Height and width in pixels.
    pixel_size : float
        Pixel size in m.
    microscope : Microscope
        Electron optics.

    Returns
    -------
    (H, W) complex64 array
        Transfer function in the order of `numpy.fft.fft2`.

    Raises
    ------
    SpinscopeError
        If shape or pixel size are out of range.

    References
    ----------
    De Graef, Introduction to Conventional TEM (2003), ch. 10.
    """
    return _transfer(_shape(shape), positive_length("pixel_size", pixel_size), microscope)


def image(
    phase: np.ndarray,
    pixel_size: float,
    microscope: Microscope,
    *,
    amplitude: float | np.ndarray = 1.0,
    workers: int | None = None,
) -> np.ndarray:
    r"""Image of a wave, :math:`I = |F^{-1}[T\,F(a e^{i\varphi})]|^2`.

    Parameters
    ----------
    phase : (..., H, W) array
        Periodic phase in rad.
    pixel_size : float
        Pixel size in m.
    microscope : Microscope
        Electron optics.
    amplitude : float or array that broadcasts with `phase`, default 1
        Amplitude of the wave behind the film.
    workers : int, optional
        Threads over the images; by default one per processor.

    Returns
    -------
    (..., H, W) float32 array
        Intensity; its mean is about 1 for unit amplitude.

    Raises
    ------
    SpinscopeError
        If the shape is wrong, a value is not finite or the pixel size not positive.
    """
    phase = np.asarray(phase, dtype=np.float32)
    if phase.ndim < 2:
        raise SpinscopeError(f"phase of shape {phase.shape} must be (..., H, W)")
    transfer = transfer_function(phase.shape[-2:], pixel_size, microscope)
    amplitudes = np.broadcast_to(np.asarray(amplitude, dtype=np.float32), phase.shape)

    def one(i: tuple[int, ...]) -> np.ndarray:
        intensity = _intensity(phase[i], transfer, amplitudes[i] if np.ndim(amplitude) else None)
        if not np.isfinite(intensity[0, 0]):
            raise SpinscopeError("phase must be finite: it holds NaN or infinity")
        return intensity

    images = _each(one, phase.shape, workers)
    return images if np.ndim(amplitude) else images * np.float32(amplitude**2)


def lorentz_image(
    m: np.ndarray,
    ms: float | np.ndarray,
    thickness: float,
    pixel_size: float,
    microscope: Microscope,
    *,
    tilt: float = 0.0,
    axis: float = 0.0,
    workers: int | None = None,
) -> np.ndarray:
    """Lorentz image of a film: `image` of its `magnetic_phase`, (..., H, W) float32.

    Parameters and errors are those of the two functions. Each film is computed from phase to
    image before the next, so that it stays in the processor's cache.
    """
    phase, shape = _phases(m, ms, thickness, pixel_size, tilt, axis)
    transfer = transfer_function(shape[-2:], pixel_size, microscope)
    return _each(lambda i: _intensity(phase(i), transfer), shape, workers)


def _phases(
    m: np.ndarray,
    ms: float | np.ndarray,
    thickness: float,
    pixel_size: float,
    tilt: float,
    axis: float,
) -> tuple[Callable[[tuple[int, ...]], np.ndarray], tuple[int, ...]]:
    """Function (index of a film → its phase), and the shape (..., H, W) of all phases."""
    m = np.ascontiguousarray(m, dtype=np.float32)
    if m.ndim < 3 or m.shape[-1] != 3:
        raise SpinscopeError(f"m of shape {m.shape} must be (..., H, W, 3)")
    shape = _shape(m.shape[-3:-1])
    ms = np.asarray(ms, dtype=np.float32)
    if not np.all(np.isfinite(ms)) or np.any(ms < 0):
        raise SpinscopeError("ms must be finite and not negative, in A/m")
    try:
        ms = np.broadcast_to(ms, m.shape[:-1])
    except ValueError:
        raise SpinscopeError(
            f"ms of shape {ms.shape} must be a number or a map of the film, {shape}"
        ) from None
    components, kernels = _phase_kernels(
        shape,
        positive_length("pixel_size", pixel_size),
        positive_length("thickness", thickness),
        _tilt(tilt),
        _finite("axis", axis),
    )
    return lambda i: _phase(m[i], ms[i], components, kernels), m.shape[:-1]


def _phase(m: np.ndarray, ms: np.ndarray, components: np.ndarray, kernels: np.ndarray):
    """Phase of one film."""
    if not np.isfinite(m.sum()):
        raise SpinscopeError("m must be finite: it holds NaN or infinity")
    uniform = ms.strides == (0, 0)
    rows = components * ms[0, 0] if uniform else components
    deflecting = (rows @ m.reshape(-1, 3).T).reshape(2, *m.shape[:2])
    if not uniform:
        deflecting *= ms
    spectra = fft.rfft2(deflecting, overwrite_x=True)
    spectra *= kernels
    spectra[0] += spectra[1]
    return fft.irfft2(spectra[0], s=m.shape[:2], overwrite_x=True)


def _intensity(phase: np.ndarray, transfer: np.ndarray, amplitude: np.ndarray | None = None):
    """Image of one phase."""
    wave = np.empty(phase.shape, dtype=np.complex64)
    np.cos(phase, out=wave.real)
    np.sin(phase, out=wave.imag)
    if amplitude is not None:
        wave *= amplitude
    wave = fft.fft2(wave, overwrite_x=True)
    wave *= transfer
    wave = fft.ifft2(wave, overwrite_x=True)
    intensity = np.square(wave.real)
    intensity += np.square(wave.imag)
    return intensity


@lru_cache(maxsize=32)
def _phase_kernels(
    shape: tuple[int, int], pixel_size: float, thickness: float, tilt: float, axis: float
) -> tuple[np.ndarray, np.ndarray]:
    """Components (2, 3) that deflect the beam, and the kernels of their half spectra."""
    kx = 2 * np.pi * fft.rfftfreq(shape[1], pixel_size)[None, :]
    ky = 2 * np.pi * fft.fftfreq(shape[0], pixel_size)[:, None]
    cos, sin = np.cos(tilt), np.sin(tilt)
    ax, ay = np.cos(axis), np.sin(axis)
    along, across = ax * kx + ay * ky, ax * ky - ay * kx
    q1, q2 = along, across / cos  # wave vector that the beam sees
    q_squared = q1**2 + q2**2
    q_squared[0, 0] = 1
    path = np.sinc(across * thickness * np.tan(tilt) / (2 * np.pi)) * thickness / cos
    factor = -1j * constants.e * constants.mu_0 / constants.hbar * path / q_squared
    kernels = np.stack([-q2 * factor, q1 * factor])
    # An odd kernel is zero at the highest wave of an even grid, which has no sign.
    if shape[0] % 2 == 0:
        kernels[:, shape[0] // 2] = 0
    if shape[1] % 2 == 0:
        kernels[:, :, -1] = 0
    components = np.array([[ax, ay, 0], [-ay * cos, ax * cos, sin]], dtype=np.float32)
    kernels = kernels.astype(np.complex64)
    kernels.setflags(write=False)
    return components, kernels


@lru_cache(maxsize=32)
def _transfer(shape: tuple[int, int], pixel_size: float, microscope: Microscope) -> np.ndarray:
    """Transfer function, computed on half of the plane: T(-k) = T(k)."""
    kx = fft.rfftfreq(shape[1], pixel_size)[None, :]
    ky = fft.fftfreq(shape[0], pixel_size)[:, None]
    lam, defocus = wavelength(microscope.voltage), microscope.defocus
    k_squared = kx**2 + ky**2
    round_part = microscope.cs * lam**2 * k_squared
    a_x = microscope.astigmatism * np.cos(2 * microscope.astigmatism_angle)
    a_y = microscope.astigmatism * np.sin(2 * microscope.astigmatism_angle)
    chi = defocus * k_squared + a_x * (kx**2 - ky**2) + 2 * a_y * kx * ky
    chi = np.pi * lam * (chi + round_part * k_squared / 2)
    # Gradient of chi without a factor 2 pi lambda.
    slope_x = (defocus + round_part + a_x) * kx + a_y * ky
    slope_y = (defocus + round_part - a_x) * ky + a_y * kx
    damping = (np.pi * microscope.convergence) ** 2 * (slope_x**2 + slope_y**2)
    damping = damping + (np.pi * lam * microscope.defocus_spread * k_squared) ** 2 / 2
    chi = np.remainder(chi, 2 * np.pi).astype(np.float32)  # in double precision
    modulus = np.exp(-damping.astype(np.float32))
    half = np.empty(chi.shape, dtype=np.complex64)
    np.multiply(modulus, np.cos(chi), out=half.real)
    np.multiply(modulus, -np.sin(chi), out=half.imag)
    transfer = np.empty(shape, dtype=np.complex64)
    transfer[:, : half.shape[1]] = half
    mirrored = half[:, 1 : (shape[1] + 1) // 2]
    transfer[0, half.shape[1] :] = mirrored[0, ::-1]
    transfer[1:, half.shape[1] :] = mirrored[:0:-1, ::-1]
    transfer.setflags(write=False)
    return transfer


def _each(
    one: Callable[[tuple[int, ...]], np.ndarray], shape: tuple[int, ...], workers: int | None
) -> np.ndarray:
    """Array of `shape` (..., H, W), computed by `one` for every leading index on threads."""
    result = np.empty(shape, dtype=np.float32)

    def fill(index: tuple[int, ...]) -> None:
        result[index] = one(index)

    indices = list(np.ndindex(shape[:-2]))
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
    if min(workers, len(indices)) < 2:
        for index in indices:
            fill(index)
    else:
        with ThreadPoolExecutor(min(workers, len(indices))) as pool:
            list(pool.map(fill, indices))
    return result


def _shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """Shape (H, W), checked."""
    if len(shape) != 2 or min(shape) < 2:
        raise SpinscopeError(f"shape (={tuple(shape)}) must be (H, W), at least 2 each")
    return int(shape[0]), int(shape[1])


def positive_length(name: str, value: float) -> float:
    """Return a length in m as a float.

    Raises
    ------
    SpinscopeError
        If `value` is not a positive number; `name` is the name of the length.
    """
    if value is None or not value > 0 or not np.isfinite(value):
        raise SpinscopeError(f"{name} (={value}) must be a positive number of metres")
    return float(value)


def _finite(name: str, value: float) -> float:
    """Finite number."""
    if value is None or not np.isfinite(value):
        raise SpinscopeError(f"{name} (={value}) must be a finite number")
    return float(value)


def _tilt(tilt: float) -> float:
    """Tilt of less than 90 degrees, rad."""
    if not abs(_finite("tilt", tilt)) < np.pi / 2:
        raise SpinscopeError(
            f"tilt (={tilt} rad, {np.degrees(tilt):.4g} degrees) must be less than 90 degrees"
        )
    return float(tilt)
