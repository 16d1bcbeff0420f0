r"""Phase and induction of a film from Lorentz micrographs, by the transport of intensity.

A wave that travels along the beam changes its intensity where its phase is curved,

.. math:: \frac{2\pi}{\lambda}\frac{\partial I}{\partial z} = -\nabla\cdot(I\,\nabla\varphi),

and pictures taken at different defocus (positive over focus, see `lorentz`) give the left side.
A difference of pictures stands for the derivative only while the defocus is small:
:math:`\pi\lambda|\Delta z|k^2 \lesssim 0.55` for all waves k of the phase, see `largest_defocus`.
Beyond it the finer waves come out too weak, by the factor :math:`\sin x/x` of that product.
"""

from __future__ import annotations

import numpy as np
from scipy import constants, fft

from spinscope.errors import SpinscopeError
from spinscope.physics.lorentz import positive_length, wavelength


def largest_defocus(period: float, voltage: float) -> float:
    r"""Defocus in metres up to which waves of `period` (m) are recovered within 5 %.

    .. math:: \sin x / x = 0.95 \quad\text{at}\quad x = \pi\lambda\Delta z/d^2 = 0.551

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
    r"""Phase from three pictures at :math:`-\Delta z, 0, +\Delta z`, the sample may absorb.

    .. math::
       \varphi = -\frac{2\pi}{\lambda}\,\nabla^{-2}\,\nabla\cdot\Big[\frac1{I_0}\nabla\,\nabla^{-2}
       \frac{I_{+} - I_{-}}{2\Delta z}\Big], \qquad
       \nabla^{-2} = -\frac{1}{4\pi^2}\frac{k^2}{(k^2 + k_c^2)^2}

    under, focus, over : (..., H, W) intensities.   defocus : m, positive.   pixel_size : m.
    voltage : V.   regularisation : :math:`k_c` in cycles a metre; waves longer than :math:`1/k_c`,
    where noise outweighs the phase, are damped (Tikhonov); 0 recovers all but the mean.
    mirrored : continue the pictures mirrored instead of periodic, for those of a real sample.
    Returns (..., H, W) in radians, of zero mean.
    Raises SpinscopeError for unlike shapes, intensities that are not positive, or a number out of
    range.
    Source: Paganin and Nugent, Phys. Rev. Lett. 80, 2586 (1998).
    """
    under, focus, over = (
        _picture(name, value)
        for name, value in (("under", under), ("focus", focus), ("over", over))
    )
    if not under.shape == focus.shape == over.shape:
        raise SpinscopeError(
            f"pictures of shapes {under.shape}, {focus.shape} and {over.shape} must be alike"
        )
    if not focus.min() > 0:
        raise SpinscopeError(f"intensity in focus (least {focus.min():.4g}) must be positive")
    change = (over - under) / (2 * positive_length("defocus", defocus))
    factor = -2 * np.pi / wavelength(voltage)
    shape = focus.shape[-2:]
    if mirrored:
        change, focus = _mirrored(change), _mirrored(focus)
    kx, ky, inverse = _waves(focus.shape[-2:], pixel_size, regularisation)
    potential = inverse * fft.rfft2(change)
    flow = np.zeros_like(potential)
    for k in (kx, ky):
        slope = fft.irfft2(2j * np.pi * k * potential, s=focus.shape[-2:]) / focus
        flow += 2j * np.pi * k * fft.rfft2(slope)
    phase = factor * fft.irfft2(inverse * flow, s=focus.shape[-2:])
    return _cut(phase, shape)


def single_image_phase(
    picture: np.ndarray,
    defocus: float,
    pixel_size: float,
    voltage: float,
    *,
    regularisation: float = 0.0,
    mirrored: bool = False,
) -> np.ndarray:
    r"""Phase from one picture of a film of uniform thickness, which only shifts the phase.

    .. math:: \varphi = -\frac{2\pi}{\lambda\Delta z}\,\nabla^{-2}\Big(\frac{I}{I_0} - 1\Big)

    with the mean :math:`I_0` of the picture for the one in focus, which shows nothing.
    defocus : m, positive over focus. The other arguments, units and errors are those of
    `through_focal_phase`. One picture does not cancel what is even in the defocus, so that its
    contrast must be small against 1 as well.
    Source: Chess et al., Ultramicroscopy 177, 78 (2017).
    """
    picture = _picture("picture", picture)
    mean = picture.mean(axis=(-2, -1), keepdims=True)
    if not mean.min() > 0:
        raise SpinscopeError(f"mean intensity (={mean.min():.4g}) must be positive")
    if not (np.isfinite(defocus) and defocus != 0):
        raise SpinscopeError(f"defocus (={defocus}) must be a number of metres other than 0")
    change, shape = picture / mean - 1, picture.shape[-2:]
    if mirrored:
        change = _mirrored(change)
    *_, inverse = _waves(change.shape[-2:], pixel_size, regularisation)
    factor = -2 * np.pi / (wavelength(voltage) * defocus)
    return _cut(fft.irfft2(factor * inverse * fft.rfft2(change), s=change.shape[-2:]), shape)


def integrated_induction(
    phase: np.ndarray, pixel_size: float, *, periodic: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    r"""Induction across the beam, integrated along it: two (..., H, W), (B_y t, B_x t) in T m.

    .. math::
       \int B_y\,dz = \frac{\hbar}{e}\frac{\partial\varphi}{\partial x}, \qquad
       \int B_x\,dz = -\frac{\hbar}{e}\frac{\partial\varphi}{\partial y}

    for electrons, of charge -e, that fly along +z; y runs down the rows. The Lorentz force turns
    them to where the phase rises. Divided by the thickness, the induction in tesla.
    phase : (..., H, W) rad.   pixel_size : m.   periodic : derivatives of the Fourier series, else
    central differences, one-sided at the borders.
    """
    phase = _picture("phase", phase)
    pixel_size = positive_length("pixel_size", pixel_size)
    unit = constants.hbar / constants.e
    if not periodic:
        down, right = np.gradient(phase, pixel_size, axis=(-2, -1))
        return unit * right, -unit * down
    kx, ky, _ = _waves(phase.shape[-2:], pixel_size, 0.0)
    spectrum = 2j * np.pi * unit * fft.rfft2(phase)
    return (
        fft.irfft2(kx * spectrum, s=phase.shape[-2:]),
        fft.irfft2(-ky * spectrum, s=phase.shape[-2:]),
    )


def _waves(shape: tuple[int, int], pixel_size: float, regularisation: float):
    """(kx, ky, inverse Laplacian) on the half spectrum; k in cycles a metre."""
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
    # The highest wave of an even grid has no slope on its points.
    if shape[1] % 2 == 0:
        kx[0, -1] = 0
    if shape[0] % 2 == 0:
        ky[shape[0] // 2, 0] = 0
    return kx, ky, inverse


def _mirrored(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[-2:]
    lead = [(0, 0)] * (picture.ndim - 2)
    return np.pad(picture, [*lead, (0, height), (0, width)], mode="symmetric")


def _cut(phase: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    phase = phase[..., : shape[0], : shape[1]]
    return phase - phase.mean(axis=(-2, -1), keepdims=True)


def _picture(name: str, value: np.ndarray) -> np.ndarray:
    value = np.asarray(value, dtype=np.float64)
    if value.ndim < 2 or min(value.shape[-2:]) < 2:
        raise SpinscopeError(f"{name} of shape {value.shape} must be (..., H, W)")
    if not np.all(np.isfinite(value)):
        raise SpinscopeError(f"{name} must be finite: it holds NaN or infinity")
    return value
