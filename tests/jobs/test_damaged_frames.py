"""A damaged frame costs itself: verbs go on with the others, or say in one sentence what it is."""

from __future__ import annotations

import numpy as np
import pytest
from tests.conftest import discs

from spinscope import jobs
from spinscope.config import load_params
from spinscope.errors import SpinscopeError
from spinscope.images import write_image, write_label

MODEL = "bundled:moke-unet-simulated"


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Folder of four frames, of which one is damaged."""
    folder = tmp_path_factory.mktemp("frames")
    rng = np.random.default_rng(4)
    for k in range(4):
        write_image(folder / f"f{k}.png", discs(rng, size=96, n=12, radius=6)[0], bits=16)
    (folder / "f1.png").write_bytes((folder / "f1.png").read_bytes()[:1000])
    return folder


def test_half_contrast_is_found_from_the_other_frames(frames, tmp_path):
    params = load_params(overrides=["segment.level=half"])
    (row,) = jobs.segment(params, [frames], [MODEL], tmp_path)
    assert 0.2 < row["level"] < 0.95
    assert row["frames"] == 4


def test_a_damaged_image_is_not_calibrated(frames, tmp_path):
    write_label(tmp_path / "label.png", np.zeros((96, 96), np.uint8))
    with pytest.raises(SpinscopeError, match=r"\A(?!.*\n).*f1\.png"):
        jobs.corrected_frame(frames / "f1.png", tmp_path / "label.png")
