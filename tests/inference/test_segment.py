"""Files in, masks and overlays out; nothing where a file is bad."""

from __future__ import annotations

import numpy as np
import pytest

from spinscope.data import read_label, write_image
from spinscope.errors import SpinscopeError
from spinscope.inference.segment import overlay, segment_files


class Threshold:
    """Stands in for a network: what is dark is a skyrmion."""

    info = {"classes": ["background", "skyrmion", "defect"]}  # noqa: RUF012

    def classes(self, image, tta=1):
        return (image < 0.5).astype(np.uint8)


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{name}.png" for name in "ab"]
    for path in paths:
        write_image(path, rng.random((16, 24)))
    return paths


def test_mask_reads_back_and_fractions_add_up(files, tmp_path):
    rows = segment_files(files, Threshold(), tmp_path / "out")
    mask = read_label(tmp_path / "out" / "a.mask.png")
    assert rows[0]["fraction"]["skyrmion"] == pytest.approx(np.mean(mask == 1))
    assert sum(rows[0]["fraction"].values()) == pytest.approx(1)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "a.mask.png", "a.overlay.png", "b.mask.png", "b.overlay.png",
    ]  # fmt: skip


def test_one_bad_file_writes_nothing(files, tmp_path):
    files[1].write_bytes(files[1].read_bytes()[:40])
    with pytest.raises(SpinscopeError, match=r"b\.png"):
        segment_files(files, Threshold(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_same_names_are_refused(files, tmp_path):
    twin = tmp_path / "other" / "a.png"
    write_image(twin, np.zeros((16, 16)))
    with pytest.raises(SpinscopeError, match="two files are named 'a'"):
        segment_files([*files, twin], Threshold(), tmp_path / "out")


def test_no_file_is_refused(tmp_path):
    with pytest.raises(SpinscopeError, match="at least one"):
        segment_files([], Threshold(), tmp_path)


def test_overlay_tints_only_what_is_labelled():
    image = np.linspace(0, 1, 64).reshape(8, 8)
    label = np.zeros((8, 8), dtype=np.uint8)
    label[2, 3] = 1
    picture = overlay(image, label)
    grey = (picture[..., 0] == picture[..., 1]) & (picture[..., 1] == picture[..., 2])
    assert not grey[2, 3]
    assert grey.sum() == 63
