"""A dataset held against a table of rules: what breaks one is named with file and rule.

The rules run as a Great Expectations suite over the manifest; its Data Docs are the report.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from spinscope.datasets.dataset import Dataset
from spinscope.datasets.manifest import READ_RULES, manifest
from spinscope.datasets.splits import Splits
from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file, atomic_folder, write_json
from spinscope.pages import render

if TYPE_CHECKING:
    import pandas as pd

MIN_STD = 0.002
"""Half a level of 8 bit: a frame that varies less shows nothing."""

SIDES = (32, 16384)
DEPTHS = (8, 16, 32)

_KEY = ["name", "image", "label"]
_BETWEEN = "ExpectColumnValuesToBeBetween"


@dataclass(frozen=True)
class Rule:
    """One line of the suite: an expectation over a column of the manifest.

    file : which file breaks it.   detail : what to say, filled with the row of the manifest.
    only : value of `use` that a frame must have for the rule to hold for it.
    """

    name: str
    expectation: str
    column: str
    arguments: dict[str, Any]
    file: str
    detail: str
    only: str | None = None


RULES = (
    *(
        Rule(name, "ExpectColumnValuesToNotBeInSet", "rule", {"value_set": [name]}, file, "{error}")
        for name, file in READ_RULES.items()
    ),
    Rule(
        "image not constant", _BETWEEN, "std", {"min_value": MIN_STD}, "image",
        f"its standard deviation is {{std:.5f}}, it must be at least {MIN_STD}",
    ),
    *(
        Rule(
            "plausible size", _BETWEEN, side, {"min_value": SIDES[0], "max_value": SIDES[1]},
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
        "mask not empty", _BETWEEN, "skyrmion", {"min_value": 0, "strict_min": True}, "label",
        "it holds no skyrmion pixel; only a source that is only_training may lack them",
        only="train_test_val",
    ),
    Rule(
        "no duplicate across splits", "ExpectColumnValuesToBeNull", "twin", {}, "image",
        "it has the same pixels as {twin}",
    ),
    Rule(
        "source in one split", "ExpectColumnValuesToNotMatchRegex", "splits", {"regex": r"\+"},
        "image", "its source {source} is in {splits}",
    ),
)  # fmt: skip
"""What a dataset must fulfil before anything is trained on it."""


class Failure(NamedTuple):
    """A file below the dataset's folder, the rule that it breaks, and how."""

    file: str
    rule: str
    detail: str


@dataclass(frozen=True)
class Validation:
    """What validation found. `report` is the page that tells it, where one was asked for."""

    ok: bool
    path: Path
    failures: tuple[Failure, ...]
    manifest: pd.DataFrame
    n_images: int
    report: Path | None = None


def validate(
    dataset: Dataset,
    splits: Splits | Mapping[str, Iterable[int]] | None = None,
    out: Path | str | None = None,
    *,
    progress: Callable[..., Iterable] = lambda items, **_: items,
) -> Validation:
    """Read every frame of `dataset` and hold it against `RULES`.

    splits : the splits that will be used, or the batches of each by name; rules between splits hold
    for these. None: there are none.
    out : folder for `index.html`, `manifest.csv`, `validation.json` and the Data Docs.
    Raises SpinscopeError only for splits that name what is not in the dataset; a bad file is a
    failure, not an error.
    """
    table = manifest(dataset, progress=progress)
    table = table.assign(**_across_splits(dataset, table, splits))
    if out is None:
        return _judge(dataset, table, _run(table, None))
    out = Path(out)
    with atomic_folder(out / "data_docs") as docs:
        results = _run(table, docs)
    validation = _judge(dataset, table, results, out / "index.html")
    with atomic_file(validation.report) as partial:
        partial.write_text(_page(validation))
    with atomic_file(out / "manifest.csv") as partial:
        table.to_csv(partial, index=False, lineterminator="\n")
    write_json(
        out / "validation.json",
        {
            "ok": validation.ok,
            "n_images": validation.n_images,
            "failures": [failure._asdict() for failure in validation.failures],
        },
    )
    return validation


