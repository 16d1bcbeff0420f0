"""``spinscope train``, ``spinscope evaluate`` and ``spinscope reproduce``."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from spinscope import families
from spinscope.cli.shared import (
    Answer,
    Data,
    EpochBar,
    Model,
    Settings,
    Tta,
    former,
    integers,
    option,
    output,
    renamed,
    show_progress,
    verb,
    words,
)
from spinscope.config import dataset_path
from spinscope.evaluation import seen_text

app = typer.Typer()


@verb(app)
def train(
    settings: Settings,
    family: Annotated[str, typer.Argument(help=f"{', '.join(families.names())}.")],
    out: output("build/train/FAMILY") = None,
    seeds: option(int, "Number of seeds (training.seeds).") = None,
    steps: option(str, "Steps: train, evaluate, register, comma-separated (all).") = None,
) -> Answer:
    """Train a family over seeds, evaluate the networks, register the best."""
    from spinscope import jobs

    params = settings.load(family, training__seeds=seeds)
    folder = out or jobs.out_folder(f"train/{family}")
    with EpochBar(params) as bar:
        report = jobs.train(
            params,
            folder,
            steps=words(steps) or jobs.STEPS,
            on_epoch=bar,
            progress=show_progress,
        )
    return Answer(training_lines(report), report)


@verb(app)
def evaluate(
    settings: Settings,
    model: Model,
    data: Data = None,
    out: output("none", "JSON file of the whole report") = None,
    batches: option(str, "Batch indices, comma-separated (all).") = None,
    sources: option(str, "Source ids, comma-separated (all).") = None,
    image: option(Path, "PNG file of one frame with its label and prediction.") = None,
    tta: Tta = None,
    adapt: Annotated[
        bool, typer.Option("--adapt", help="Find scale and polarity per source, as `segment`.")
    ] = False,
    level: option(str, "Probability at the boundary, half, mz=0.9, or a file.") = None,
    picture: former(Path, "--picture") = None,
) -> Answer:
    """Score a model on a dataset folder, or every network of a training."""
    from spinscope import jobs
    from spinscope.files import write_json

    if (Path(model) / jobs.TRAINING).is_file():
        given = [data, batches, sources, image, level, adapt or None]
        return _evaluate_training(settings, Path(model), out, given)
    params = settings.load_of(model, evaluation__tta=tta, segment__level=level)
    report = jobs.evaluate_model(
        params,
        model,
        data or dataset_path(params),
        batches=integers("batches", batches),
        sources=integers("sources", sources),
        image=renamed("--picture", "--image", image, picture),
        adapt=adapt,
        progress=show_progress,
    )
    if out is not None:
        write_json(out, report)
    return Answer(evaluation_lines(report), report)


def _evaluate_training(settings: Settings, folder: Path, out: Path | None, given: list) -> Answer:
    """Score every network of a training on the validation frames of the settings."""
    from spinscope import jobs
    from spinscope.errors import SpinscopeError

    if any(value is not None for value in given):
        raise SpinscopeError(
            f"{folder} is a training: it is scored on data.validation_batches, without --data, "
            "--batches, --sources, --image, --adapt and --level"
        )
    params = settings.load(jobs.read_training(folder)["family"])
    report = jobs.evaluate_training(params, folder, out, progress=show_progress)
    return Answer(training_lines(report), report)


@verb(app)
def reproduce(
    settings: Settings,
    model: Annotated[str, typer.Argument(help="models:/NAME@ALIAS or models:/NAME/VERSION.")],
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Install the recorded packages anew in any case.")
    ] = False,
) -> Answer:
    """Repeat the training of a version from its commit and compare scores."""
    from spinscope.errors import SpinscopeError
    from spinscope.jobs import reproducing

    found = reproducing.reproduce(settings.tracking, model, fresh=fresh, say=_show_line)
    lines = [f"{'':<22}{'recorded':>10}{'retrained':>11}{'expected':>20}"] if found.scores else []
    for row in found.scores:
        ends = f"{row.low:.4f} to {row.high:.4f}"
        lines.append(f"{row.metric:<22}{row.recorded:>10.4f}{row.retrained:>11.4f}{ends:>20}")
    sentence = f"{found.ref}: {found.verdict}, {found.why}"
    if found.verdict != reproducing.REPRODUCED:
        return Answer(lines, asdict(found), SpinscopeError(sentence))
    return Answer([*lines, sentence], asdict(found))


@verb(app)
def package(
    settings: Settings,
    model: Annotated[str, typer.Argument(help="models:/NAME@lab, bundled:NAME or a model folder.")],
    out: output("NAME.zip", "ZIP file to write") = None,
) -> Answer:
    """Write a model as a bioimage.io package with Keras and ONNX weights."""
    from spinscope.jobs.packaging import package as write

    found = write(settings.tracking, model, out)
    line = (
        f"{found['file']}: valid package of format {found['format']}, {found['megabytes']:.1f} MB, "
        f"ONNX agrees with Keras in {found['agreement']:.3%} of pixels"
    )
    return Answer([line], found)


def _show_line(text: str) -> None:
    """Print a line on standard error, beside the progress bars."""
    print(text, file=sys.stderr)


def training_lines(report: dict) -> list[str]:
    """Table over the seeds of a training.

    Parameters
    ----------
    report : dict
        Report of a training.
    """
    if "metric" not in report:  # trained, not evaluated yet
        rows = [f"seed {row['seed']}: trained in {row['seconds']:.0f} s" for row in report["seeds"]]
        return [*rows, "next: --steps evaluate,register"]
    key, title = report["metric"]["name"], report["metric"]["title"]
    columns = {"validation": (key, title)}
    if "tta" in report:
        columns["tta"] = f"{key}_tta", "with TTA"
    width, number = len(title) + 8, families.get(report["family"]).metric.form

    def line(first: object, values: Iterable[object], last: str = "", form: str = number) -> str:
        return f"{first:<12}{''.join(f'{value:>{width}{form}}' for value in values)}{last}"

    lines = [line("seed", [head for _, head in columns.values()], f"{'seconds':>10}", "")]
    for row in report["seeds"]:
        scores = [row[column] for column, _ in columns.values()]
        lines.append(line(row["seed"], scores, f"{row['seconds']:>10.0f}"))
    lines.append(line("mean", [report[name][f"{key}.mean"] for name in columns]))
    if len(report["seeds"]) > 1:
        lines.append(line("sd", [report[name][f"{key}.sd"] for name in columns]))
    else:
        lines.append("sd          unknown (one seed)")
    best = next(row for row in report["seeds"] if row["seed"] == report["best_seed"])
    lines.append(seen_text({**best, "n_images": report["n_images"]}))
    lines.append(f"best seed {report['best_seed']}: {report['best']}")
    if "registered" in report:
        lines.append(f"registered: {report['registered']}")
    return lines


def evaluation_lines(report: dict) -> list[str]:
    """Pooled scores of an evaluation.

    Parameters
    ----------
    report : dict
        Report of an evaluation.
    """
    if "objects" not in report:  # a family without masks
        from spinscope.tracking.runs import numbers

        lines = [f"{key:<22}{value:g}" for key, value in numbers(report).items()]
        return [*lines, seen_text(report)]
    objects = report["objects"]
    values = {key: f"{report[key]:.4f}" for key in ("mcc", "accuracy", "f1", "jaccard")}
    if "levels" in report:
        levels = [row["level"] for row in report["levels"]["per_source"]]
        values["mcc at best level"] = (
            f"{report['mcc_best_level']:.4f}, one level per source "
            f"({min(levels):.2f} to {max(levels):.2f})"
        )
    if "sources" in report:
        other = [
            r for r in report["sources"] if r["scale"] is not None or r["polarity"] == "bright"
        ]
        values["adapted"] = f"{len(other)} of {len(report['sources'])} sources, scale or polarity"
    if "calibration" in report:
        found = report["calibration"]
        values["calibration error"] = f"{found['ece']:.4f}"
        if found["ece_calibrated"] is not None:
            values["calibration error"] += (
                f", {found['ece_calibrated']:.4f} calibrated on other sources"
            )
    values |= {f"objects {key}": objects[key] for key in ("true", "predicted")}
    for key, value in (
        ("precision at IoU", objects["precision"]),
        ("recall at IoU", objects["recall"]),
        ("size distance in px", report["size"]["wasserstein_px"]),
    ):
        values[key] = "none" if value is None else f"{value:.4f}"
    values["frames"] = f"{report['n_images']}, {report['frame_ms']:.0f} ms each"
    lines = [f"{key:<22}{value}" for key, value in values.items()]
    lines.append(seen_text(report))
    return [*lines, *([f"note: {report['note']}"] if "note" in report else [])]
