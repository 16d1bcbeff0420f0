"""``spinscope data``: fetch, validate and describe datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spinscope.cli.shared import Answer, Data, Settings, group, option, output, show_progress, verb
from spinscope.config import dataset_path, project_root
from spinscope.errors import SpinscopeError

app = group("Fetch, validate and describe datasets.")


@verb(app, as_json=False)
def fetch(
    settings: Settings,
    name: Annotated[str, typer.Argument(help="moke, the published Kerr images.")] = "moke",
) -> Answer:
    """Download, verify and unpack a published dataset."""
    from spinscope.datasets.fetch import fetch_moke, link_copy

    if name != "moke":
        raise SpinscopeError(f"dataset {name!r} must be moke")
    folder = project_root() / "data" / "moke"
    if copy := link_copy(folder):
        return Answer([f"{folder} is linked to {copy}"])
    fetch_moke(folder, settings.load().fetch, say=print, progress=show_progress)
    return Answer()


@verb(app)
def validate(
    settings: Settings,
    data: Data = None,
    out: output("build/validation", "Folder of the report") = None,
) -> Answer:
    """Check a dataset against the table of rules; report in HTML."""
    from spinscope import families
    from spinscope.datasets.validate import require_valid
    from spinscope.jobs import out_folder, split

    params = settings.load()
    family = families.of_data(data or dataset_path(params))
    dataset, splits = split(params) if data is None else (family.open(data), None)
    result = family.check(
        dataset,
        splits,
        out or out_folder("validation"),
        either_contrast=params.augmentation.invert,
        progress=show_progress,
    )
    try:
        error = require_valid(result)
    except SpinscopeError as failure:
        error = failure
    return Answer(
        [f"{result.n_images} frames checked; report: {result.report}"],
        {
            "ok": result.ok,
            "n_images": result.n_images,
            "failures": [failure._asdict() for failure in result.failures],
            "report": str(result.report),
        },
        error,
    )


@verb(app)
def repair() -> Answer:
    """Find damaged files in the DVC cache and fetch them again."""
    from spinscope.jobs.cached_data import fetch_damaged

    found = [str(path) for path in fetch_damaged(project_root())]
    lines = [f"{path} was damaged and is fetched again" for path in found]
    return Answer(lines or ["no file of the DVC cache is damaged"], {"fetched": found})


@verb(app)
def describe(
    settings: Settings,
    data: option(list[Path], "Dataset folder, repeatable.") = [],  # noqa: B006
    out: output("build/describe", "Folder of the page") = None,
) -> Answer:
    """Compare datasets and their statistics on one HTML page."""
    from spinscope.datasets import open_dataset
    from spinscope.datasets.describe import describe
    from spinscope.jobs import out_folder

    out, folders = out or out_folder("describe"), [*data]
    if not folders:  # the real frames come first: the page compares the others with the first
        usual = [dataset_path(settings.load()), out_folder("corpus/kerr")]
        folders = list(dict.fromkeys(path.resolve() for path in usual if path.is_dir()))
    if not folders:
        raise SpinscopeError("no dataset to describe; name one with --data or make a corpus")
    short = [path.name for path in folders]
    names = short if len(set(short)) == len(short) else [str(path) for path in folders]
    datasets = {name: open_dataset(path) for name, path in zip(names, folders, strict=True)}
    described = describe(datasets, out, progress=show_progress)
    return Answer([f"page: {out / 'index.html'}"], described)
