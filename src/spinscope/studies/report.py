"""Report of a study: published findings beside measured ones, each with a verdict.

A study is written as ``NAME.json`` and as one page ``NAME.html`` that embeds its figures.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from matplotlib.figure import Figure

from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file, write_json
from spinscope.pages import render
from spinscope.studies.base import Job
from spinscope.studies.figures import png as png
from spinscope.studies.runs import recorded

Verdict = Literal["reproduced", "not reproduced", "not comparable", "no published value"]
Cell = str | float | int | None

_FOLD = 12
"""Number of rows above which a table is folded."""


@dataclass(frozen=True)
class Row:
    """One published finding and its measurement.

    Parameters
    ----------
    name : str
        The finding.
    published : str or number, optional
        Published value; None where there is none.
    measured : str or number, optional
        Mean over `n` images, films or seeds.
    sd : float, optional
        Their sample standard deviation.
    n : int, optional
        Their number.
    verdict : str
        ``reproduced``, ``not reproduced``, ``not comparable`` or ``no published value``.
    why : str
        Reason of the verdict; required where nothing was compared.

    Raises
    ------
    SpinscopeError
        If the verdict is unknown, its reason is missing, or a number is not finite.
    """

    name: str
    published: Cell
    measured: Cell
    sd: float | None
    n: int | None
    verdict: Verdict
    why: str = ""

    def __post_init__(self) -> None:
        if self.verdict not in get_args(Verdict):
            raise SpinscopeError(
                f"row {self.name!r}: verdict (={self.verdict!r}) must be one of "
                f"{', '.join(get_args(Verdict))}"
            )
        if self.verdict in ("not comparable", "no published value") and not self.why:
            raise SpinscopeError(f"row {self.name!r} must say why it cannot be compared")
        for name in ("published", "measured", "sd"):
            value = getattr(self, name)
            if isinstance(value, float) and not math.isfinite(value):
                raise SpinscopeError(f"row {self.name!r}: {name} (={value}) must be finite")


def judged(name: str, published: Cell, measured: Mapping[str, Any], holds: bool, why: str) -> Row:
    """Row with a verdict, from the mean, sd and n of a measurement.

    Parameters
    ----------
    name : str
        The finding.
    published : str or number
        Published value.
    measured : mapping
        Mean, sd and n of the measurement.
    holds : bool
        Whether the finding is reproduced.
    why : str
        Reason.
    """
    verdict = "reproduced" if holds else "not reproduced"
    return Row(name, published, measured["mean"], measured["sd"], measured["n"], verdict, why)


def noted(
    name: str, value: Cell, why: str, n: int, sd: float | None = None, published: Cell = None
) -> Row:
    """Row of a measurement without a comparable published value.

    Parameters
    ----------
    name : str
        The finding.
    value : str or number
        Measured value.
    why : str
        Reason.
    n : int
        Number of images, films or seeds.
    sd : float, optional
        Sample standard deviation.
    published : str or number
        Published value.
    """
    verdict = "no published value" if published is None else "not comparable"
    return Row(name, published, value, sd, n, verdict, why)


@dataclass(frozen=True)
class Section:
    """A section of the page: text, figures by their captions, and a table (header, rows)."""

    title: str
    text: str = ""
    figures: Mapping[str, Figure | bytes] = field(default_factory=dict)
    table: tuple[Sequence[str], Sequence[Sequence[Cell]]] | None = None


def publish(
    job: Job,
    name: str,
    title: str,
    about: str,
    rows: Sequence[Row],
    sections: Sequence[Section],
    data: Mapping[str, Any],
    *,
    data_hash: str,
    curves: Mapping[str, Sequence[float]] | None = None,
    metrics: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write a study, record it in MLflow where the job asks for it, and return its JSON.

    Parameters
    ----------
    job : Job
        Call of the part.
    name, title, about, rows, sections, data
        See `write_study`.
    data_hash : str
        Hash of the dataset.
    curves, metrics : mapping, optional
        Further values of the MLflow run.
    """
    page = write_study(job.out, name, title, about, rows, sections, data)
    report = json.loads(page.with_suffix(".json").read_text())
    with recorded(job.params, data_hash, f"study {name}", job.track) as recorder:
        figures = {}
        for section in sections:
            stem = re.sub(r"\W+", "-", section.title.lower()).strip("-")
            for number, figure in enumerate(section.figures.values()):
                figures[f"{stem}-{number}" if number else stem] = figure
        recorder.log(
            report={f"{name}.json": report},
            metrics=metrics,
            curves=curves,
            tables={"study/rows.csv": report["rows"]},
            figures=figures,
        )
    return report


