r"""Domains of a film in a changing field: loops, creeping walls, stripes, events, all known.

Each function returns the magnetisation along the normal, (n, H, W) float32 in [-1, 1], one frame
per field. What an analysis must recover from the frames are the arguments, exactly.

The walls of a bubble creep with the velocity

.. math:: v(H) = v_0 \exp\!\big[-\alpha\, \epsilon^{1/4}\, H^{-1/4}\big], \qquad
   \epsilon = 1 - \Big(\frac{H_x \cos\theta + H_\mathrm{DMI}}{H_\mathrm{s}}\Big)^2,

where :math:`\epsilon` is the energy of the wall in an in-plane field :math:`H_x`, relative to that
of a Bloch wall, and :math:`\theta` the angle between its outward normal and :math:`H_x`: the wall
on one side of the bubble is slowest at :math:`H_x = -H_\mathrm{DMI}`, that on the other side at
:math:`H_x = H_\mathrm{DMI}`. Fields are inductions :math:`\mu_0 H` in T.

References
----------
Lemerle et al., Phys. Rev. Lett. 80, 849 (1998); Je et al., Phys. Rev. B 88, 214401 (2013).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from spinscope.errors import SpinscopeError
from spinscope.physics.devices import disc

Shape = tuple[int, int]


def sweep_fields(n: int, highest: float, *, saturated: int = 4) -> np.ndarray:
    """Fields of a loop: some frames at the highest field, then down to its negative and back.

    Parameters
    ----------
    n : int
        Number of frames.
    highest : float
        Highest field, T.
    saturated : int, default 4
        Frames at the highest field before the sweep.

    Returns
    -------
    (n,) float64 array
        Field of each frame, T.

    Raises
    ------
    SpinscopeError
        If fewer than 8 frames are left for the sweep.
    """
    steps = n - saturated
    if steps < 8:
        raise SpinscopeError(f"n (={n}) must be at least {saturated + 8} frames for a loop")
    down = steps // 2
    return np.concatenate(
        [
            np.full(saturated, highest),
            np.linspace(highest, -highest, down + 1)[1:],
            np.linspace(-highest, highest, steps - down + 1)[1:],
        ]
    )


def hysteresis(
    fields: Sequence[float],
    shape: Shape,
    rng: np.random.Generator,
    *,
    coercive: float,
    width: float,
    bias: float = 0.0,
    correlation: float = 6.0,
) -> np.ndarray:
    r"""Reversal by domains at places of their own switching fields.

    The switching fields of the pixels are logistic, so that the mean magnetisation of a branch that
    starts from saturation is :math:`\tanh[(H - H_\mathrm{b} \pm H_\mathrm{c}) / 2w]`.

    Parameters
    ----------
    fields : sequence of float
        Field of each frame, T; the film is up before the first.
    shape : (int, int)
        Height and width in pixels.
    rng : numpy.random.Generator
        Random numbers of the pattern.
    coercive : float
        Coercive field, half the width of the loop, T.
    width : float
        Width of the distribution of switching fields, T.
    bias : float, default 0
        Field of the loop's centre, T.
    correlation : float, default 6
        Correlation length, as the standard deviation of a Gaussian filter, pixels.

    Returns
    -------
    (n, H, W) float32 array
    """
    _positive(coercive=coercive, width=width, correlation=correlation)
    switching = coercive + width * _logistic(_rough(shape, rng, correlation))
    m = np.empty((len(fields), *shape), np.float32)
    up, before = np.ones(shape, bool), np.inf
    for k, field in enumerate(fields):
        if field < before:
            up &= ~(field < bias - switching)
        elif field > before:
            up |= field > bias + switching
        m[k] = np.where(up, np.float32(1), np.float32(-1))
        before = field
    return m


def branch(
    field: np.ndarray, direction: int, *, coercive: float, width: float, bias: float = 0.0
) -> np.ndarray:
    """Mean magnetisation of a branch of `hysteresis` that starts from saturation.

    Parameters
    ----------
    field : array
        Field, T.
    direction : {-1, 1}
        -1 for the descending branch, 1 for the ascending one.
    coercive, width, bias : float
        As for `hysteresis`, T.

    Returns
    -------
    array
        Magnetisation in [-1, 1]; the remanence is its value in zero field.
    """
    return np.tanh((np.asarray(field) - bias - direction * coercive) / (2 * width))


def creep_velocity(
    field: float | np.ndarray,
    *,
    v0: float,
    alpha: float,
    in_plane: float | np.ndarray = 0.0,
    dmi_field: float = 0.0,
    saturation: float = np.inf,
) -> np.ndarray:
    """Velocity of a creeping wall, m/s.

    Parameters
    ----------
    field : float or array
        Driving field along the normal, T; its sign does not matter. No field, no motion.
    v0 : float
        Prefactor, m/s.
    alpha : float
        Strength of the pinning, T^(1/4).
    in_plane : float or array, default 0
        In-plane field along the outward normal of the wall, T.
    dmi_field : float, default 0
        Field of the DMI along the outward normal of the wall, T.
    saturation : float, default inf
        Field at which the energy of the wall would vanish, T.

    Returns
    -------
    array

    Raises
    ------
    SpinscopeError
        If the in-plane and the DMI field reach `saturation`.
    """
    energy = 1 - np.square((np.asarray(in_plane) + dmi_field) / saturation)
    if np.any(energy <= 0):
        raise SpinscopeError(
            f"in_plane and dmi_field (={dmi_field:g} T) must stay below saturation "
            f"(={saturation:g} T) in sum"
        )
    drive = np.abs(np.asarray(field, dtype=float))
    with np.errstate(divide="ignore"):
        return v0 * np.exp(-alpha * (energy / drive) ** 0.25)


def expanding_bubble(
    fields: Sequence[float],
    shape: Shape,
    *,
    interval: float,
    pixel_size: float,
    start: float,
    v0: float,
    alpha: float,
    in_plane: Sequence[float] | None = None,
    dmi_field: float = 0.0,
    saturation: float = np.inf,
    restarts: Sequence[int] = (0,),
) -> np.ndarray:
    """Bubble of reversed magnetisation in the middle of the frame whose wall creeps outwards.

    Parameters
    ----------
    fields : sequence of float
        Field along the normal that acted from the frame before to this frame, T.
    shape : (int, int)
        Height and width in pixels.
    interval : float
        Time between frames, s.
    pixel_size : float
        Pixel size, m.
    start : float
        Radius after nucleation, m.
    v0, alpha, dmi_field, saturation : float
        As for `creep_velocity`.
    in_plane : sequence of float, optional
        In-plane field of each frame along the columns' direction x, T.
    restarts : sequence of int, default (0,)
        Frames in which a new bubble has nucleated; before the first the film is saturated.

    Returns
    -------
    (n, H, W) float32 array
        -1 in the bubble, 1 around it, with walls one pixel wide.
    """
    _positive(interval=interval, pixel_size=pixel_size, start=start)
    y = np.arange(shape[0])[:, None] - (shape[0] - 1) / 2
    x = np.arange(shape[1])[None, :] - (shape[1] - 1) / 2
    distance = np.hypot(y, x)
    cosine = x / np.maximum(distance, 1e-9)
    sideways = np.zeros(len(fields)) if in_plane is None else np.asarray(in_plane, float)
    m = np.ones((len(fields), *shape), np.float32)
    radius: np.ndarray | None = None
    for k, (field, along) in enumerate(zip(fields, sideways, strict=True)):
        if k in restarts:
            radius = np.full(shape, start / pixel_size)
        elif radius is not None:
            velocity = creep_velocity(
                field,
                v0=v0,
                alpha=alpha,
                in_plane=along * cosine,
                dmi_field=dmi_field,
                saturation=saturation,
            )
            radius = radius + velocity * (interval / pixel_size)
        if radius is not None:
            m[k] = 1 - 2 * np.clip(0.5 + radius - distance, 0, 1)
    return m


def stripe_domains(
    fields: Sequence[float],
    shape: Shape,
    rng: np.random.Generator,
    *,
    period: float,
    saturation: float,
    wobble: float = 0.15,
) -> np.ndarray:
    r"""Stripes of a period whose reversed ones narrow in proportion to the field.

    Their width is :math:`\tfrac12 P (1 - H / H_\mathrm{s})`, which is half the period without a
    field; at and above :math:`H_\mathrm{s}` the film is saturated.

    Parameters
    ----------
    fields : sequence of float
        Field of each frame, T.
    shape : (int, int)
        Height and width in pixels.
    rng : numpy.random.Generator
        Random numbers of the direction and the waves of the stripes.
    period : float
        Period P in pixels, across the stripes.
    saturation : float
        Field in which the reversed stripes vanish, T.
    wobble : float, default 0.15
        Standard deviation of the displacement of the walls, in periods.

    Returns
    -------
    (n, H, W) float32 array
    """
    _positive(period=period, saturation=saturation)
    angle = rng.uniform(0, np.pi)
    y, x = np.ogrid[: shape[0], : shape[1]]
    wave = _rough(shape, rng, 1.5 * period) * (wobble * period)
    across = x * np.cos(angle) + y * np.sin(angle) + wave
    # Distances are across the walls, also where these turn.
    slope = np.hypot(*np.gradient(across))
    place = (across / period % 1 - 0.5) * period
    m = np.ones((len(fields), *shape), np.float32)
    for k, field in enumerate(fields):
        width = period / 2 * (1 - field / saturation)
        if width > 0:
            m[k] = 1 - 2 * np.clip(0.5 + (width / 2 - np.abs(place)) / slope, 0, 1)
    return m


def switching_bubbles(
    fields: Sequence[float],
    shape: Shape,
    rng: np.random.Generator,
    *,
    count: int,
    radius: float,
    nucleation: tuple[float, float],
    annihilation: tuple[float, float],
) -> tuple[np.ndarray, list[dict[str, float]]]:
    """Bubbles that nucleate in a falling field and vanish in a rising one, each at its own fields.

    Parameters
    ----------
    fields : sequence of float
        Field of each frame, T.
    shape : (int, int)
        Height and width in pixels.
    rng : numpy.random.Generator
        Random numbers of places and fields.
    count : int
        Number of bubbles; fewer where they do not fit apart from each other.
    radius : float
        Radius of a bubble in pixels.
    nucleation, annihilation : (float, float)
        Mean and standard deviation of the fields, T.

    Returns
    -------
    m : (n, H, W) float32 array
        -1 in bubbles, 1 around them.
    events : list of dict
        ``frame`` (the first that shows it), ``event`` (``nucleation`` or ``annihilation``),
        ``y_px``, ``x_px`` and ``field``, the switching field in T, sorted by frame.
    """
    _positive(count=count, radius=radius)
    places: list[np.ndarray] = []
    margin = 2 * radius
    for _ in range(200 * count):
        place = rng.uniform((margin, margin), np.maximum(np.asarray(shape) - margin, margin + 1))
        if all(np.hypot(*(place - other)) > 3.5 * radius for other in places):
            places.append(place)
        if len(places) == count:
            break
    down_at = rng.normal(*nucleation, len(places))
    up_at = np.maximum(rng.normal(*annihilation, len(places)), down_at)
    patterns = [np.clip(0.5 + disc(shape, y, x, radius), 0, 1) for y, x in places]
    m = np.ones((len(fields), *shape), np.float32)
    events: list[dict[str, float]] = []
    reversed_, before = np.zeros(len(places), bool), np.inf
    for k, field in enumerate(fields):
        if field < before:
            changed, name = ~reversed_ & (field <= down_at), "nucleation"
        else:
            changed, name = reversed_ & (field >= up_at), "annihilation"
            changed &= field > before
        reversed_ = reversed_ ^ changed
        at = down_at if name == "nucleation" else up_at
        for i in np.flatnonzero(changed):
            y, x = places[i]
            events.append({"frame": k, "event": name, "y_px": y, "x_px": x, "field": float(at[i])})
        for i in np.flatnonzero(reversed_):
            np.minimum(m[k], 1 - 2 * patterns[i], out=m[k])
        before = field
    return m, events


def _rough(shape: Shape, rng: np.random.Generator, correlation: float) -> np.ndarray:
    """Smooth random surface of zero mean and unit variance."""
    rough = ndimage.gaussian_filter(rng.standard_normal(shape), correlation, mode="wrap")
    rough -= rough.mean()
    return rough / rough.std()


def _logistic(values: np.ndarray) -> np.ndarray:
    """Values in the same order, with the standard logistic distribution."""
    rank = np.empty(values.size)
    rank[np.argsort(values, axis=None)] = (np.arange(values.size) + 0.5) / values.size
    return np.log(rank / (1 - rank)).reshape(values.shape)


def _positive(**values: float) -> None:
    """Refuse an argument that is not above 0."""
    for name, value in values.items():
        if not value > 0:
            raise SpinscopeError(f"{name} (={value}) must be above 0")
