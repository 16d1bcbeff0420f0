"""Reports: every number with its error, figures beside the page, nothing from the network."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest

from spinscope.errors import SpinscopeError
from spinscope.jobs import report
from spinscope.jobs.report_figures import label_of
from spinscope.jobs.reporting import SECTIONS, figure_rows, with_error
from spinscope.physics import reversal

FIGURES = {
    "coercive_field": {
        "value": 12.034, "unit": "mT", "sd_statistical": 0.153, "sd_boundary": None, "n_frames": 60,
    },
    "pad.mean_diameter": {
        "value": 812.0, "unit": "nm", "sd_statistical": 3.2, "sd_boundary": 11.0, "n_frames": 56,
    },
    "creep_exponent": {"value": float("nan"), "unit": "", "sd_statistical": None, "n_frames": 0},
}  # fmt: skip
LINEAGE = {
    "source": "clean/film 1.tif",
    "model": {"name": "moke-unet", "version": 3},
    "data": "ab12",
}


@pytest.fixture
def measured(tmp_path):
    """Folder with numbers and all tables."""
    document = {"figures": FIGURES, "lineage": LINEAGE, "n_frames": 60, "notes": ["no DMI"]}
    (tmp_path / "numbers.json").write_text(json.dumps(document))
    fields = 1e3 * reversal.sweep_fields(60, 30e-3)
    steps = np.linspace(-4, -9, 6)
    sides = np.repeat(["left", "right"], 6)
    tables = {
        "loop": {"region": "frame", "field_mt": fields, "m": np.tanh(fields / 4)},
        "ellipses": {"frame": range(5), "time_s": range(5), "major_px": 9.0, "minor_px": 8.0},
        "walls": {
            "field_mt": np.tile(steps, 2), "side": sides,
            "velocity_um_per_s": np.tile(np.exp(9 - 13 * np.abs(steps) ** -0.25), 2),
            "velocity_um_per_s_sd": 0.01,
        },
        "stripes": {
            "frame": range(6), "field_mt": steps, "width_um_mean": 5.0, "width_um_mean_sd": 0.1,
            "width_um_q05": 4.0, "width_um_q95": 6.0, "period_um": 10.0,
        },
        "events": {
            "frame": range(8), "event": ["nucleation", "annihilation"] * 4,
            "field_mt": np.arange(8.0), "y_px": 1.0, "x_px": 2.0,
        },
        "against": {
            "swept": "temperature_k", "value": [280, 300, 320], "quantity": "density",
            "direction": [0, 1, 1],
            "unit": "1/um2", "mean": [1.0, 2, 3], "sd_statistical": 0.1, "sd_boundary": 0.2,
        },
        "diagram": {
            "field_mt": np.tile([1.0, 2, 3], 2), "temperature_k": np.repeat([290.0, 300], 3),
            "area_fraction": np.linspace(0, 1, 6), "area_fraction_sd_statistical": 0.01,
        },
    }  # fmt: skip
    for name, columns in tables.items():
        pd.DataFrame(columns).to_csv(tmp_path / f"{name}.csv", index=False)
    return tmp_path


def test_the_page_holds_every_section_and_needs_no_network(measured):
    text = report(measured).read_text()
    for name, section in SECTIONS.items():
        assert section.title in text
        assert f'href="{name}.csv"' in text
        for kind, start in (("svg", b"<?xml"), ("pdf", b"%PDF")):
            assert (measured / "figures" / f"{name}.{kind}").read_bytes().startswith(start)
    assert text.count("data:image/svg+xml;base64,") == len(SECTIONS)
    assert not re.search(r'(?:src|href)="(?:https?:)?//', text)
    assert "<script" not in text
    assert "12.03 ± 0.15" in text
    assert "moke-unet" in text
    assert "ab12" in text
    assert "no DMI" in text
    assert "creep exponent" not in text  # unknown


def test_the_same_numbers_give_the_same_figures(measured):
    files = [
        measured / "figures" / f"{name}.{kind}" for name in SECTIONS for kind in ("svg", "pdf")
    ]
    report(measured)
    first = [path.read_bytes() for path in files]
    report(measured)
    assert [path.read_bytes() for path in files] == first


def test_sections_without_data_are_left_out(measured):
    for name in ("walls", "ellipses", "stripes", "against", "diagram"):
        (measured / f"{name}.csv").unlink()
    (measured / "events.csv").write_text("frame,event,field_mt\n")
    text = report(measured).read_text()
    assert SECTIONS["loop"].title in text
    for name in set(SECTIONS) - {"loop"}:
        assert SECTIONS[name].title not in text
        assert not (measured / "figures" / f"{name}.svg").exists()


def test_the_branches_of_a_sweep_are_drawn_apart():
    from matplotlib.figure import Figure

    rows = pd.DataFrame(
        {
            "swept": "field_mt", "value": [-5.0, 0, 5, -5, 0], "direction": [1, 1, 0, -1, -1],
            "quantity": "density", "unit": "1/um2", "mean": [1.0, 2, 3, 6, 5],
            "sd_statistical": 0.1, "sd_boundary": 0.0,
        }
    )  # fmt: skip
    (draw,) = SECTIONS["against"].draw(rows)
    axis = Figure().subplots()
    draw(axis)
    curves = dict(zip(*axis.get_legend_handles_labels()[::-1], strict=True))
    found = {name: curve.lines[0].get_xdata().tolist() for name, curve in curves.items()}
    assert found == {"rising": [-5, 0], "falling": [5, -5, 0]}
    one = rows[rows["direction"] == 1]
    (draw,) = SECTIONS["against"].draw(one)
    axis = Figure().subplots()
    draw(axis)
    assert axis.get_legend() is None


def test_figures_have_unit_errors_and_frames():
    rows = figure_rows({"figures": FIGURES})
    assert rows == [
        ["coercive field", "12.03 ± 0.15", "mT", "", "60"],
        ["mean diameter, pad", "812.0 ± 3.2", "nm", "11", "56"],
    ]


@pytest.mark.parametrize(
    ("value", "sd", "text"),
    [
        (12.034, 0.153, "12.03 ± 0.15"),
        (0.5, None, "0.5"),
        (812.4, 31.7, "812 ± 32"),
        (4.2e6, 3.1e4, "(4.200 ± 0.031)e6"),
        (3.14e-7, 2e-9, "(3.140 ± 0.020)e-7"),
        (0.0, 0.02, "0.000 ± 0.020"),
    ],
)
def test_errors_are_written_with_two_digits(value, sd, text):
    assert with_error(value, sd) == text


@pytest.mark.parametrize(
    ("column", "label"),
    [
        ("field_mt", "field (mT)"),
        ("wall_velocity_um_per_s", "wall velocity (µm/s)"),
        ("density_per_um2", "density (1/µm²)"),
        ("diffusion_um2_per_s", "diffusion (µm²/s)"),
        ("area_fraction", "area fraction"),
        ("velocity_um_per_s_sd", "velocity sd (µm/s)"),
        ("width_um_mean", "width mean (µm)"),
        ("psi6_mean", "psi6 mean"),
    ],
)
def test_labels_name_the_unit(column, label):
    assert label_of(column) == label


def test_a_folder_without_numbers_is_an_error(tmp_path):
    with pytest.raises(SpinscopeError, match="must be a clean recording"):
        report(tmp_path)
    (tmp_path / "numbers.json").write_text("{")
    with pytest.raises(SpinscopeError, match="not valid JSON"):
        report(tmp_path)
    (tmp_path / "numbers.json").write_text("{}")
    with pytest.raises(SpinscopeError, match="nothing to report"):
        report(tmp_path)
    assert not (tmp_path / "report.html").exists()
