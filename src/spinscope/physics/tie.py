r"""Phase and induction of a film from Lorentz images, by the transport-of-intensity equation.

The intensity of a wave changes along the beam where its phase is curved,

.. math:: \frac{2\pi}{\lambda}\frac{\partial I}{\partial z} = -\nabla\cdot(I\,\nabla\varphi).

Images at different defocus (positive: overfocus, see `lorentz`) give the left side by a finite
difference, which is valid for a small defocus: :math:`\pi\lambda|\Delta z|k^2 \lesssim 0.55` for
all waves k of the phase, see `largest_defocus`. Beyond it, short waves are recovered too weakly,
by the factor :math:`\sin x/x` of that product.
"""

from __future__ import annotations

import numpy as np
from scipy import constants, fft

from spinscope.errors import SpinscopeError
from spinscope.physics.lorentz import positive_length, wavelength


def largest_defocus(period: float, voltage: float) -> float:
    r"""Defocus up to which waves of a period are recovered within 5 %.

    .. math:: \sin x / x = 0.95 \quad\text{at}\quad x = \pi\lambda\Delta z/d^2 = 0.551

    Parameters
    ----------
    period : float
        Period d of the wave in m.
    voltage : float
        Acceleration voltage in V.

    Returns
    -------
    float
        Defocus in m.

    Examples
    --------
    >>> round(largest_defocus(60e-9, 200e3) * 1e6)
    252
    """
    return 0.551 * positive_length("period", period) ** 2 / (np.pi * wavelength(voltage))


def through_focal_phase(
    under: np.ndarray,
    focus: np.ndarray,
    over: np.ndarray,
    defocus: float,
    pixel_size: float,
    voltage: float,
    *,
    regularisation: float = 0.0,
    mirrored: bool = False,
) -> np.ndarray:
    r"""Phase from three images at :math:`-\Delta z, 0, +\Delta z`, also of an absorbing sample.

    .. math::
       \varphi = -\frac{2\pi}{\lambda}\,\nabla^{-2}\,\nabla\cdot\Big[\frac1{I_0}\nabla\,\nabla^{-2}
       \frac{I_{+} - I_{-}}{2\Delta z}\Big], \qquad
       \nabla^{-2} = -\frac{1}{4\pi^2}\frac{k^2}{(k^2 + k_c^2)^2}

    Parameters
    ----------
    under, focus, over : (..., H, W) array
        Intensities at underfocus, in focus and at overfocus.
    defocus : float
        Defocus :math:`\Delta z` of the outer images in m, positive.
    pixel_size : float
        Pixel size in m.
    voltage : float
        Acceleration voltage in V.
    regularisation : float, default 0
        Tikhonov cut-off :math:`k_c` in cycles per metre: longer waves, where noise outweighs the
        phase, are damped. 0 recovers all waves but the mean.
    mirrored : bool, default False
        Continue the images by reflection, as for a real sample, instead of periodically.

    Returns
    -------
    (..., H, W) array
        Phase in rad, zero mean.

    Raises
    ------
    SpinscopeError
        If shapes differ, an intensity is not positive, or a number is out of range.

    References
    ----------
    Paganin and Nugent, Phys. Rev. Lett. 80, 2586 (1998).
    """
    named = {"under": under, "focus": focus, "over": over}
    under, focus, over = (_image(name, value) for name, value in named.items())
    if not under.shape == focus.shape == over.shape:
        raise SpinscopeError(
            f"images of shapes {under.shape}, {focus.shape} and {over.shape} must be alike"
        )
    if not focus.min() > 0:
        raise SpinscopeError(f"intensity in focus (least {focus.min():.4g}) must be positive")
    change = (over - under) / (2 * positive_length("defocus", defocus))
    factor, shape = -2 * np.pi / wavelength(voltage), focus.shape[-2:]
    if mirrored:
        change, focus = _mirrored(change), _mirrored(focus)
    size = focus.shape[-2:]
    kx, ky, inverse = _waves(size, pixel_size, regularisation)
    potential = inverse * fft.rfft2(change)
    divergence = np.zeros_like(potential)
    for k in (kx, ky):
        slope = fft.irfft2(2j * np.pi * k * potential, s=size) / focus
        divergence += 2j * np.pi * k * fft.rfft2(slope)
    return _cropped(factor * fft.irfft2(inverse * divergence, s=size), shape)


