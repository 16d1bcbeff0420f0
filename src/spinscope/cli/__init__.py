"""The command `spinscope`: one verb a capability. Parses, calls, prints."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from spinscope import families
from spinscope.cli.shared import Data, Json, Profile, Ref, Set, say, show_progress
from spinscope.cli.studies import study_app
from spinscope.config import (
    Params,
    dataset_path,
    load_params,
    project_root,
)
from spinscope.errors import SpinscopeError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="From magnetic micrographs to promoted models and masks in the lab.",
)
data_app = typer.Typer(no_args_is_help=True, help="Fetch, validate and describe datasets.")
corpus_app = typer.Typer(no_args_is_help=True, help="Make simulated corpora.")
registry_app = typer.Typer(no_args_is_help=True, help="Registered models and their promotion.")
flow_app = typer.Typer(no_args_is_help=True, help="Prefect flows, run without a server.")
for name, group in (
    ("data", data_app),
    ("corpus", corpus_app),
    ("registry", registry_app),
    ("flow", flow_app),
    ("study", study_app),
):
    app.add_typer(group, name=name)

Reason = Annotated[str, typer.Option(help="Why; kept in the history.")]
NO_REASON = "no reason given"
Tta = Annotated[int | None, typer.Option(help="Views averaged: 1, 2, 3 or 8.")]


@data_app.command("fetch")
def data_fetch(
    name: Annotated[str, typer.Argument(help="moke, the published Kerr micrographs.")] = "moke",
    overrides: Set = [],  # noqa: B006
    profile: Profile = None,
) -> None:
    """Download, check and unpack a published dataset."""
    from spinscope.datasets.fetch import fetch_moke

    if name != "moke":
        raise SpinscopeError(f"dataset {name!r} must be moke")
    params = load_params(profile, overrides)
    fetch_moke(project_root() / "data" / "moke", params.fetch, say=print, progress=show_progress)


@data_app.command("validate")
def data_validate(
    data: Data = None,
    out: Path | None = None,
    overrides: Set = [],  # noqa: B006
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Hold a dataset against the table of rules; Data Docs in HTML."""
    from spinscope.datasets import open_dataset
    from spinscope.datasets.validate import require_valid, validate
    from spinscope.jobs import out_folder, split

    params = load_params(profile, overrides)
    if data is None:
        dataset, splits = split(params)
    else:
        dataset, splits = open_dataset(data), None
    found = validate(dataset, splits, out or out_folder("validation"), progress=show_progress)
    say(
        {
            "ok": found.ok,
            "n_images": found.n_images,
            "failures": [failure._asdict() for failure in found.failures],
            "report": str(found.report),
        },
        as_json,
        lambda _: [f"{found.n_images} frames checked; report: {found.report}"],
    )
    require_valid(found)