def write_study(
    folder: Path | str,
    name: str,
    title: str,
    about: str,
    rows: Sequence[Row],
    sections: Sequence[Section] = (),
    data: Mapping[str, Any] | None = None,
) -> Path:
    """Write ``folder/NAME.json`` and ``folder/NAME.html``.

    Parameters
    ----------
    folder : Path
        Output folder.
    name, title : str
        Name of the study and heading of its page.
    about : str
        Introduction; paragraphs are separated by an empty line.
    rows : sequence of Row
        Findings.
    sections : sequence of Section
        Rest of the page.
    data : mapping, optional
        Further entries of the JSON, beside `study`, `title` and `rows`.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    SpinscopeError
        If `data` has an entry of these names.
    """
    folder = Path(folder)
    known = {"study": name, "title": title, "rows": [asdict(row) for row in rows]}
    if clash := known.keys() & (data or {}).keys():
        raise SpinscopeError(f"study {name}: data must not hold {', '.join(sorted(clash))}")
    counts = Counter(row.verdict for row in rows)
    text = render(
        "study.html",
        title=title,
        about=about,
        rows=rows,
        verdicts=", ".join(
            f"{counts[verdict]} {verdict}" for verdict in get_args(Verdict) if counts[verdict]
        ),
        sections=sections,
        shown=shown,
        source=_data_url,
        fold=_FOLD,
    )
    write_json(folder / f"{name}.json", {**known, **(data or {})})
    with atomic_file(folder / f"{name}.html") as partial:
        partial.write_text(text, encoding="utf-8")
    return folder / f"{name}.html"


def shown(value: Cell) -> str:
    """Text of a table cell: four decimals for a small number, powers for a tiny one, – for None.

    Parameters
    ----------
    value : str or number, optional
        Value of the cell.

    Examples
    --------
    >>> shown(0.92341), shown(-1.25), shown(88.123), shown(None), shown(12), shown("fails")
    ('0.9234', '-1.25', '88.1', '–', '12', 'fails')
    >>> shown(2.03e-14)
    '2.0e-14'
    """
    if value is None:
        return "–"
    if not isinstance(value, float):
        return str(value)
    if 0 < abs(value) < 5e-5:
        return f"{value:.1e}"
    if value == round(value, 3) and (abs(value) < 10 or value == int(value)):
        return f"{value:g}"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.1f}"


def lines(report: Mapping[str, Any]) -> list[str]:
    """One line per finding: verdict, published, measured, name.

    Parameters
    ----------
    report : mapping
        Report of a study.
    """

    def number(value: Any) -> str:
        return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)

    return [
        f"{row['verdict']:<19}{number(row['published']):>10}{number(row['measured']):>11}  "
        f"{row['name']}"
        for row in report["rows"]
    ]


def markdown(report: Mapping[str, Any]) -> str:
    """Findings of a report as a Markdown table, with standard deviations beside the means.

    Parameters
    ----------
    report : mapping
        Report of a study.
    """
    text = ["| finding | published | measured | n | verdict |", "|---|---|---|---|---|"]
    for row in report["rows"]:
        measured = shown(row["measured"])
        if row["sd"] is not None:
            large = isinstance(row["measured"], float) and abs(row["measured"]) >= 10
            measured += f" ± {row['sd']:.1f}" if large else f" ± {shown(row['sd'])}"
        cells = (row["name"], shown(row["published"]), measured, shown(row["n"]), row["verdict"])
        text.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(text)


def fill(page: Path | str, name: str, text: str) -> None:
    """Put text between the lines ``<!-- NAME -->`` and ``<!-- end -->`` of a Markdown page.

    Parameters
    ----------
    page : Path
        The Markdown page.
    name : str
        Name in its opening comment.
    text : str
        New content.

    Raises
    ------
    SpinscopeError
        If the page or these lines are missing.
    """
    page = Path(page)
    if not page.is_file():
        raise SpinscopeError(f"{page} does not exist or is not a file")
    before, start, rest = page.read_text(encoding="utf-8").partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition("<!-- end -->")
    if not start or not end:
        raise SpinscopeError(f"{page} must hold the lines <!-- {name} --> and <!-- end -->")
    with atomic_file(page) as partial:
        partial.write_text(f"{before}{start}{text}\n{end}{after}", encoding="utf-8")


def _data_url(figure: Figure | bytes) -> str:
    """Figure as a data URL, so that the page needs no other file."""
    return f"data:image/png;base64,{base64.b64encode(png(figure)).decode()}"
