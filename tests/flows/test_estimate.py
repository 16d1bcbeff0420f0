"""Estimates of magnetic parameters as Prefect runs them."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pytest
from PIL import Image
from tests.jobs.test_estimate import Network
from tests.jobs.test_refining import PIXEL, image_of

from spinscope.errors import SpinscopeError
from spinscope.jobs import estimate as jobs


@pytest.fixture
def network(monkeypatch):
    found = Network()
    monkeypatch.setattr(jobs, "open_parameters", lambda *_: found)
    return found


def test_the_images_of_a_folder_are_estimated(prefect, network, tmp_path):
    (tmp_path / "images").mkdir()
    for name, image in (("a", image_of(0.4e-3, 0)), ("b", np.full((64, 64), 0.5))):
        Image.fromarray(np.rint(255 * image).astype(np.uint8)).save(tmp_path / f"images/{name}.png")
    flows = importlib.import_module("estimate")
    given = {"image": tmp_path / "images", "out": tmp_path / "out"}
    good, uniform = flows.estimate(**given, pixel_size_nm=PIXEL * 1e9)
    assert good["in_range"] and good["value"] is not None
    assert not uniform["in_range"] and uniform["value"] is None
    stored = json.loads((tmp_path / "out/a/estimate.json").read_text())
    assert {key: stored[key] for key in good} == good
    with pytest.raises(SpinscopeError, match="contains no pixel size"):
        flows.estimate(**given)


def test_a_training_film_is_estimated_without_an_image(prefect, network, tmp_path):
    flows = importlib.import_module("estimate")
    (summary,) = flows.estimate(out=tmp_path / "out")
    assert summary["file"] == "training film"
    assert (tmp_path / "out/training film/estimate.png").is_file()