@data_app.command("describe")
def data_describe(
    data: Annotated[list[Path], typer.Option(help="Dataset folder, more than once.")] = [],  # noqa: B006
    out: Path | None = None,
    overrides: Set = [],  # noqa: B006
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Set datasets and their statistics side by side on one page."""
    from spinscope.datasets import open_dataset
    from spinscope.datasets.describe import describe
    from spinscope.jobs import out_folder

    out = out or out_folder("describe")
    folders = [*data]
    if not folders:
        # The real frames first: the others are held against the first.
        usual = [
            dataset_path(load_params(profile, overrides)),
            out_folder("corpus/kerr"),
        ]
        folders = list(dict.fromkeys(path.resolve() for path in usual if path.is_dir()))
    if not folders:
        raise SpinscopeError("no dataset to describe; name one with --data or make a corpus")
    short = [path.name for path in folders]
    names = short if len(set(short)) == len(short) else [str(path) for path in folders]
    datasets = {name: open_dataset(path) for name, path in zip(names, folders, strict=True)}
    described = describe(datasets, out, progress=show_progress)
    say(described, as_json, lambda _: [f"page: {out / 'index.html'}"])


@corpus_app.command("kerr")
def corpus_kerr(
    n: Annotated[int | None, typer.Option("--n", help="Frames.")] = None,
    seed: int | None = None,
    out: Path | None = None,
    preview: Annotated[Path | None, typer.Option(help="Also draw the frames to this PNG.")] = None,
    overrides: Set = [],  # noqa: B006
    profile: Profile = None,
) -> None:
    """Simulate Kerr micrographs with exact labels."""
    from spinscope.datasets import open_dataset
    from spinscope.jobs import corpus, out_folder

    extra = [] if n is None else [f"kerr.n={n}"]
    extra += [] if seed is None else [f"seed={seed}"]
    params = load_params(profile, [*overrides, *extra], family="moke-unet")
    path = corpus(params, out or out_folder("corpus/kerr"), progress=show_progress)
    print(f"{len(open_dataset(path))} frames in {path}")
    if preview is not None:
        from spinscope.corpora.preview import preview_frames as draw

        print(f"picture: {draw(open_dataset(path), preview)}")


@corpus_app.command("films")
def corpus_films(
    n: Annotated[int | None, typer.Option("--n", help="Films.")] = None,
    seed: int | None = None,
    out: Path | None = None,
    files: Annotated[
        list[Path], typer.Option("--import", help="OVF file of another program, more than once.")
    ] = [],  # noqa: B006
    mx3: Annotated[
        Path | None, typer.Option(help="Folder for a script of mumax3 for each film.")
    ] = None,
    overrides: Set = [],  # noqa: B006
    profile: Profile = None,
) -> None:
    """Relax magnetic films, or take in those of another program."""
    from spinscope import jobs

    if files and (n is not None or seed is not None):
        raise SpinscopeError("--import takes films as they are; --n and --seed must be left out")
    extra = [] if n is None else [f"films.n={n}"]
    extra += [] if seed is None else [f"seed={seed}"]
    params = load_params(profile, [*overrides, *extra], family="ltem-unet")
    folder = out or jobs.out_folder("corpus/films")
    if files:
        jobs.import_films(params, files, folder, progress=show_progress)
    else:
        jobs.films(params, folder, progress=show_progress)
    print("\n".join(jobs.film_lines(folder)))
    if mx3 is not None:
        print(f"{len(jobs.scripts(params, folder, mx3))} scripts in {mx3}")


@corpus_app.command("ltem")
def corpus_ltem(
    films: Annotated[Path | None, typer.Option(help="Corpus of films.")] = None,
    seed: int | None = None,
    out: Path | None = None,
    preview: Annotated[
        Path | None, typer.Option(help="Also draw the first images to this PNG.")
    ] = None,
    overrides: Set = [],  # noqa: B006
    profile: Profile = None,
) -> None:
    """Lorentz micrographs of the films, with exact labels."""
    from spinscope import jobs
    from spinscope.datasets import open_dataset

    extra = [] if seed is None else [f"seed={seed}"]
    params = load_params(profile, [*overrides, *extra], family="ltem-unet")
    folder = films or jobs.out_folder("corpus/films")
    path = jobs.ltem_corpus(params, folder, out or dataset_path(params), progress=show_progress)
    dataset = open_dataset(path)
    print(f"{len(dataset)} images of {len(dataset.sources)} films in {path}")
    if preview is not None:
        from spinscope.corpora.preview import preview_frames as draw

        first = dataset.select(sources=dataset.sources[:16])
        print(f"picture: {draw(first, preview)}")


@app.command()
def train(
    family: Annotated[str, typer.Argument(help="moke-unet or ltem-unet.")],
    out: Path | None = None,
    seeds: Annotated[int | None, typer.Option(help="Number of seeds.")] = None,
    overrides: Set = [],  # noqa: B006
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Validate, train over seeds, evaluate, track and register a model family."""
    from spinscope import jobs

    extra = [] if seeds is None else [f"training.seeds={seeds}"]
    params = load_params(profile, [*overrides, *extra], family=family)
    with EpochBar(params) as bar:
        report = jobs.train(
            params, out or jobs.out_folder(f"train/{family}"), on_epoch=bar, progress=show_progress
        )
    say(report, as_json, training_lines)


@app.command()
def evaluate(
    model: Ref,
    data: Data = None,
    out: Path | None = None,
    batches: Annotated[str | None, typer.Option(help="Comma-separated lines of partition.")] = None,
    sources: Annotated[str | None, typer.Option(help="Comma-separated source ids.")] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Draw the fullest frame, its label and prediction.")
    ] = None,
    tta: Tta = None,
    overrides: Set = [],  # noqa: B006
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Score a model on a dataset folder; the whole report goes to --out."""
    from spinscope import jobs
    from spinscope.files import write_json

    params = _params_of(model, profile, [*overrides, *_tta(tta)])
    report = jobs.evaluate_model(
        params,
        model,
        data or dataset_path(params),
        batches=_integers("batches", batches),
        sources=_integers("sources", sources),
        image=picture,
        progress=show_progress,
    )
    if out is not None:
        write_json(out, report)
    say(report, as_json, evaluation_lines)


@app.command()
def segment(
    files: Annotated[
        list[Path], typer.Argument(help="Images, TIFF stacks, AVI or MP4, folders of images.")
    ],
    model: Annotated[
        list[str],
        typer.Option(
            help="models:/NAME@lab, bundled:NAME or a model folder; several are averaged."
        ),
    ] = ["bundled:moke-unet"],  # noqa: B006
    out: Path | None = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Take a folder's frames as they appear, until Ctrl-C.")
    ] = False,
    pixel_size: Annotated[
        float | None, typer.Option(help="nm; goes before what the recording says.")
    ] = None,
    tta: Tta = None,
    overrides: Set = [],  # noqa: B006
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Masks and measurements of recordings; an interrupted call goes on where it stopped."""
    from spinscope import jobs

    extra = [] if tta is None else [f"segment.tta={tta}"]
    extra += [] if pixel_size is None else [f"segment.pixel_size_nm={pixel_size}"]
    params = load_params(profile, [*overrides, *extra])
    out = out or Path("masks")
    with FrameBar() as bar, _on_interrupt(watch) as left:
        try:
            rows = jobs.segment(params, files, model, out, watch=watch, stop=left, on_frame=bar)
        except KeyboardInterrupt:
            print(f"left; what is done is kept in {out}, the same command goes on", file=sys.stderr)
            raise
    say(rows, as_json, lambda rows: [segmentation_line(row) for row in rows])
    if errors := [row["error"] for row in rows if "error" in row]:
        raise SpinscopeError("; ".join(errors))


@app.command()
def measure(
    folder: Annotated[Path, typer.Argument(help="Folder that `segment` wrote.")],
    film: Annotated[
        Path | None, typer.Option(help="Image that is black where a patterned sample has no film.")
    ] = None,
    overrides: Set = [],  # noqa: B006
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Lattice order and tracks of a segmented recording."""
    from spinscope import jobs

    figures = jobs.measure(load_params(profile, overrides), folder, film)
    say(figures, as_json, figure_lines)


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Folder that `segment` wrote.")],
    kinds: Annotated[
        list[str], typer.Option("--to", help="roi, labels, classes, coco, csv, png or mp4.")
    ],
    out: Annotated[Path | None, typer.Option(help="Folder; by default the results' own.")] = None,
    as_json: Json = False,
) -> None:
    """Write a segmented recording as Fiji, OME, COCO and others read it."""
    from spinscope import jobs

    written = {kind: str(path) for kind, path in jobs.export(folder, kinds, out).items()}
    say(written, as_json, lambda written: list(written.values()))


@registry_app.command("list")
def registry_list(
    name: Annotated[str | None, typer.Argument()] = None,
    overrides: Set = [],  # noqa: B006
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Registered versions, newest first."""
    from spinscope.tracking import versions

    _table(versions(_store(profile, overrides), name), as_json, "no model is registered yet")


@registry_app.command("compare")
def registry_compare(
    a: str,
    b: str,
    overrides: Set = [],  # noqa: B006
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """What two versions differ in; each is models:/NAME@ALIAS or models:/NAME/VERSION."""
    from spinscope.tracking import compare
    from spinscope.tracking.registry import find

    store = _store(profile, overrides)
    _table(compare(find(store, a), find(store, b)), as_json, "the two do not differ")


@registry_app.command("add")
def registry_add(
    model: Annotated[str, typer.Argument(help="bundled:NAME or a model folder.")],
    name: Annotated[
        str | None, typer.Option(help="Registered name; by default tracking.experiment.")
    ] = None,
    overrides: Set = [],  # noqa: B006
    profile: Profile = None,
) -> None:
    """Register a model that was trained elsewhere, measured on the validation frames."""
    from spinscope import jobs

    params = _params_of(model, profile, overrides)
    version = jobs.add(params, model, name or params.tracking.experiment)
    metric = families.of(params).metric
    value = version.number(f"{metric.name}.mean")
    print(f"{version.ref}: {metric.title} {value:.4f} on the validation frames")


@registry_app.command("promote")
def registry_promote(
    name: str,
    version: Annotated[int | None, typer.Option(help="The newest, if none is named.")] = None,
    reason: Reason = NO_REASON,
    overrides: Set = [],  # noqa: B006
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Hand a version to the lab, if it passes every gate of params.yaml."""
    from dataclasses import asdict

    from spinscope import jobs
    from spinscope.tracking import PromotionRefused

    family = jobs.family_of_version(load_params(profile, overrides).tracking, name, version)
    params = load_params(profile, overrides, family=family)
    try:
        promotion = jobs.promote(params, name, version, reason)
    except PromotionRefused as refused:
        print("\n".join(gate_lines(refused.gates)), file=sys.stderr)
        raise
    say(
        asdict(promotion),
        as_json,
        lambda _: [
            *gate_lines(promotion.gates),
            f"{promotion.ref} is version {promotion.to_version}",
        ],
    )


@registry_app.command("rollback")
def registry_rollback(
    name: str,
    reason: Reason = NO_REASON,
    overrides: Set = [],  # noqa: B006
    profile: Profile = None,
) -> None:
    """Give the lab the version before."""
    from spinscope.tracking import rollback

    step = rollback(_store(profile, overrides), name, reason=reason)
    print(f"{step.ref} is version {step.to_version} again (was {step.from_version})")


@registry_app.command("history")
def registry_history(
    name: str,
    overrides: Set = [],  # noqa: B006
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Who promoted what, when, why, from which version to which."""
    import pandas as pd

    from spinscope.tracking import history

    columns = ["when", "who", "action", "from_version", "to_version", "reason"]
    steps = history(_store(profile, overrides), name)
    rows = [{column: getattr(step, column) for column in columns} for step in steps]
    table = pd.DataFrame(rows, columns=columns)
    table["from_version"] = table["from_version"].astype("Int64")
    _table(table, as_json, f"{name} has not been promoted yet")


@flow_app.command("list")
def flow_list() -> None:
    """Flows that can be run."""
    for name, path in _flows().items():
        line = next(line for line in path.read_text().splitlines() if line.startswith('"""'))
        print(f"{name:<16}{line.strip(chr(34))}")


@flow_app.command(
    "run", context_settings={"ignore_unknown_options": True, "allow_extra_args": True}
)
def flow_run(context: typer.Context, name: str) -> None:
    """Run a flow here; what follows NAME is handed to it."""
    import subprocess

    from spinscope.serve import project_environment

    flows = _flows()
    if name not in flows:
        raise SpinscopeError(f"flow {name!r} must be one of {', '.join(flows)}")
    command = [sys.executable, str(flows[name]), *context.args]
    environment = project_environment(project_root())
    raise typer.Exit(subprocess.run(command, env=environment).returncode)


@app.command()
def serve(
    open_browser: Annotated[bool, typer.Option("--open", help="Open the dashboard.")] = False,
    overrides: Set = [],  # noqa: B006
    profile: Profile = None,
) -> None:
    """MLflow, Prefect and the dashboard on 127.0.0.1 until Ctrl-C."""
    from spinscope.serve import serve as run

    run(load_params(profile, overrides), overrides, open_browser=open_browser)


@app.command()
def demo(overrides: Set = [], profile: Profile = "demo") -> None:  # noqa: B006
    """The main job on simulated frames, from corpus to promoted model, in minutes."""
    from spinscope.demo import demo as run

    params = load_params(profile, overrides, family="moke-unet")
    with EpochBar(params) as bar:
        lines = run(params, on_epoch=bar, progress=show_progress, say=lambda text: print(text))
    print("\n".join(lines))


def training_lines(report: dict) -> list[str]:
    """Table over the seeds of a training's report."""
    key, title = report["metric"]["name"], report["metric"]["title"]
    reports = {"validation": (key, title)}
    if "tta" in report:
        reports["tta"] = f"{key}_tta", "with TTA"
    width = len(title) + 8
    heads = "".join(f"{head:>{width}}" for _, head in reports.values())
    lines = [f"{'seed':<12}{heads}{'seconds':>10}"]
    for row in report["seeds"]:
        values = "".join(f"{row[column]:>{width}.4f}" for column, _ in reports.values())
        lines.append(f"{row['seed']:<12}{values}{row['seconds']:>10.0f}")
    for what in ("mean", "sd"):
        values = "".join(f"{report[name][f'{key}.{what}']:>{width}.4f}" for name in reports)
        lines.append(f"{what:<12}{values}")
    lines.append(f"best seed {report['best_seed']}: {report['best']}")
    if "registered" in report:
        lines.append(f"registered: {report['registered']}")
    return lines


def evaluation_lines(report: dict) -> list[str]:
    """The pooled figures of an evaluation's report."""
    if "objects" not in report:  # no masks
        from spinscope.tracking.runs import numbers

        return [f"{key:<22}{value:g}" for key, value in numbers(report).items()]
    objects, size = report["objects"], report["size"]
    lines = [f"{key:<22}{report[key]:.4f}" for key in ("mcc", "accuracy", "f1", "jaccard")]
    lines += [
        f"{'objects true':<22}{objects['true']}",
        f"{'objects predicted':<22}{objects['predicted']}",
    ]
    for key, value in (
        ("precision at IoU", objects["precision"]),
        ("recall at IoU", objects["recall"]),
        ("size distance in px", size["wasserstein_px"]),
    ):
        lines.append(f"{key:<22}{'none' if value is None else f'{value:.4f}'}")
    lines.append(f"{'frames':<22}{report['n_images']}, {report['frame_ms']:.0f} ms each")
    return [*lines, *([f"note: {report['note']}"] if "note" in report else [])]


def segmentation_line(row: dict) -> str:
    """One line about a segmented recording."""
    share = row.get("fraction", {}).get("skyrmion", 0.0)
    if row["frames"] == 1:
        found = f"{row['objects']} skyrmions on {100 * share:.2f} % of the frame"
    else:
        speed = f", {row['frames_per_s']:.1f} frames/s" if row["frames_per_s"] else ""
        found = f"{row['objects']} skyrmions in {row['frames']} frames{speed}"
    previous = f" (earlier results: {row['previous']})" if row["previous"] else ""
    note = f" ({row['note']})" if "note" in row else ""
    return f"{row['folder']}: {found}{previous}{note}"


def figure_lines(figures: dict) -> list[str]:
    """A line a figure, with its standard error or its spread over the frames."""
    lines = []
    for key, value in figures.items():
        if not isinstance(value, int | float) or key.endswith(("_se", "_sd")):
            continue
        line = f"{key:<28}{_plainly(value, 5)}"
        for end, what in (("_se", "standard error"), ("_sd", "SD over frames")):
            if figures.get(key + end):
                line += f" ± {_plainly(figures[key + end], 2)} ({what})"
        lines.append(line)
    return [*lines, *([f"note: {figures['note']}"] if "note" in figures else [])]


def _plainly(value: float, digits: int) -> str:
    """A number of so many digits, without an exponent where that is readable; a count as it is."""
    if isinstance(value, int):
        return str(value)
    if value and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.{digits}g}"
    decimals = max(digits - 1 - math.floor(math.log10(abs(value))), 0) if value else 0
    return f"{value:.{decimals}f}" if decimals else f"{round(value):d}"


def gate_lines(gates) -> list[str]:
    """Table of promotion gates."""
    number = lambda value: "" if value is None else f"{value:.4g}"  # noqa: E731
    return [
        f"{'pass' if gate.passed else 'FAIL'}  {gate.name:<28}{number(gate.measured):>10}"
        f"{number(gate.limit):>10}  {gate.rule}"
        for gate in gates
    ]


@dataclass
class EpochBar:
    """A progress bar over the epochs of all seeds."""

    params: Params
    _bar: Any = None

    def __enter__(self) -> EpochBar:
        return self

    def __call__(self, seed: int, epoch: int, logs: dict[str, float]) -> None:
        from tqdm import tqdm

        training = self.params.training
        if self._bar is None or epoch < self._bar.n:
            self.__exit__()
            self._bar = tqdm(
                total=training.epochs, initial=epoch, desc=f"train seed {seed}", unit="epoch"
            )
        value = f"val_{families.get(self.params.family).metric.name}"
        self._bar.set_postfix({value: f"{logs[value]:.4f}"}, refresh=False)
        self._bar.update(epoch + 1 - self._bar.n)
        if epoch + 1 == training.epochs:
            self.__exit__()

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


@dataclass
class FrameBar:
    """A progress bar over the frames of each recording, for work over two seconds."""

    _bar: Any = None
    _name: str | None = None

    def __enter__(self) -> FrameBar:
        return self

    def __call__(self, name: str, done: int, total: int | None = None) -> None:
        from tqdm import tqdm

        if name != self._name:
            self.__exit__()
            self._name = name
            self._bar = tqdm(desc=name, total=total, initial=done, unit=" frames", delay=2)
        self._bar.update(done - self._bar.n)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


@contextlib.contextmanager
def _on_interrupt(asked: bool):
    """Where `asked`, Ctrl-C ends the work in good order: yields what tells whether it was hit."""
    hit = threading.Event()
    if not asked:
        yield hit.is_set
        return
    before = signal.signal(signal.SIGINT, lambda *_: hit.set())
    try:
        yield hit.is_set
    finally:
        signal.signal(signal.SIGINT, before)


def _flows() -> dict[str, Path]:
    """Flow name → file; `serve.py` is the program that deploys them."""
    files = sorted((project_root() / "flows").glob("[!_]*.py"))
    return {path.stem.replace("_", "-"): path for path in files if path.stem != "serve"}


def _store(profile: str | None, overrides: list[str]):
    from spinscope.tracking import open_store

    return open_store(load_params(profile, overrides).tracking)


def _params_of(model: str, profile: str | None, overrides: list[str]) -> Params:
    """Settings of the family that a model is of."""
    from spinscope import jobs

    family = jobs.family_of(load_params(profile, overrides).tracking, model)
    return load_params(profile, overrides, family=family)


def _tta(views: int | None) -> list[str]:
    return [] if views is None else [f"evaluation.tta={views}"]


def _integers(what: str, text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise SpinscopeError(f"--{what} {text!r} must be integers, comma-separated") from None


def _table(table, as_json: bool, empty: str) -> None:
    if as_json:
        print(table.to_json(orient="records", indent=1))
    else:
        print(empty if table.empty else table.to_string(index=False, max_colwidth=48))


def main() -> None:
    """Entry point: one sentence and exit code 1 on bad input, 130 on Ctrl-C."""
    for variable, value in (("TF_CPP_MIN_LOG_LEVEL", "3"), ("KERAS_BACKEND", "tensorflow")):
        os.environ.setdefault(variable, value)
    try:
        app()
    except SpinscopeError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
