"""`spinscope study …`: published findings, measured with our models."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from spinscope.cli.shared import Json, Profile, Set, say, show_progress
from spinscope.config import load_params
from spinscope.errors import SpinscopeError

study_app = typer.Typer(no_args_is_help=True, help="Published findings, measured with our models.")


Workers = Annotated[int, typer.Option(min=1, help="Trainings side by side.")]
Models = Annotated[list[str], typer.Option("--model", help="REF or NAME=REF, more than once.")]
Track = Annotated[bool, typer.Option("--track/--no-track", help="Keep it in MLflow too.")]


@study_app.command("ltem")
def study_ltem(
    model: Annotated[
        list[str],
        typer.Option(help="REF or NAME=REF; the first is the one trained at -2 mm and 20 degrees."),
    ],
    films: Annotated[Path | None, typer.Option(help="Corpus of films.")] = None,
    numbers: Annotated[
        str | None,
        typer.Option(help="FIRST:LAST or all; else the test batches of the Lorentz corpus."),
    ] = None,
    n: Annotated[int | None, typer.Option("--n", min=1, help="At most so many films.")] = None,
    real: Annotated[Path | None, typer.Option(help="A real micrograph to count in.")] = None,
    real_model: Annotated[str | None, typer.Option(help="NAME that reads it; the last.")] = None,
    axis: Annotated[float, typer.Option(help="Tilt axis of the real micrograph, degrees.")] = 0.0,
    scale: Annotated[
        float | None, typer.Option(min=1e-3, help="It is magnified by this; else by its spacing.")
    ] = None,
    pixel_size: Annotated[float | None, typer.Option(min=1e-6, help="nm, of it.")] = None,
    out: Path | None = None,
    track: Annotated[bool, typer.Option("--track", help="Keep the study in MLflow too.")] = False,
    overrides: Set = [],  # noqa: B006
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Networks on Lorentz micrographs; a study that was stopped goes on where it was."""
    from spinscope.jobs import out_folder
    from spinscope.studies.lorentz.study import Real, ltem_study
    from spinscope.studies.report import study_lines

    params, out = load_params(profile, overrides, family="ltem-unet"), out or out_folder("reports")
    report = ltem_study(
        params,
        model,
        films or out_folder("corpus/films"),
        out,
        numbers=numbers,
        n=n,
        real=None if real is None else Real(real, real_model, axis, scale, pixel_size),
        track=track,
        progress=show_progress,
    )
    page = f"page: {out / 'ltem.html'}"
    say(report, as_json, lambda report: [*study_lines(report), page])


@study_app.command("ablate")
def study_ablate(
    workers: Workers = 1,
    out: Path | None = None,
    track: Track = True,
    overrides: Set = [],  # noqa: B006
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Kerr networks with one factor changed at a time, and the master model."""
    from spinscope.studies.kerr.ablations import ablation_lines, ablations

    report = ablations(
        load_params(profile, overrides, family="moke-unet"),
        out or _moke(),
        workers=workers,
        track=track,
        progress=show_progress,
    )
    say(report, as_json, ablation_lines)


@study_app.command("search")
def study_search(
    workers: Workers = 1,
    out: Path | None = None,
    track: Track = True,
    overrides: Set = [],  # noqa: B006
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Free search of Kerr networks for MCC and frame time at once."""
    from spinscope.studies.kerr.search import search, search_lines

    report = search(
        load_params(profile, overrides, family="moke-unet"),
        out or _moke(),
        workers=workers,
        track=track,
        progress=show_progress,
    )
    say(report, as_json, search_lines)


@study_app.command("relabel")
def study_relabel(
    workers: Workers = 1,
    out: Path | None = None,
    track: Track = True,
    overrides: Set = [],  # noqa: B006
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Hide the defects of most sources, let a network find them again, and train on its labels."""
    from spinscope.studies.kerr.relabelling import relabel, relabel_lines

    report = relabel(
        load_params(profile, overrides, family="moke-unet"),
        out or _moke(),
        workers=workers,
        track=track,
        progress=show_progress,
    )
    say(report, as_json, relabel_lines)


@study_app.command("views")
def study_views(
    model: Models = [],  # noqa: B006
    out: Path | None = None,
    track: Track = False,
    overrides: Set = [],  # noqa: B006
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Test-time augmentation of models, by default of every registered version."""
    from spinscope.studies.kerr.tta import augmented, augmented_lines

    report = augmented(
        load_params(profile, overrides, family="moke-unet"),
        model or None,
        out or _moke(),
        track=track,
        progress=show_progress,
    )
    say(report, as_json, augmented_lines)


@study_app.command("probes")
def study_probes(
    model: Models,
    out: Path | None = None,
    track: Track = False,
    overrides: Set = [],  # noqa: B006
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Grey frames, inverted frames, noise and the limits of imaging: what models make of them."""
    from spinscope.studies.kerr.probes import probe, probe_lines

    report = probe(
        load_params(profile, overrides, family="moke-unet"),
        model,
        out or _moke(),
        track=track,
        progress=show_progress,
    )
    say(report, as_json, probe_lines)


@study_app.command("crossval")
def study_crossval(
    workers: Workers = 1,
    final: Annotated[bool, typer.Option(help="Then train a network on every batch.")] = False,
    out: Path | None = None,
    track: Track = True,
    overrides: Set = [],  # noqa: B006
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Every batch of frames scored by networks that never saw it."""
    from spinscope.studies.kerr.cross_validation import (
        cross_validate,
        cross_validation_lines,
        train_on_all,
    )

    params, out = load_params(profile, overrides, family="moke-unet"), out or _moke()
    report = cross_validate(params, out, workers=workers, track=track, progress=show_progress)
    say(report, as_json, cross_validation_lines)
    if final:
        model = train_on_all(params, out)
        print(f"trained on every batch: {model}", file=sys.stderr if as_json else sys.stdout)


@study_app.command("moke")
def study_moke(
    parts: Annotated[
        Path | None, typer.Option("--parts", help="Folder that the parts were written to.")
    ] = None,
    out: Path | None = None,
    track: Track = False,
    overrides: Set = [],  # noqa: B006
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """The Kerr study on one page, of the parts that were made."""
    from spinscope.jobs import out_folder
    from spinscope.studies.kerr.study import moke_study
    from spinscope.studies.report import study_lines

    out = out or out_folder("reports")
    report = moke_study(
        load_params(profile, overrides, family="moke-unet"), parts or _moke(), out, track=track
    )
    say(report, as_json, lambda report: [*study_lines(report), f"page: {out / 'moke.html'}"])


@study_app.command("table")
def study_table(
    study: Annotated[str, typer.Argument(help="Name of a study that was made.")],
    into: Annotated[
        Path | None,
        typer.Option(help="Markdown page with the lines <!-- NAME --> and <!-- end -->."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the reports.")] = None,
) -> None:
    """Findings of a study as a Markdown table, printed or put into a page."""
    from spinscope.jobs import out_folder
    from spinscope.studies.report import fill, markdown

    path = (out or out_folder("reports")) / f"{study}.json"
    if not path.is_file():
        raise SpinscopeError(f"{path} does not exist: make the study first")
    table = markdown(json.loads(path.read_text()))
    if into is None:
        print(table)
    else:
        fill(into, study, table)


def _moke() -> Path:
    """Where the parts of the Kerr study lie."""
    from spinscope.jobs import out_folder

    return out_folder("study/moke")
