"""A study: published findings beside what was measured here, with a verdict each.

A study is written as `NAME.json` and one page `NAME.html` that holds its figures itself.
"""

from __future__ import annotations

import base64
import html
import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from spinscope.errors import SpinscopeError
from spinscope.files import atomic_file, write_json
from spinscope.pages import html_page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Verdict = Literal["reproduced", "not reproduced", "not comparable"]
Cell = str | float | int | None

_LONG = 12  # rows, above which a table is folded
_RIGHT = ' class="number"'

_STYLE = """<style>
th.number { text-align: right }
summary { cursor: pointer; margin: 1rem 0 }
td.why { color: #555; font-size: 13px; max-width: 28rem }
.verdict { white-space: nowrap; padding: 0 0.5em; border-radius: 0.3em }
.reproduced { background: #d3ecd5 }
.not-reproduced { background: #f6d4d0 }
.not-comparable { background: #e6e6e6 }
</style>"""


@dataclass(frozen=True)
class Row:
    """One published finding and what was measured.

    published : its number or words, None where no figure was published.   measured : mean over
    `n` images (or films, seeds), sd : their sample standard deviation.   why : what the verdict
    rests on, or what keeps the two from being compared; a row that is not comparable says it.
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
        if self.verdict == "not comparable" and not self.why:
            raise SpinscopeError(f"row {self.name!r} must say why it cannot be compared")
        for name in ("published", "measured", "sd"):
            value = getattr(self, name)
            if isinstance(value, float) and not math.isfinite(value):
                raise SpinscopeError(f"row {self.name!r}: {name} (={value}) must be finite")


@dataclass(frozen=True)
class Section:
    """A part of the page: text, figures by their captions, and a table (header, rows)."""

    title: str
    text: str = ""
    figures: Mapping[str, Figure | bytes] = field(default_factory=dict)
    table: tuple[Sequence[str], Sequence[Sequence[Cell]]] | None = None


def write_study(
    folder: Path | str,
    name: str,
    title: str,
    about: str,
    rows: Sequence[Row],
    sections: Sequence[Section] = (),
    data: Mapping[str, Any] | None = None,
) -> Path:
    """Write `folder/NAME.json` and `folder/NAME.html`; returns the page.

    The JSON holds `study`, `title`, `rows` (name, published, measured, sd, n, verdict, why) and
    whatever `data` holds beside them. The page shows the rows, then the sections.
    """
    folder = Path(folder)
    known = {"study": name, "title": title, "rows": [asdict(row) for row in rows]}
    if clash := known.keys() & (data or {}).keys():
        raise SpinscopeError(f"study {name}: data must not hold {', '.join(sorted(clash))}")
    text = page(title, about, rows, sections)
    write_json(folder / f"{name}.json", {**known, **(data or {})})
    with atomic_file(folder / f"{name}.html") as partial:
        partial.write_text(text, encoding="utf-8")
    return folder / f"{name}.html"


def page(title: str, about: str, rows: Sequence[Row], sections: Sequence[Section]) -> str:
    """The HTML of a study, which needs no other file."""
    counts = Counter(row.verdict for row in rows)
    said = ", ".join(f"{counts[verdict]} {verdict}" for verdict in get_args(Verdict))
    parts = [_STYLE, _paragraphs(about), f"<p>{len(rows)} findings: {said}.</p>", _findings(rows)]
    for section in sections:
        parts += [f"<h2>{html.escape(section.title)}</h2>", _paragraphs(section.text)]
        parts += [_figure(caption, figure) for caption, figure in section.figures.items()]
        if section.table is not None:
            parts.append(_table(*section.table))
    return html_page(title, *parts)


def shown(value: Cell) -> str:
    """A cell as it stands in a table: four decimals of a small number, – for what there is not.

    >>> shown(0.92341), shown(-1.25), shown(88.123), shown(None), shown(12), shown("fails")
    ('0.9234', '-1.25', '88.1', '–', '12', 'fails')
    """
    if value is None:
        return "–"
    if not isinstance(value, float):
        return str(value)
    if value == round(value, 3) and (abs(value) < 10 or value == int(value)):
        return f"{value:g}"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.1f}"


def study_lines(report: Mapping[str, Any]) -> list[str]:
    """A line a finding: verdict, published, measured, name."""

    def number(value: Any) -> str:
        return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)

    return [
        f"{row['verdict']:<15}{number(row['published']):>10}{number(row['measured']):>11}  "
        f"{row['name']}"
        for row in report["rows"]
    ]


def markdown(report: Mapping[str, Any]) -> str:
    """Table of the rows of a report as Markdown, spreads beside their means."""
    lines = ["| finding | published | measured | n | verdict |", "|---|---|---|---|---|"]
    for row in report["rows"]:
        measured = shown(row["measured"])
        if row["sd"] is not None:
            large = isinstance(row["measured"], float) and abs(row["measured"]) >= 10
            measured += f" ± {row['sd']:.1f}" if large else f" ± {shown(row['sd'])}"
        cells = (row["name"], shown(row["published"]), measured, shown(row["n"]), row["verdict"])
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def fill(page: Path | str, name: str, text: str) -> None:
    """Put `text` between the lines `<!-- NAME -->` and `<!-- end -->` of a Markdown page.

    Raises SpinscopeError for a page without them.
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


def png(figure: Figure | bytes, dpi: int = 150) -> bytes:
    """A figure as a PNG; bytes are one already."""
    if isinstance(figure, bytes):
        return figure
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def _findings(rows: Sequence[Row]) -> str:
    header = ("finding", "published", "measured", "SD", "n", "verdict", "why")
    lines = ["<tr>" + "".join(f"<th>{name}</th>" for name in header) + "</tr>"]
    for row in rows:
        cells = [_cell(value) for value in (row.name, row.published, row.measured, row.sd, row.n)]
        kind = row.verdict.replace(" ", "-")
        cells.append(f'<td><span class="verdict {kind}">{row.verdict}</span></td>')
        cells.append(f'<td class="why">{html.escape(row.why)}</td>')
        lines.append("<tr>" + "".join(cells) + "</tr>")
    return "<table>\n" + "\n".join(lines) + "\n</table>"


def _table(header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A table whose numbers stand to the right; a long one is folded."""
    numeric = [not any(isinstance(row[k], str) for row in rows) for k in range(len(header))]
    heads = (
        f"<th{_RIGHT if right else ''}>{html.escape(name)}</th>"
        for name, right in zip(header, numeric, strict=True)
    )
    lines = [f"<tr>{''.join(heads)}</tr>"]
    lines += ["<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows]
    table = "<table>\n" + "\n".join(lines) + "\n</table>"
    if len(rows) <= _LONG:
        return table
    return f"<details><summary>Table of {len(rows)} rows</summary>\n{table}\n</details>"


def _cell(value: Cell) -> str:
    return f"<td{'' if isinstance(value, str) else _RIGHT}>{html.escape(shown(value))}</td>"


def _paragraphs(text: str) -> str:
    return "\n".join(f"<p>{html.escape(part)}</p>" for part in text.split("\n\n") if part.strip())


def _figure(caption: str, figure: Figure | bytes) -> str:
    data, text = base64.b64encode(png(figure)).decode(), html.escape(caption)
    return (
        f'<figure><img src="data:image/png;base64,{data}" alt="{text}">'
        f"<figcaption>{text}</figcaption></figure>"
    )
