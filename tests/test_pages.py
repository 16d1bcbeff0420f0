"""Pages: text is escaped, tables are aligned, missing values are errors."""

from __future__ import annotations

import jinja2
import pytest

from spinscope.pages import render

VALUES = {
    "title": "a < b",
    "summary": {"<real>": {"n_frames": 3, "n_sources": 2}},
    "figures": {"f.png": "One & two"},
    "header": ["quantity", "mean"],
    "rows": [["a<b", 3], ["c", None]],
    "number": lambda value: "–" if value is None else f"{value:g}",
}


def test_text_is_escaped_and_numbers_are_aligned():
    page = render("description.html", **VALUES)
    assert page.startswith("<!doctype html>\n")
    assert "<h1>a &lt; b</h1>" in page
    assert "&lt;real&gt;: 3 frames of 2 sources." in page
    assert '<img src="f.png" alt="One &amp; two">' in page
    assert '<tr><th>quantity</th><th class="number">mean</th></tr>' in page
    assert '<tr><td>a&lt;b</td><td class="number">3</td></tr>' in page
    assert '<tr><td>c</td><td class="number">–</td></tr>' in page


def test_a_missing_value_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="'rows' is undefined"):
        render("description.html", **{k: v for k, v in VALUES.items() if k != "rows"})
