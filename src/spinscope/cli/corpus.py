"""``spinscope corpus``: simulate corpora."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Annotated

import typer

from spinscope.cli.shared import (
    Answer,
    Preview,
    Seed,
    Settings,
    group,
    option,
    output,
    show_progress,
    verb,
)
from spinscope.config import dataset_path
from spinscope.errors import SpinscopeError

app = group("Simulate corpora.")
KERR, LORENTZ, SPINS = "moke-unet", "ltem-unet", "field-fcn"
DOMAINS = {"dmi": "parameter-cnn", "ms": "parameter-cnn-ms"}


@verb(app, as_json=False)
def kerr(
    settings: Settings,
    n: option(int, "Number of frames (kerr.n).", "--n") = None,
    seed: Seed = None,
    out: output("build/corpus/kerr") = None,
    preview: Preview = None,
) -> Answer:
    """Simulate Kerr images with exact labels."""
    from spinscope.datasets import open_dataset
    from spinscope.jobs import corpus, out_folder

    params = settings.load(KERR, kerr__n=n, seed=seed)
    path = corpus(params, out or out_folder("corpus/kerr"), progress=show_progress)
    dataset = open_dataset(path)
    return Answer([f"{len(dataset)} frames in {path}", *_preview(dataset, preview)])


@verb(app, settings=False)
def raw(
    kind: Annotated[
        str, typer.Argument(help="loop, bubble, in-plane, stripes, skyrmions or events.")
    ],
    out: output("KIND.tif", "TIFF file; its .csv and .truth.json go beside it") = None,
    n: option(int, "Number of frames, 4 of them the reference (60).", "--n") = None,
    seed: option(int, "Seed of the random numbers (0).") = None,
    bits: option(int, "Bits of the camera, 8 to 16 (12).") = None,
) -> Answer:
    """Simulate a raw Kerr recording with its fields and its truth."""
    from spinscope.corpora.raw_kerr import FRAMES, write_raw_recording
    from spinscope.physics.raw_kerr import Camera

    path = out or Path(f"{kind}.tif")
    camera = Camera() if bits is None else Camera(bits=bits)
    truth = write_raw_recording(
        kind, path, n=FRAMES if n is None else n, seed=seed or 0, camera=camera
    )
    lines = [
        f"{truth['frames']} raw frames in {path}, the first {truth['reference_frames']} saturated",
        f"fields in {path.with_suffix('.csv')}, truth in {path.with_suffix('.truth.json')}",
    ]
    return Answer(lines, {"file": str(path)} | truth)


@verb(app, as_json=False)
def films(
    settings: Settings,
    n: option(int, "Number of films (films.n).", "--n") = None,
    seed: Seed = None,
    out: output("build/corpus/films") = None,
    files: option(list[Path], "OVF file to import, repeatable.", "--import") = [],  # noqa: B006
    mx3: option(Path, "Folder to write a mumax3 script per film to.") = None,
) -> Answer:
    """Relax magnetic films, or import those of another program."""
    from spinscope import jobs

    if files and (n is not None or seed is not None):
        raise SpinscopeError("--import takes films as they are; --n and --seed must be left out")
    params = settings.load(LORENTZ, films__n=n, seed=seed)
    folder = out or jobs.out_folder("corpus/films")
    if files:
        jobs.import_films(params, files, folder, progress=show_progress)
    else:
        jobs.films(params, folder, progress=show_progress)
    lines = jobs.film_lines(folder)
    if mx3 is not None:
        lines.append(f"{len(jobs.scripts(params, folder, mx3))} scripts in {mx3}")
    return Answer(lines)


@verb(app, as_json=False)
def ltem(
    settings: Settings,
    films: option(Path, "Corpus of films (build/corpus/films).") = None,
    seed: Seed = None,
    out: output("data.path of the family") = None,
    preview: Preview = None,
) -> Answer:
    """Simulate Lorentz images of films with exact labels."""
    from spinscope import jobs
    from spinscope.datasets import open_dataset

    params = settings.load(LORENTZ, seed=seed)
    folder = films or jobs.out_folder("corpus/films")
    path = jobs.corpus(params, out or dataset_path(params), source=folder, progress=show_progress)
    dataset = open_dataset(path)
    first = dataset.select(sources=dataset.sources[:16])
    count = f"{len(dataset)} images of {len(dataset.sources)} films in {path}"
    return Answer([count, *_preview(first, preview)])


@verb(app, as_json=False)
def lattice(
    settings: Settings,
    n: option(int, "Number of lattices (lattice.n).", "--n") = None,
    seed: Seed = None,
    out: output("data.path of the family") = None,
    preview: Preview = None,
) -> Answer:
    """Anneal lattices of classical spins by Monte Carlo."""
    from spinscope import families, jobs

    params = settings.load(SPINS, lattice__n=n, seed=seed)
    path = jobs.corpus(params, out or dataset_path(params), progress=show_progress)
    dataset = families.get(SPINS).open(path)
    energy = [float(row["energy_j"]) for row in dataset.store.rows]
    mean, spread = statistics.fmean(energy), statistics.pstdev(energy)
    size = f"{params.lattice.size}×{params.lattice.size}"
    lines = [f"{len(dataset)} lattices of {size} sites in {path}",
             f"energy {mean:.5f} ± {spread:.5f} J per site"]  # fmt: skip
    if preview is not None:
        from spinscope.corpora.preview import preview_lattices

        lines.append(f"preview: {preview_lattices(dataset, preview)}")
    return Answer(lines)


@verb(app, as_json=False)
def domains(
    settings: Settings,
    parameter: option(str, "Constant that varies: dmi or ms (dmi).") = "dmi",
    n: option(int, "Number of films (domains.n).", "--n") = None,
    seed: Seed = None,
    out: output("data.path of the family") = None,
    preview: Preview = None,
) -> Answer:
    """Relax films with magnetic domains for many values of D or Ms."""
    from spinscope import families, jobs
    from spinscope.analysis.domains import domain_width
    from spinscope.corpora.domains import films_of
    from spinscope.datasets.shards import read_header

    if parameter not in DOMAINS:
        raise SpinscopeError(f"--parameter (={parameter}) must be {' or '.join(DOMAINS)}")
    params = settings.load(DOMAINS[parameter], domains__n=n, seed=seed)
    path = jobs.corpus(params, out or dataset_path(params), progress=show_progress)
    dataset, header = families.of(params).open(path), read_header(path)
    store, films = dataset.store, films_of(dataset)
    width = [1e9 * domain_width(store.film(dataset.rows[index]), store.cell) for index in films]
    mean, spread = statistics.fmean(width), statistics.pstdev(width)
    size = f"{header['size']}×{header['size']}"
    lines = [f"{len(films)} films of {size} cells, {len(dataset)} views in {path}",
             f"domain width {mean:.1f} ± {spread:.1f} nm"]  # fmt: skip
    for key, words in (("not_converged", "not converged"), ("saturated", "saturated")):
        if header[key]:
            lines.append(f"{words} and left out: {header[key]} films")
    if preview is not None:
        from spinscope.corpora.preview import preview_domains

        lines.append(f"preview: {preview_domains(dataset, preview)}")
    return Answer(lines)


def _preview(dataset, path: Path | None) -> list[str]:
    """Draw images of a dataset to a file, if one is named; the line that names it."""
    if path is None:
        return []
    from spinscope.corpora.preview import preview_frames

    return [f"preview: {preview_frames(dataset, path)}"]
