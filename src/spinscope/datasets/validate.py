"""Validation of a dataset: every file that breaks a rule is named, with the rule.

The rules are a suite of Great Expectations over the manifest; its Data Docs are part of the report.
`validate` has the rules of images with labels; `checked` applies any rules to any manifest.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spinscope.datasets.agreement import (
    MIN_AGREEMENT,
    MIN_FIT,
    Coarse,
    coarse,
    exchanged_labels,
    opposite_contrast,
)
from spinscope.datasets.copies import SIDE, find_copies, fingerprint
from spinscope.datasets.dataset import Dataset
from spinscope.datasets.manifest import READ_RULES, read_frames
from spinscope.datasets.shards import HEADER, read_header
from spinscope.datasets.splits import Splits
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file, atomic_folder, write_json
from spinscope.pages import render
from spinscope.progress import Progress, no_progress

if TYPE_CHECKING:
    import pandas as pd

MIN_STD = 0.002
"""Lowest standard deviation of an image: half a grey level of 8 bit."""

SIDES = (32, 16384)
"""Shortest and longest side of an image in pixels."""

DEPTHS = (8, 16, 32)
"""Bits per pixel of an image."""

BETWEEN = "ExpectColumnValuesToBeBetween"
_KEY = ["name", "image", "label"]


@dataclass(frozen=True)
class Rule:
    """One rule of the suite: an expectation over a column of the manifest."""

    name: str
    expectation: str
    column: str
    arguments: dict[str, Any]
    file: str
    """File that breaks the rule: ``image`` or ``label``."""
    detail: str
    """Reason, a format string over the row of the manifest."""
    only: str | None = None
    """Value of `use` of the frames to which the rule applies; None for all."""


def read_rule(name: str, file: str) -> Rule:
    """Rule of a frame that cannot be read; the column `rule` of the manifest names it."""
    return Rule(
        name, "ExpectColumnValuesToNotBeInSet", "rule", {"value_set": [name]}, file, "{error}"
    )


ONE_SPLIT = Rule(
    "source in one split", "ExpectColumnValuesToNotMatchRegex", "splits", {"regex": r"\+"},
    "image", "its source {source} is in {splits}",
)  # fmt: skip
NO_COPY = Rule(
    "no duplicate across splits", "ExpectColumnValuesToBeNull", "twin", {}, "image",
    "it is a copy of {twin}",
)  # fmt: skip

RULES = (
    *(read_rule(name, file) for name, file in READ_RULES.items()),
    Rule(
        "image not constant", BETWEEN, "std", {"min_value": MIN_STD}, "image",
        f"its standard deviation is {{std:.5f}}, it must be at least {MIN_STD}",
    ),
    *(
        Rule(
            "plausible size", BETWEEN, side, {"min_value": SIDES[0], "max_value": SIDES[1]},
            "image",
            f"it is {{width}}x{{height}} pixels, a side must be {SIDES[0]} to {SIDES[1]}",
        )
        for side in ("height", "width")
    ),
    Rule(
        "plausible depth", "ExpectColumnValuesToBeInSet", "bits", {"value_set": [*DEPTHS]}, "image",
        f"it has {{bits}} bits a pixel, that must be one of {DEPTHS}",
    ),
    Rule(
        "mask not empty", BETWEEN, "skyrmion", {"min_value": 0, "strict_min": True}, "label",
        "it holds no skyrmion pixel; only a source that is only_training may lack them",
        only="train_test_val",
    ),
    NO_COPY,
    Rule(
        "label fits its image", BETWEEN, "fit", {"min_value": MIN_FIT}, "label",
        f"its correlation with the image is {{fit:.2f}}, it must be at least {MIN_FIT}",
    ),
    Rule(
        "label of its own frame", "ExpectColumnValuesToBeNull", "misplaced", {}, "label",
        "{misplaced}",
    ),
    Rule(
        "contrast of one sign", "ExpectColumnValuesToBeNull", "usual_contrast", {}, "image",
        "its contrast is inverted: {usual_contrast}; augmentation.invert=true accepts both",
    ),
    ONE_SPLIT,
)  # fmt: skip
"""Rules that a dataset of images with labels must satisfy before a model is trained on it."""


class Failure(NamedTuple):
    """A file of the dataset, the rule that it breaks, and the reason."""

    file: str
    rule: str
    detail: str


@dataclass(frozen=True)
class Validation:
    """Result of a validation."""

    ok: bool
    path: Path
    """Folder of the dataset."""
    failures: tuple[Failure, ...]
    manifest: pd.DataFrame
    n_images: int
    rules: tuple[str, ...] = ()
    """Names of the rules."""
    report: Path | None = None
    """Page of the report, if one was written."""


def validate(
    dataset: Dataset,
    splits: Splits | Mapping[str, Iterable[int]] | None = None,
    out: Path | str | None = None,
    *,
    either_contrast: bool = False,
    progress: Progress = no_progress,
) -> Validation:
    """Read every frame of a dataset and check it against `RULES`.

    A bad file is a failure of the result, not an error. Labels of a simulated corpus are exact and
    protected by checksums, so they are not compared with their images.

    Parameters
    ----------
    dataset : Dataset
        Dataset to check.
    splits : Splits or mapping, optional
        Splits, or the batches of each by name, between which frames and sources must differ.
    out : Path, optional
        Folder for the report: index.html, manifest.csv, validation.json and Data Docs.
    either_contrast : bool, default False
        Accept dark and bright skyrmions in one dataset, for a training that inverts half of its
        crops.
    progress : callable
        Wraps the frames.

    Raises
    ------
    SpinscopeError
        If a split names a batch that is not in the dataset.
    """
    simulated = (dataset.path / HEADER).is_file() and "kind" in read_header(dataset.path)
    table, seen = read_frames(
        dataset,
        lambda image, label: (fingerprint(image), None if simulated else coarse(image, label)),
        progress=progress,
    )
    fingerprints, frames = zip(*(frame or (None, None) for frame in seen), strict=True)
    table = with_splits(dataset, table, splits)
    table = table.assign(
        twin=_twins(dataset, table, fingerprints), **_agreement(table, frames, either_contrast)
    )
    return checked(dataset, table, RULES, out)


def checked(
    dataset: Dataset, table: pd.DataFrame, rules: Sequence[Rule], out: Path | str | None = None
) -> Validation:
    """Check the manifest of a dataset against rules.

    Parameters
    ----------
    dataset : Dataset
        Dataset of the manifest.
    table : DataFrame
        Manifest with the columns `name`, `image` and `label` and those of the rules.
    rules : sequence of Rule
    out : Path, optional
        Folder for the report: index.html, manifest.csv, validation.json and Data Docs.
    """
    if out is None:
        return _judge(dataset, table, rules, _run(table, rules, None))
    out = Path(out)
    with atomic_folder(out / "data_docs") as docs:
        results = _run(table, rules, docs)
    validation = _judge(dataset, table, rules, results, out / "index.html")
    with atomic_file(validation.report) as partial:
        partial.write_text(_page(validation))
    with atomic_file(out / "manifest.csv") as partial:
        table.to_csv(partial, index=False, lineterminator="\n")
    failures = [failure._asdict() for failure in validation.failures]
    summary = {"ok": validation.ok, "n_images": validation.n_images, "failures": failures}
    write_json(out / "validation.json", summary)
    return validation


def require_valid(validation: Validation) -> None:
    """Raise SpinscopeError with the first failures of an invalid dataset."""
    if validation.ok:
        return
    shown = [f"{f.file} ({f.rule}): {f.detail}" for f in validation.failures[:3]]
    more = len(validation.failures) - len(shown)
    raise SpinscopeError(
        f"dataset {validation.path} breaks its rules {len(validation.failures)} times: "
        + "; ".join(shown)
        + (f"; and {more} more" if more else "")
        + (f"; see {validation.report}" if validation.report else "")
    )


def with_splits(
    dataset: Dataset, table: pd.DataFrame, splits: Splits | Mapping[str, Iterable[int]] | None
) -> pd.DataFrame:
    """Manifest with the splits of each frame's source, joined by +."""
    if isinstance(splits, Splits):
        named = splits.named()
    else:
        named = {name: dataset.select(batches=b) for name, b in (splits or {}).items()}
    names_of: dict[int, list[str]] = {}
    for name, split in named.items():
        for source in split.sources:
            names_of.setdefault(source, []).append(name)
    return table.assign(splits=["+".join(names_of.get(s, ())) or None for s in table["source"]])


