"""Reports of studies: what is written can be read back, and the page needs nothing else."""

from __future__ import annotations

import json
import re
from dataclasses import asdict

import pytest
from matplotlib.figure import Figure

from spinscope.errors import SpinscopeError
from spinscope.studies.report import Row, Section, fill, markdown, noted, write_study

ROWS = (
    Row("F1 <clean>", 0.923, 0.95123, 0.0123, 8, "reproduced", "within 2 SD"),
    Row("axis", "fails", 0.31, None, 60, "not reproduced"),
    Row("counts", None, None, None, None, "not comparable", "the pictures are not at hand"),
)


def drawn() -> Figure:
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1])
    return figure


def test_a_study_is_written_as_json_and_as_one_page(tmp_path):
    sections = [Section("Curves", "One.\n\nTwo & three.", {"F1": drawn()}, (("x", "F1"), [(0, 1)]))]
    page = write_study(tmp_path, "ltem", "A study", "About it.", ROWS, sections, {"films": 3})
    told = json.loads((tmp_path / "ltem.json").read_text())
    assert told["rows"][0] == {
        "name": "F1 <clean>", "published": 0.923, "measured": 0.95123, "sd": 0.0123, "n": 8,
        "verdict": "reproduced", "why": "within 2 SD",
    }  # fmt: skip
    assert (told["study"], told["films"], len(told["rows"])) == ("ltem", 3, 3)
    text = page.read_text()
    assert "F1 &lt;clean&gt;" in text
    assert "0.9512" in text
    assert "<p>Two &amp; three.</p>" in text
    assert "1 reproduced, 1 not reproduced, 1 not comparable" in text
    # Whatever it loads is in the page itself.
    assert re.findall(r'src="(.{0,22})', text) == ["data:image/png;base64,"]
    assert "http" not in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ltem.html", "ltem.json"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"verdict": "fine"}, "verdict (='fine') must be one of reproduced"),
        ({"verdict": "not comparable"}, "'F1' must say why"),
        ({"measured": float("nan")}, "measured (=nan) must be finite"),
    ],
)
def test_a_row_that_says_nothing_is_refused(change, says):
    values = {"name": "F1", "published": 1.0, "measured": 1.0, "sd": None, "n": 1}
    with pytest.raises(SpinscopeError, match=re.escape(says)):
        Row(**{**values, "verdict": "reproduced", **change})


def test_numbers_stand_to_the_right_and_long_tables_are_folded(tmp_path):
    rows = [("a", 0.5, 12.345), ("b", None, 7)]
    parts = [Section("S", table=(("model", "x", "y"), rows * times)) for times in (1, 7)]
    short, long = (write_study(tmp_path, "s", "A", "", ROWS, [part]).read_text() for part in parts)
    assert '<tr><th>model</th><th class="number">x</th><th class="number">y</th></tr>' in short
    assert '<td>b</td><td class="number">–</td><td class="number">7</td>' in short
    assert '<td class="number">0.5</td><td class="number">12.3</td>' in short
    assert "<details>" not in short
    assert "<summary>Table of 14 rows</summary>" in long


def test_nothing_is_written_of_a_study_that_fails(tmp_path):
    with pytest.raises(SpinscopeError, match="must not hold rows"):
        write_study(tmp_path, "ltem", "A", "B", ROWS, data={"rows": []})
    assert not list(tmp_path.iterdir())


def test_a_measurement_without_a_published_value_is_told_from_one_that_is_not_comparable():
    assert noted("F1", 0.9, "no figure", 3).verdict == "no published value"
    assert noted("F1", 0.9, "other frames", 3, published=0.92).verdict == "not comparable"
    with pytest.raises(SpinscopeError, match="must say why"):
        noted("F1", 0.9, "", 3)


def test_the_rows_fill_a_page_again_and_again(tmp_path):
    write_study(tmp_path, "ltem", "A", "B", ROWS)
    table = markdown(json.loads((tmp_path / "ltem.json").read_text()))
    assert table.splitlines()[2] == "| F1 <clean> | 0.923 | 0.9512 ± 0.0123 | 8 | reproduced |"
    large = Row("size", None, 90.04, 6.99, 3, "not comparable", "no figure")
    assert "| 90.0 ± 7.0 | 3 |" in markdown({"rows": [asdict(large)]})
    assert table.splitlines()[3] == "| axis | fails | 0.31 | 60 | not reproduced |"
    page = tmp_path / "page.md"
    page.write_text("Before µ\n<!-- ltem -->\nold\n<!-- end -->\nafter <!-- end -->\n")
    for _ in range(2):
        fill(page, "ltem", table)
    text = page.read_text()
    assert text == f"Before µ\n<!-- ltem -->\n{table}\n<!-- end -->\nafter <!-- end -->\n"
    with pytest.raises(SpinscopeError, match="must hold the lines <!-- moke -->"):
        fill(page, "moke", table)
    assert page.read_text() == text
    with pytest.raises(SpinscopeError, match=r"absent\.md does not exist"):
        fill(tmp_path / "absent.md", "ltem", table)