def single_image_phase(
    image: np.ndarray,
    defocus: float,
    pixel_size: float,
    voltage: float,
    *,
    regularisation: float = 0.0,
    mirrored: bool = False,
) -> np.ndarray:
    r"""Phase from one image of a film of uniform thickness.

    .. math:: \varphi = -\frac{2\pi}{\lambda\Delta z}\,\nabla^{-2}\Big(\frac{I}{I_0} - 1\Big)

    The mean :math:`I_0` of the image replaces the image in focus, which has no contrast. One image
    does not cancel the terms even in the defocus: its contrast must be small.

    Parameters
    ----------
    image : (..., H, W) array
        Intensity.
    defocus : float
        Defocus in m, positive for overfocus.
    pixel_size, voltage, regularisation, mirrored
        See `through_focal_phase`.

    Returns
    -------
    (..., H, W) array
        Phase in rad, zero mean.

    Raises
    ------
    SpinscopeError
        If the mean intensity is not positive, or a number is out of range.

    References
    ----------
    Chess et al., Ultramicroscopy 177, 78 (2017).
    """
    image = _image("image", image)
    mean = image.mean(axis=(-2, -1), keepdims=True)
    if not mean.min() > 0:
        raise SpinscopeError(f"mean intensity (={mean.min():.4g}) must be positive")
    if not (np.isfinite(defocus) and defocus != 0):
        raise SpinscopeError(f"defocus (={defocus}) must be a number of metres other than 0")
    change, shape = image / mean - 1, image.shape[-2:]
    if mirrored:
        change = _mirrored(change)
    *_, inverse = _waves(change.shape[-2:], pixel_size, regularisation)
    factor = -2 * np.pi / (wavelength(voltage) * defocus)
    return _cropped(fft.irfft2(factor * inverse * fft.rfft2(change), s=change.shape[-2:]), shape)


def integrated_induction(
    phase: np.ndarray, pixel_size: float, *, periodic: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    r"""Induction across the beam, integrated along it.

    .. math::
       \int B_y\,dz = \frac{\hbar}{e}\frac{\partial\varphi}{\partial x}, \qquad
       \int B_x\,dz = -\frac{\hbar}{e}\frac{\partial\varphi}{\partial y}

    for electrons of charge -e that fly along +z; y runs down the rows. The Lorentz force deflects
    them towards rising phase. Divided by the thickness, the result is the induction in T.

    Parameters
    ----------
    phase : (..., H, W) array
        Phase in rad.
    pixel_size : float
        Pixel size in m.
    periodic : bool, default True
        Differentiate the Fourier series; otherwise take central differences, one-sided at the
        borders.

    Returns
    -------
    (..., H, W) array, (..., H, W) array
        Integrals of B_y and B_x in T m.

    Raises
    ------
    SpinscopeError
        If the phase is not (..., H, W) and finite, or the pixel size not positive.
    """
    phase = _image("phase", phase)
    pixel_size = positive_length("pixel_size", pixel_size)
    unit = constants.hbar / constants.e
    if not periodic:
        down, right = np.gradient(phase, pixel_size, axis=(-2, -1))
        return unit * right, -unit * down
    size = phase.shape[-2:]
    kx, ky, _ = _waves(size, pixel_size, 0.0)
    spectrum = 2j * np.pi * unit * fft.rfft2(phase)
    return fft.irfft2(kx * spectrum, s=size), fft.irfft2(-ky * spectrum, s=size)


def _waves(shape: tuple[int, int], pixel_size: float, regularisation: float):
    """(kx, ky, inverse Laplacian) on the half spectrum; k in cycles per metre."""
    pixel_size = positive_length("pixel_size", pixel_size)
    if not (np.isfinite(regularisation) and regularisation >= 0):
        raise SpinscopeError(
            f"regularisation (={regularisation}) must be finite and not negative, in cycles a metre"
        )
    kx = fft.rfftfreq(shape[1], pixel_size)[None, :].copy()
    ky = fft.fftfreq(shape[0], pixel_size)[:, None].copy()
    k_squared = kx**2 + ky**2
    k_squared[0, 0] = 1
    inverse = -k_squared / (4 * np.pi**2 * (k_squared + regularisation**2) ** 2)
    inverse[0, 0] = 0
    # The highest wave of an even grid has zero slope at the grid points.
    if shape[1] % 2 == 0:
        kx[0, -1] = 0
    if shape[0] % 2 == 0:
        ky[shape[0] // 2, 0] = 0
    return kx, ky, inverse


def _mirrored(image: np.ndarray) -> np.ndarray:
    """Image continued by reflection to twice its height and width."""
    height, width = image.shape[-2:]
    return np.pad(image, [*[(0, 0)] * (image.ndim - 2), (0, height), (0, width)], mode="symmetric")


def _cropped(phase: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Phase cropped to `shape`, with zero mean."""
    phase = phase[..., : shape[0], : shape[1]]
    return phase - phase.mean(axis=(-2, -1), keepdims=True)


def _image(name: str, value: np.ndarray) -> np.ndarray:
    """Finite array (..., H, W) in double precision."""
    value = np.asarray(value, dtype=np.float64)
    if value.ndim < 2 or min(value.shape[-2:]) < 2:
        raise SpinscopeError(f"{name} of shape {value.shape} must be (..., H, W)")
    if not np.all(np.isfinite(value)):
        raise SpinscopeError(f"{name} must be finite: it holds NaN or infinity")
    return value