def _twins(
    dataset: Dataset, table: pd.DataFrame, fingerprints: Sequence[np.ndarray | None]
) -> list[str | None]:
    """Frames of another split of which each frame is a copy, and what differs."""
    blank = np.zeros((SIDE, SIDE), dtype=np.float32)
    known = np.array([blank if one is None else one for one in fingerprints])
    splits = [split if isinstance(split, str) else None for split in table["splits"]]
    twins: dict[int, list[str]] = {}
    for first, second, change in find_copies(known, splits, dataset.image):
        one, other = table["image_sha256"].iloc[[first, second]]
        change = change or ("" if one == other else "other grey levels")
        for index, other in ((first, second), (second, first)):
            text = f"{_named(table.iloc[other], 'image')} of {splits[other]}"
            twins.setdefault(index, []).append(text + (f" ({change})" if change else ""))
    return [", ".join(twins.get(index, ())) or None for index in range(len(table))]


def _agreement(
    table: pd.DataFrame, frames: Sequence[Coarse | None], either_contrast: bool
) -> dict[str, Any]:
    """Columns `fit`, `misplaced` and `usual_contrast`; missing where a frame is None."""
    contrast = table[["contrast", "contrast_x", "contrast_y"]].to_numpy(dtype=float, copy=True)
    contrast[[frame is None for frame in frames]] = np.nan
    fit = np.linalg.norm(contrast, axis=1)
    better = exchanged_labels(frames, contrast, table["source"])
    misplaced: dict[int, str] = {
        index: f"it equals {_named(table.iloc[other], 'label')}, which fits its own image better"
        for index, other in _borrowed_labels(table, fit).items()
    }
    misplaced |= {
        index: f"the image fits {_named(table.iloc[other], 'label')} better"
        for index, other in better.items()
    }
    fit[list(misplaced)] = np.nan  # reported once
    contrast[list(misplaced)] = np.nan
    opposite = opposite_contrast(contrast, table["source"]) & (not either_contrast)
    usual = f"{MIN_AGREEMENT:.0%} of the sources or more have the opposite sign"
    return {
        "fit": fit,
        "misplaced": [misplaced.get(index) for index in range(len(table))],
        "usual_contrast": [usual if inverted else None for inverted in opposite],
    }