def require_valid(validation: Validation) -> None:
    """Raise SpinscopeError that names the first failures of an invalid dataset; else do nothing."""
    if validation.ok:
        return
    shown = [f"{f.file} ({f.rule}): {f.detail}" for f in validation.failures[:3]]
    more = len(validation.failures) - len(shown)
    where = f"; see {validation.report}" if validation.report else ""
    raise SpinscopeError(
        f"dataset {validation.path} breaks its rules {len(validation.failures)} times: "
        + "; ".join(shown)
        + (f"; and {more} more" if more else "")
        + where
    )


def _across_splits(
    dataset: Dataset, table: pd.DataFrame, splits: Splits | Mapping[str, Iterable[int]] | None
) -> dict[str, list[str | None]]:
    """Columns `splits` (of a frame's source, joined by +) and `twin` (same pixels, other split)."""
    if splits is None:
        parts = {}
    elif isinstance(splits, Splits):
        parts = splits.named()
    else:
        parts = {name: dataset.select(batches=b) for name, b in splits.items()}
    of_source: dict[int, list[str]] = {}
    for name, part in parts.items():
        for source in part.sources:
            of_source.setdefault(source, []).append(name)
    names = ["+".join(of_source.get(source, ())) or None for source in table["source"]]

    # Where every picture was seen first in each split.
    seen: dict[str, dict[str, str]] = {}
    for image, pixels, split in zip(table["image"], table["image_sha256"], names, strict=True):
        if split and isinstance(pixels, str):
            seen.setdefault(pixels, {}).setdefault(split, image)
    twins = []
    for pixels, split in zip(table["image_sha256"], names, strict=True):
        others = {s: image for s, image in seen.get(pixels, {}).items() if s != split}
        named = [f"{image} of {other}" for other, image in others.items()]
        twins.append(", ".join(named) if split and named else None)
    return {"splits": names, "twin": twins}


def _judge(
    dataset: Dataset, table: pd.DataFrame, results: list[Any], report: Path | None = None
) -> Validation:
    """Turn the results of the suite into failures, a file and a rule each, once."""
    rows = table.set_index(_KEY, drop=False)
    rules = {(rule.name, rule.column): rule for rule in RULES}
    failures: dict[Failure, None] = {}
    for result in results:
        if result.success:
            continue
        config = result.expectation_config
        rule = rules[config.meta["rule"], config.kwargs["column"]]
        broken = result.result.get("unexpected_index_list")
        if not broken:
            raise RuntimeError(f"rule {rule.name} could not be evaluated: {result.exception_info}")
        for where in broken:
            row = rows.loc[[tuple(where[key] for key in _KEY)]].iloc[0]
            file = row[rule.file]
            detail = rule.detail.format(**row).removeprefix(file).lstrip(": ")
            if row["name"] not in file and "intact" not in rule.name:  # one of many in a shard
                detail = f"frame {row['name']}: {detail}"
            failures[Failure(file, rule.name, detail)] = None
    return Validation(not failures, dataset.path, tuple(failures), table, len(table), report)


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
            for name in dict.fromkeys(rule.name for rule in RULES)
        ],
        docs=[
            (kind, page.relative_to(folder).as_posix())
            for kind in ("validations", "expectations")
            for page in sorted((folder / "data_docs" / kind).rglob("*.html"))
        ],
    )


def _run(table: pd.DataFrame, docs: Path | None) -> list[Any]:
    """Results of the suite, one a rule; Data Docs are written to the folder `docs`."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx
    from great_expectations import expectations
    from great_expectations.expectations.row_conditions import Column

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    source = context.data_sources.pandas_default
    batch = source.add_dataframe_asset("manifest").add_batch_definition_whole_dataframe("frames")
    suite = context.suites.add(gx.ExpectationSuite("dataset"))
    for rule in RULES:
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
        context.add_data_docs_site("validation", _site(docs))
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


def _site(folder: Path) -> dict[str, Any]:
    return {
        "class_name": "SiteBuilder",
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        "store_backend": {
            "class_name": "TupleFilesystemStoreBackend",
            "base_directory": str(folder.resolve()),
        },
    }
