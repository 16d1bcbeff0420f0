"""Field, current, temperature and time of each frame, from tables, labels and file names."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from spinscope.recordings import RecordingError, open_recording
from spinscope.recordings.applied import of_text, read_applied, typed

N = 6


@pytest.fixture
def stack(tmp_path):
    """A stack of six frames."""
    frames = np.random.default_rng(0).integers(0, 255, (N, 16, 20)).astype(np.uint8)
    path = tmp_path / "film.tif"
    tifffile.imwrite(path, frames, photometric="minisblack")
    return path


def table(path, text):
    path.with_suffix(".csv").write_text(text, encoding="utf-8")
    return path


def rows(header, values):
    return "\n".join([header, *map(str, values)]) + "\n"


@pytest.mark.parametrize(
    ("title", "column", "factor", "offset"),
    [
        ("field_mt", "field_mt", 1, 0),
        ("field (mT)", "field_mt", 1, 0),
        ("B_T", "field_mt", 1e3, 0),
        ("H [Oe]", "field_mt", 0.1, 0),
        ("field_kA/m", "field_mt", 4e-7 * np.pi * 1e6, 0),
        ("in-plane field (mT)", "in_plane_field_mt", 1, 0),
        ("current_a", "current_ma", 1e3, 0),
        ("Temperature (°C)", "temperature_k", 1, 273.15),
        ("T (K)", "temperature_k", 1, 0),
        ("pulse (µs)", "pulse_ns", 1e3, 0),
        ("pulse_mT", "pulse_mt", 1, 0),
        ("time_ms", "time_s", 1e-3, 0),
        ("gate_v", "gate_v", 1, 0),
    ],
)
def test_units_of_a_table_are_converted(stack, title, column, factor, offset):
    values = np.linspace(-2, 3, N)
    plain = open_recording(stack).fingerprint
    recording = open_recording(table(stack, rows(title, values)))
    assert set(recording.applied) == {column}
    np.testing.assert_allclose(recording.applied[column], factor * values + offset)
    assert recording.fingerprint != plain


def test_rows_are_assigned_by_frame_and_unknown_values_stay_unknown(stack):
    recording = open_recording(table(stack, "frame;B (mT)\n5;1,5\n0;-2\n3;\n"))
    expected = [-2, np.nan, np.nan, np.nan, np.nan, 1.5]
    np.testing.assert_array_equal(recording.applied["field_mt"], expected)


def test_rows_are_assigned_by_name(tmp_path):
    for name in ("a2", "a10", "a1"):
        Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "applied.csv").write_text("file,field_mt\na10.png,10\na1.png,1\na2.png,2\n")
    np.testing.assert_array_equal(open_recording(tmp_path).applied["field_mt"], [1, 2, 10])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (rows("field_mt", range(4)), "has 4 rows; the recording has 6 frames"),
        (rows("field_mt", ["1", "2", "x", "4", "5", "6"]), r"row 4, field_mt \(='x'\) must be a"),
        (rows("field", range(N)), "column 'field' must give its unit, such as field_mt"),
        (rows("field (furlong)", range(N)), r"'field \(furlong\)' must give its unit"),
        ("frame,field_mt\n0,1\n6,2\n", r"row 3, frame \(='6'\) must be a frame from 0 to 5"),
        ("frame,field_mt\n0,1\n0,2\n", "must be a frame from 0 to 5 that has no other row"),
        ("B_mT,field_T\n", "two columns hold field_mt"),
    ],
)
def test_a_table_that_does_not_fit_is_one_sentence(stack, text, words):
    with pytest.raises(RecordingError, match=words):
        open_recording(table(stack, text))


def test_a_table_of_anything_else_is_left_alone(stack):
    plain = open_recording(stack).fingerprint
    recording = open_recording(table(stack, "Area,Mean,name\n1,2,x\n"))
    assert not recording.applied and recording.fingerprint == plain


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("loop_+12,5mT_001", {"field_mt": 12.5}),
        ("film-12mT", {}),
        ("B=0.2T 300K", {"field_mt": 200.0, "temperature_k": 300.0}),
        ("5mA_20ns_x", {"current_ma": 5.0, "pulse_ns": 20.0}),
        ("Bx=-40mT_3mT", {"field_mt": 3.0}),
    ],
)
def test_values_in_names(text, expected):
    found = of_text(text)
    if "Bx" in text:
        assert found.pop("in_plane_field_mt") == -40
    assert found == expected


def test_values_in_the_names_of_images_and_of_the_folder(tmp_path):
    folder = tmp_path / "film_295K"
    folder.mkdir()
    for k, field in enumerate((-3, 4.5, 12)):
        Image.fromarray(np.zeros((16, 16), np.uint8)).save(folder / f"{k}_{field}mT.png")
    applied = open_recording(folder).applied
    np.testing.assert_array_equal(applied["field_mt"], [-3, 4.5, 12])
    np.testing.assert_array_equal(applied["temperature_k"], [295, 295, 295])


def test_labels_of_imagej(tmp_path):
    path = tmp_path / "film.tif"
    labels = [f"frame {k}mT" for k in range(N)]
    frames = np.zeros((N, 16, 16), np.uint8)
    tifffile.imwrite(path, frames, imagej=True, metadata={"axes": "TYX", "Labels": labels})
    np.testing.assert_array_equal(open_recording(path).applied["field_mt"], np.arange(N))


def test_a_table_of_one_column_and_windows_letters(tmp_path):
    path = tmp_path / "one.csv"
    path.write_bytes("Temperature (°C)\r\n20\r\n21\r\n".encode("latin-1"))
    np.testing.assert_allclose(
        read_applied(path, ["0000", "0001"])["temperature_k"], [293.15, 294.15]
    )


def test_the_table_of_an_ome_tiff_has_the_name_of_the_recording(tmp_path):
    path = tmp_path / "film.ome.tif"
    tifffile.imwrite(path, np.zeros((2, 8, 8), np.uint8), ome=True, metadata={"axes": "TYX"})
    (tmp_path / "film.csv").write_text(rows("field_mt", [3, 4]))
    assert open_recording(path).applied["field_mt"].tolist() == [3, 4]
    path.with_suffix(".csv").write_text(rows("field_mt", [5, 6]))  # film.ome.csv comes first
    assert open_recording(path).applied["field_mt"].tolist() == [5, 6]


def test_times_of_ome_planes(tmp_path):
    path, times = tmp_path / "film.ome.tif", [0.0, 40.0, 90.0, 100.0]
    planes = {"DeltaT": times, "DeltaTUnit": ["ms"] * 4}
    frames = np.zeros((4, 16, 16), np.uint8)
    tifffile.imwrite(path, frames, ome=True, metadata={"axes": "TYX", "Plane": planes})
    recording = open_recording(path)
    np.testing.assert_allclose(recording.applied["time_s"], [0, 0.04, 0.09, 0.1])
    assert recording.interval == pytest.approx(0.1 / 3)
    path.with_name("film.ome.csv").write_text("time_s\n1\n2\n3\n4\n")
    np.testing.assert_array_equal(open_recording(path).applied["time_s"], [1, 2, 3, 4])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"field": "3"}, "'field'.*must be one of field_mt"),
        ({"field_mt": "3 mT"}, "field_mt .='3 mT'.*FIRST:LAST"),
        ({"field_mt": "1:2,3"}, "field_mt"),
        ({"field_mt": "nan"}, "field_mt"),
        ({"current_ma": "1,2"}, "current_ma has 2 values; must be 5"),
    ],
)
def test_typed_values_that_do_not_fit_are_one_sentence(given, words):
    with pytest.raises(RecordingError, match=words):
        typed(given, 5)
