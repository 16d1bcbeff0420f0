"""What the recursion of spins and effective field can do with a model of `field-fcn`.

A model knows one Hamiltonian, that of its training lattices (exchange and interfacial DMI,
D/J = 0.3, for the bundled one); its answers hold for materials that this describes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from spinscope import families
from spinscope.config import Params
from spinscope.errors import SpinscopeError
from spinscope.jobs.spin_input import LARGEST, SpinInput
from spinscope.physics.lattice import (
    checked_sides,
    energy_of_field,
    erased_square,
    mean_angle,
    noisy,
    noisy_rows,
    random_spins,
    unit,
)
from spinscope.physics.recursion import Field, Recursion, recursion
from spinscope.physics.topology import topological_charge

FAMILY = "field-fcn"
APPLICATIONS = ("infer", "denoise", "repair", "complete", "generate", "respond")
CHIRALITIES = ("training", "opposite")
OnStep = Callable[[int, np.ndarray, float], None]


@dataclass(frozen=True)
class FieldResult:
    """Outcome of an application.

    Parameters
    ----------
    application : str
        One of `APPLICATIONS`.
    before, m : (H, W, 3) array
        Spins before and after.
    field : (H, W, 3) array
        Effective field of `m` in units of J, without the external one.
    energy : tuple of float
        Energy per site in J by the inferred field, at the start and after each iteration.
    seconds : float
        Duration of the recursion, without loading.
    external : float
        External field along +z, in units of J.
    facts : mapping
        Further numbers of the application.
    cut : (slice, slice) or None
        Part of the lattice that shows the input.
    """

    application: str
    before: np.ndarray
    m: np.ndarray
    field: np.ndarray
    energy: tuple[float, ...]
    seconds: float
    external: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)
    cut: tuple[slice, slice] | None = None

    def shown(self, array: np.ndarray) -> np.ndarray:
        """Part of an array over the lattice that belongs to the input."""
        return array if self.cut is None else array[self.cut]

    @property
    def summary(self) -> dict[str, Any]:
        """Numbers that JSON can hold; energies per site in J.

        The charge of an image is a quarter of that of the lattice, which is the image and its
        mirror images.
        """
        shown = self.shown(self.m)
        copies = self.m[..., 0].size / shown[..., 0].size
        return {
            "application": self.application,
            "sites": list(shown.shape[:2]),
            "energy_before_j": round(self.energy[0], 6),
            "energy_after_j": round(self.energy[-1], 6),
            "iterations": len(self.energy) - 1,
            "seconds": round(self.seconds, 4),
            "charge": round(topological_charge(self.m) / copies, 3),
            "m_z": round(float(self.m[..., 2].mean()), 6),
            "external_j": self.external,
            **self.facts,
        }


def open_field(params: Params, model_ref: str) -> Field:
    """Load a model as a function of spins (H, W, 3) → effective field (H, W, 3).

    Parameters
    ----------
    params : Params
    model_ref : str

    Raises
    ------
    SpinscopeError
        If the model does not exist or is of another family.
    """
    from spinscope.models.store import model_info
    from spinscope.tracking import resolve

    folder = resolve(params.tracking, model_ref)
    family = families.of_model(model_info(folder))
    if family.name != FAMILY:
        raise SpinscopeError(
            f"model {model_ref} is of the family {family.name}; effective fields need {FAMILY}"
        )
    return family.predictor(folder, params)


class Opposite:
    """Effective field for DMI of the opposite sign.

    Turning the in-plane components by half a turn changes the sign of both kinds of DMI and leaves
    the other terms.

    Parameters
    ----------
    infer_field : callable
        Function of `open_field`.
    """

    def __init__(self, infer_field: Field):
        linear = getattr(infer_field, "linear", None)
        self._field = infer_field
        self.linear = None if linear is None else Opposite(linear)

    def __call__(self, m: np.ndarray) -> np.ndarray:
        """Effective field of spins (H, W, 3)."""
        return self._field(m * _HALF_TURN) * _HALF_TURN


_HALF_TURN = np.array([-1, -1, 1], np.float32)
_CHIRAL = 2e-3  # J per site by which one chirality must be lower


def with_chirality(
    infer_field: Field, given: SpinInput | None, chirality: str | None = None
) -> Field:
    """Field for the chirality of the given spins.

    Parameters
    ----------
    infer_field : callable
        Function of `open_field`.
    given : SpinInput or None
        Spins; their energy is lower with the right sign of the DMI.
    chirality : {"training", "opposite"}, optional
        That of the training lattices or its opposite; by default that of the spins, and that of
        the training lattices for an input of z components only.

    Returns
    -------
    callable
        `infer_field`, or its `Opposite`.

    Raises
    ------
    SpinscopeError
        If there is no such chirality.
    """
    if chirality not in (None, *CHIRALITIES):
        raise SpinscopeError(f"chirality {chirality!r} must be one of {', '.join(CHIRALITIES)}")
    opposite = Opposite(infer_field)
    if chirality is not None:
        return opposite if chirality == "opposite" else infer_field
    if given is None or given.m is None:
        return infer_field
    function = getattr(infer_field, "linear", None) or infer_field
    own, other = (
        energy_of_field(given.m, field(given.m)) for field in (function, Opposite(function))
    )
    return opposite if other < own - _CHIRAL else infer_field


def input_of(result: FieldResult) -> SpinInput:
    """Spins of a result as the input of another application."""
    return SpinInput(result.m[..., 2], result.m, result.cut)


def infer(given: SpinInput, infer_field: Field) -> FieldResult:
    """Effective field of spins."""
    return _applied("infer", given, _spins(given, "infer"), infer_field, iterations=0)


def denoise(
    given: SpinInput,
    infer_field: Field,
    *,
    iterations: int = 10,
    alpha: float | None = None,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> FieldResult:
    """Remove the noise of spins.

    Parameters
    ----------
    given : SpinInput
    infer_field : callable
        Function of `open_field`.
    iterations : int, default 10
    alpha : float, optional
        Add noise of this strength first, for a trial with known truth: the result names the mean
        angle to the given spins before and after.
    seed : int, default 0
        Seed of the noise.
    on_step : callable, optional
        See `recursion`.
    """
    true = _spins(given, "denoise")
    start = true
    if alpha is not None:
        if not 0 < alpha < np.inf:
            raise SpinscopeError(f"alpha (={alpha:g}) must be above 0 and finite")
        start = noisy(true, alpha, _generator(seed))
    return _applied(
        "denoise", given, start, infer_field, iterations=iterations, on_step=on_step,
        truth=None if alpha is None else true,
    )  # fmt: skip


def repair(
    given: SpinInput,
    infer_field: Field,
    *,
    mask: np.ndarray | None = None,
    rows: int | None = None,
    square: int | None = None,
    iterations: int = 30,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> FieldResult:
    """Replace defective sites by what fits the sites around them, which are kept.

    Parameters
    ----------
    given : SpinInput
    infer_field : callable
        Function of `open_field`.
    mask : (H, W) bool array, optional
        Defective sites; their spins are ignored.
    rows : int, optional
        Instead, replace this many neighbouring rows by noise, for a trial with known truth.
    square : int, optional
        Instead, erase a square of this side, for a trial with known truth.
    iterations : int, default 30
    seed : int, default 0
        Seed of the place of the defect and its noise.
    on_step : callable, optional
        See `recursion`.

    Raises
    ------
    SpinscopeError
        If not exactly one kind of defect is given, or it does not fit the lattice.
    """
    true = _spins(given, "repair")
    if sum(value is not None for value in (mask, rows, square)) != 1:
        raise SpinscopeError("repair needs exactly one of a mask, rows and a square")
    rng = _generator(seed)
    if mask is not None:
        if mask.shape != true.shape[:2]:
            raise SpinscopeError(
                f"the mask has the shape {mask.shape}; that of the lattice is {true.shape[:2]}"
            )
        if mask.all() or not mask.any():
            raise SpinscopeError(
                f"the mask marks {int(mask.sum())} of {mask.size} sites; some must be defective "
                "and some not"
            )
        start = np.where(mask[..., None], np.float32(0), true)
    else:
        name, size = ("rows", rows) if square is None else ("square", square)
        if not 0 < size < min(true.shape[:2]):
            raise SpinscopeError(
                f"{name} (={size}) must be above 0 and below {min(true.shape[:2])}, the shorter "
                "side of the lattice"
            )
        start, mask = (noisy_rows if square is None else erased_square)(true, size, rng)
    result = _applied(
        "repair", given, start, infer_field, iterations=iterations, known=~mask, on_step=on_step,
        truth=None if rows is None and square is None else true, where=mask,
    )  # fmt: skip
    return result


def complete(
    given: SpinInput,
    infer_field: Field,
    *,
    iterations: int | None = None,
    keep_z: bool | None = None,
    on_step: OnStep | None = None,
) -> FieldResult:
    """All three components from the z components alone.

    Parameters
    ----------
    given : SpinInput
        If it holds spins, they are the truth that the result is compared with.
    infer_field : callable
        Function of `open_field`.
    iterations : int, optional
        By default 30, and 8 for an image: its domains may be stable only in the field in which it
        was taken, and change in a long recursion without it.
    keep_z : bool, optional
        Keep the z components as they are; by default those of arrays, not those of images, whose
        grey levels are no exact m_z.
    on_step : callable, optional
        See `recursion`.
    """
    keep = given.cut is None if keep_z is None else keep_z
    if iterations is None:
        iterations = 30 if given.cut is None else 8
    start = np.zeros((*given.m_z.shape, 3), np.float32)
    start[..., 2] = given.m_z
    return _applied(
        "complete", given, start, infer_field, iterations=iterations, on_step=on_step,
        known_z=given.m_z if keep else None, truth=given.m,
    )  # fmt: skip


def generate(
    shape: tuple[int, int],
    infer_field: Field,
    *,
    iterations: int = 50,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> FieldResult:
    """Spin texture from random spins.

    Parameters
    ----------
    shape : (int, int)
        Sites.
    infer_field : callable
        Function of `open_field`.
    iterations : int, default 50
    seed : int, default 0
        Seed of the random spins.
    on_step : callable, optional
        See `recursion`.
    """
    checked_sides(shape)
    if max(shape) > LARGEST:
        raise SpinscopeError(
            f"lattice has {shape[0]}×{shape[1]} sites; each side must have at most {LARGEST}"
        )
    start = random_spins(shape, _generator(seed))
    given = SpinInput(start[..., 2], start)
    return _applied("generate", given, start, infer_field, iterations=iterations, on_step=on_step)


def respond(
    given: SpinInput,
    infer_field: Field,
    *,
    fields: Sequence[float] = (0.03, 0.05, 0.07, 0.09),
    iterations: int = 1000,
    temperature: float = 0.5,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> list[FieldResult]:
    """Response to an external field along +z, one value after the other.

    Thermal agitation takes the spins over the barriers between labyrinths and skyrmions: at each
    field the temperature is held, then halved three times and taken away. The field of agitated
    spins is that of the linear part of the architecture `local`. A network without this part
    removes the agitation like noise, so its spins follow the field without it.

    Parameters
    ----------
    given : SpinInput
    infer_field : callable
        Function of `open_field`.
    fields : sequence of float
        External fields in units of J.
    iterations : int, default 1000
        With agitation, for each field; a tenth as many follow without it.
    temperature : float, default 0.5
        Temperature in units of J; 0 for none.
    seed : int, default 0
        Seed of the agitation.
    on_step : callable, optional
        See `recursion`.

    Returns
    -------
    list of FieldResult
        One for each field.
    """
    if not len(fields):
        raise SpinscopeError("respond needs at least one field")
    if bad := [value for value in fields if not np.isfinite(value)]:
        raise SpinscopeError(f"field (={bad[0]:g}) must be finite")
    if iterations < 1:
        raise SpinscopeError(f"iterations (={iterations}) must be at least 1")
    m, results, rng = _spins(given, "respond"), [], _generator(seed)
    linear = getattr(infer_field, "linear", None)
    steps = _COOLING if linear is not None and temperature else ()
    for value in fields:
        before, started, energy = m, time.perf_counter(), ()
        for share in steps:
            agitated = recursion(
                m, linear, iterations=max(1, iterations // len(steps)), external=value,
                damping=_DAMPING, temperature=share * temperature, rng=rng, on_step=on_step,
            )  # fmt: skip
            m, energy = agitated.m, energy + agitated.energy[:-1]
        last = recursion(
            m, infer_field, iterations=max(1, iterations // 10), external=value, mix=_MIX,
            on_step=on_step,
        )  # fmt: skip
        m = last.m
        results.append(
            FieldResult(
                "respond", before, m, last.field, energy + last.energy,
                time.perf_counter() - started, value, _chirality(infer_field), cut=given.cut,
            )
        )  # fmt: skip
    return results


_COOLING, _DAMPING = (1, 1, 0.5, 0.25, 0.125), 0.15
"""Shares of the temperature, and damping, of a response to a field."""
_MIX = 4.0
"""Share of the old spin at the end of a response, which must not excite a checkerboard."""


def _generator(seed: int) -> np.random.Generator:
    """Random numbers of a seed."""
    if seed < 0:
        raise SpinscopeError(f"seed (={seed}) must be at least 0")
    return np.random.default_rng(seed)


def _chirality(infer_field: Field) -> dict[str, str]:
    """Chirality of the field, for the summary of a result."""
    return {"chirality": CHIRALITIES[isinstance(infer_field, Opposite)]}


def _spins(given: SpinInput, application: str) -> np.ndarray:
    """Spins of an input; an error if it holds the z components only."""
    if given.m is None:
        raise SpinscopeError(
            f"{application} needs spins (H, W, 3); the input holds z components only: "
            "`complete` infers the others"
        )
    return given.m


def _applied(
    application: str,
    given: SpinInput,
    start: np.ndarray,
    infer_field: Field,
    *,
    truth: np.ndarray | None = None,
    where: np.ndarray | slice = slice(None),
    **options: Any,
) -> FieldResult:
    """Run a recursion and compare its result with the truth, if it is known."""
    infer_field(start)  # compiles the network for this size, outside the time
    started = time.perf_counter()
    result: Recursion = recursion(start, infer_field, **options)
    seconds = time.perf_counter() - started
    facts: dict[str, Any] = {"torque": round(result.torque[-1], 6), **_chirality(infer_field)}
    if truth is not None:
        facts["angle_before_deg"] = round(mean_angle(unit(start)[where], truth[where]), 3)
        facts["angle_after_deg"] = round(mean_angle(result.m[where], truth[where]), 3)
        facts["charge_true"] = round(topological_charge(truth), 3)
    return FieldResult(
        application, start, result.m, result.field, result.energy, seconds, facts=facts,
        cut=given.cut,
    )  # fmt: skip


def write_result(result: FieldResult, out: Path, name: str = "") -> list[Path]:
    """Write spins, field, summary and a picture of a result into a folder.

    Parameters
    ----------
    result : FieldResult
    out : Path
        Receives `spins.npy` and `field.npy` (H, W, 3), `summary.json` with the energy of every
        iteration, and `spins.png`: before and after, white along +z, black along -z, hue for the
        direction in the plane.
    name : str
        Prefix of the file names.

    Returns
    -------
    list of Path
        The files.
    """
    from spinscope.drawing import film_colours, write_panels
    from spinscope.files import atomic_file

    out.mkdir(parents=True, exist_ok=True)
    before, m, inferred = map(result.shown, (result.before, result.m, result.field))
    files = []
    for key, array in (("spins", m), ("field", inferred)):
        files.append(out / f"{name}{key}.npy")
        with atomic_file(files[-1]) as partial, partial.open("wb") as file:
            np.save(file, array.astype(np.float32))
    files.append(out / f"{name}summary.json")
    summary = {**result.summary, "energy_j": [round(value, 7) for value in result.energy]}
    with atomic_file(files[-1]) as partial:
        partial.write_text(json.dumps(summary, indent=1) + "\n")
    files.append(out / f"{name}spins.png")
    write_panels(files[-1], [film_colours(before), film_colours(m)])
    return files


def write_results(results: Sequence[FieldResult], out: Path) -> list[list[Path]]:
    """Write the results of an application into one folder; returns the files of each.

    The file names of several results begin with the external field, `0.05-`, and `0.05-2-` where a
    field is returned to.

    Parameters
    ----------
    results : sequence of FieldResult
    out : Path
        See `write_result`.
    """
    files, fields = [], [result.external for result in results]
    for number, result in enumerate(results):
        name = f"{result.external:g}-" if len(results) > 1 else ""
        if earlier := fields[:number].count(result.external):
            name += f"{earlier + 1}-"
        files.append(write_result(result, out, name))
    return files