def _borrowed_labels(table: pd.DataFrame, fit: np.ndarray) -> dict[int, int]:
    """Frames with the same label as a frame of another source that it fits far better."""
    borrowed: dict[int, int] = {}
    ranked = table.reset_index(drop=True).assign(fit=fit).dropna(subset=["fit"])
    for _, same in ranked.sort_values("fit", ascending=False).groupby("label_sha256"):
        owner = same.iloc[0]
        others = same[(same["source"] != owner["source"]) & (same["fit"] < owner["fit"] / 2)]
        borrowed |= dict.fromkeys(map(int, others.index), int(owner.name))
    return borrowed


def _named(row: pd.Series, kind: str) -> str:
    """Name of a frame's image or label: its file, and the frame if that holds several."""
    file = row[kind]
    return file if row["name"] in file else f"frame {row['name']} in {file}"


def _judge(
    dataset: Dataset,
    table: pd.DataFrame,
    rules: Sequence[Rule],
    results: list[Any],
    report: Path | None = None,
) -> Validation:
    """Collect the failures of a suite, once per file and rule."""
    rows = table.set_index(_KEY, drop=False)
    by_name = {(rule.name, rule.column): rule for rule in rules}
    failures: dict[Failure, None] = {}
    for result in results:
        if result.success:
            continue
        config = result.expectation_config
        rule = by_name[config.meta["rule"], config.kwargs["column"]]
        broken = result.result.get("unexpected_index_list")
        if not broken:
            raise RuntimeError(f"rule {rule.name} could not be evaluated: {result.exception_info}")
        for place in broken:
            row = rows.loc[[tuple(place[key] for key in _KEY)]].iloc[0]
            file = row[rule.file]
            detail = rule.detail.format(**row).removeprefix(file).lstrip(": ")
            if row["name"] not in file and "intact" not in rule.name:  # one of many in a shard
                detail = f"frame {row['name']}: {detail}"
            failures[Failure(file, rule.name, detail)] = None
    names = tuple(dict.fromkeys(rule.name for rule in rules))
    return Validation(not failures, dataset.path, tuple(failures), table, len(table), names, report)


def _page(validation: Validation) -> str:
    """The report; the index of the Data Docs is unreadable without the internet."""
    broken = Counter(failure.rule for failure in validation.failures)
    folder = validation.report.parent
    return render(
        "validation.html",
        title=f"{validation.path.name} is {'valid' if validation.ok else 'not valid'}",
        n_images=validation.n_images,
        failures=validation.failures,
        rules=[
            (name, f"broken by {broken[name]}" if broken[name] else "holds")
            for name in validation.rules
        ],
        docs=[
            (kind, page.relative_to(folder).as_posix())
            for kind in ("validations", "expectations")
            for page in sorted((folder / "data_docs" / kind).rglob("*.html"))
        ],
    )


def _run(table: pd.DataFrame, rules: Sequence[Rule], docs: Path | None) -> list[Any]:
    """Results of the suite, one per rule; write Data Docs to the folder `docs`."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx
    from great_expectations import expectations
    from great_expectations.expectations.row_conditions import Column

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    source = context.data_sources.pandas_default
    batch = source.add_dataframe_asset("manifest").add_batch_definition_whole_dataframe("frames")
    suite = context.suites.add(gx.ExpectationSuite("dataset"))
    for rule in rules:
        condition = {"row_condition": Column("use") == rule.only} if rule.only else {}
        suite.add_expectation(
            getattr(expectations, rule.expectation)(
                column=rule.column, **rule.arguments, **condition, meta={"rule": rule.name}
            )
        )
    definition = gx.ValidationDefinition(name="frames", data=batch, suite=suite)
    context.validation_definitions.add(definition)
    actions = []
    if docs:
        for site in list(context.get_config()["data_docs_sites"] or ()):
            context.delete_data_docs_site(site)
        store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.resolve())}
        index = {"class_name": "DefaultSiteIndexBuilder"}
        context.add_data_docs_site(
            "validation",
            {"class_name": "SiteBuilder", "site_index_builder": index, "store_backend": store},
        )
        actions = [gx.checkpoint.UpdateDataDocsAction(name="docs", site_names=["validation"])]
    checkpoint = gx.Checkpoint(
        name="dataset",
        validation_definitions=[definition],
        actions=actions,
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": _KEY},
    )
    context.checkpoints.add(checkpoint)
    (result,) = checkpoint.run(batch_parameters={"dataframe": table}).run_results.values()
    return list(result.results)
