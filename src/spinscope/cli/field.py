"""``spinscope field``: what a network of the effective field can do with spins."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spinscope.cli.shared import Answer, Model, Settings, group, option, output, verb
from spinscope.errors import SpinscopeError

app = group("Apply networks of the effective field to spins.")
BUNDLED = "bundled:field-fcn"

Spins = Annotated[
    Path, typer.Argument(help=".npy (H, W, 3) or (H, W), OVF, or a grayscale image with its scale.")
]
Iterations = option(int, "Largest number of iterations.")
Seed = Annotated[int, typer.Option(help="Seed of the random numbers.")]
Period = option(float, "Period of the domains of an image in px.")
Scale = option(float, "Sites of the lattice per pixel of an image.")
Chirality = option(str, "training or opposite (that of the spins).")
Out = output("none", "Folder for spins.npy, field.npy, summary.json and spins.png")


@verb(app)
def infer(
    settings: Settings,
    file: Spins,
    model: Model = BUNDLED,
    chirality: Chirality = None,
    out: Out = None,
) -> Answer:
    """Infer the effective field of spins and their energy."""
    return _run(settings, "infer", model, chirality, out, file)


@verb(app)
def denoise(
    settings: Settings,
    file: Spins,
    model: Model = BUNDLED,
    iterations: Iterations = 10,
    alpha: option(float, "First add noise of this strength, to try it.") = None,
    seed: Seed = 0,
    chirality: Chirality = None,
    out: Out = None,
) -> Answer:
    """Remove the noise of spins."""
    return _run(
        settings,
        "denoise",
        model,
        chirality,
        out,
        file,
        iterations=iterations,
        alpha=alpha,
        seed=seed,
    )


@verb(app)
def repair(
    settings: Settings,
    file: Spins,
    model: Model = BUNDLED,
    iterations: Iterations = 30,
    mask: option(Path, ".npy (H, W), true where spins are defective.") = None,
    rows: option(int, "Instead, replace rows by noise, to try it.") = None,
    square: option(int, "Instead, erase a square of this side, to try it.") = None,
    seed: Seed = 0,
    chirality: Chirality = None,
    out: Out = None,
) -> Answer:
    """Replace defective spins by what fits the others."""
    from spinscope.jobs.spin_input import read_mask

    sites = None if mask is None else read_mask(mask)
    return _run(
        settings, "repair", model, chirality, out, file, iterations=iterations, mask=sites,
        rows=rows, square=square, seed=seed,
    )  # fmt: skip


@verb(app)
def complete(
    settings: Settings,
    file: Spins,
    model: Model = BUNDLED,
    iterations: option(int, "Number of iterations (30; 8 for an image).") = None,
    period_px: Period = None,
    sites_per_px: Scale = None,
    chirality: Chirality = None,
    out: Out = None,
) -> Answer:
    """Infer all three components from the z components, or from an image."""
    scale = {"period_px": period_px, "sites_per_px": sites_per_px}
    return _run(settings, "complete", model, chirality, out, file, scale, iterations=iterations)


@verb(app)
def generate(
    settings: Settings,
    model: Model = BUNDLED,
    size: Annotated[int, typer.Option(help="Sites per side.")] = 128,
    iterations: Iterations = 50,
    seed: Seed = 0,
    chirality: Chirality = None,
    out: Out = None,
) -> Answer:
    """Generate a spin texture from random spins."""
    return _run(
        settings,
        "generate",
        model,
        chirality,
        out,
        shape=(size, size),
        iterations=iterations,
        seed=seed,
    )


@verb(app)
def respond(
    settings: Settings,
    file: Spins,
    model: Model = BUNDLED,
    field: option(list[float], "External field along +z in J, repeatable.") = [  # noqa: B006
        0.03,
        0.05,
        0.07,
        0.09,
    ],
    iterations: Iterations = 1000,
    temperature: Annotated[float, typer.Option(help="Temperature in J, 0 for none.")] = 0.5,
    seed: Seed = 0,
    chirality: Chirality = None,
    out: Out = None,
) -> Answer:
    """Follow spins through external fields, one after the other."""
    return _run(
        settings, "respond", model, chirality, out, file, fields=field, iterations=iterations,
        temperature=temperature, seed=seed,
    )  # fmt: skip


def _run(settings, application, model, chirality, out, file=None, scale=None, **options) -> Answer:
    """Read the input, run an application and write its results."""
    from spinscope.jobs import field as jobs
    from spinscope.jobs.spin_input import read_spins

    if out is not None and out.exists() and not out.is_dir():
        raise SpinscopeError(f"--out {out} is a file; it must be a folder")
    given = {} if file is None else {"given": read_spins(file, **(scale or {}))}
    function = jobs.open_field(settings.load(jobs.FAMILY), model)
    function = jobs.with_chirality(function, given.get("given"), chirality)
    results = getattr(jobs, application)(**given, infer_field=function, **options)
    results = results if isinstance(results, list) else [results]
    files = [[] for _ in results] if out is None else jobs.write_results(results, out)
    lines = []
    for result, written in zip(results, files, strict=True):
        lines += [*_lines(result.summary), *(f"wrote {path}" for path in written)]
    values = [result.summary for result in results]
    return Answer(lines, values if application == "respond" else values[0])


def _lines(summary: dict) -> list[str]:
    """Sentences for people."""
    height, width = summary["sites"]
    external = f" at B = {summary['external_j']:g} J" if summary["external_j"] else ""
    lines = [
        f"{summary['application']}: {height}×{width} sites{external}, energy "
        f"{summary['energy_before_j']:.4f} → {summary['energy_after_j']:.4f} J per site in "
        f"{summary['iterations']} iterations, {summary['seconds']:.3f} s; "
        f"topological charge {round(summary['charge'])}, mean m_z {summary['m_z']:.3f}"
    ]
    if "angle_after_deg" in summary:
        lines.append(
            f"mean angle to the given spins {summary['angle_before_deg']:.2f} → "
            f"{summary['angle_after_deg']:.2f} degrees, "
            f"their charge {round(summary['charge_true'])}"
        )
    return lines
