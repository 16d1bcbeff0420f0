"""A plain HTML page that needs nothing but itself: no script, no font, no network."""

from __future__ import annotations

import html
from collections.abc import Iterable

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 }
td, th { border-bottom: 1px solid #ddd; padding: 0.2rem 1.2rem 0.2rem 0; text-align: left }
td.number { text-align: right; font-variant-numeric: tabular-nums }
img { max-width: 100%; display: block }
figcaption { color: #555 }
figure { margin: 1.5rem 0 }
"""


def html_page(title: str, *body: str) -> str:
    """A page of that title, also its heading, around parts that are HTML already."""
    title = html.escape(title)
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f"<style>{_STYLE}</style>\n<h1>{title}</h1>\n" + "\n".join(body) + "\n</html>\n"
    )


def html_table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table; what is not a string is set as a number.

    >>> print(html_table(["frame", "n"], [["a<b", 3]]))
    <table>
    <tr><th>frame</th><th>n</th></tr>
    <tr><td>a&lt;b</td><td class="number">3</td></tr>
    </table>
    """
    lines = ["<tr>" + "".join(f"<th>{html.escape(h)}</th>" for h in header) + "</tr>"]
    for row in rows:
        cells = (
            f"<td>{html.escape(value)}</td>"
            if isinstance(value, str)
            else f'<td class="number">{value}</td>'
            for value in row
        )
        lines.append("<tr>" + "".join(cells) + "</tr>")
    return "<table>\n" + "\n".join(lines) + "\n</table>"
