"""Damaged files of a measurement: pages show a warning in their place."""

from __future__ import annotations

import pytest

DEEP = '{"a": ' * 10**5
LONG = '{"a": 1' + "0" * 400 + "}"


@pytest.mark.parametrize("text", ["[]", "{", "\udcff", DEEP, LONG], ids=range(5))
def test_measurements(load, tmp_path, text):
    (tmp_path / "measurements.json").write_bytes(text.encode(errors="surrogateescape"))
    found = load("results_folder").figures(tmp_path)
    assert found is None or found.empty


@pytest.mark.parametrize("text", [b"track\n\xff", b"a,b\n1,2,3,4\n1,2,3\n", b"", b"x_px\nnone\n"])
def test_table(load, tmp_path, text):
    (tmp_path / "tracks.csv").write_bytes(text)
    assert load("results_folder").table(tmp_path, "tracks") is None
