"""The plugin in a real napari without a screen: open, segment, correct, tracks with units.

`test_plugin.py` runs these tests in a process of their own.
"""

from __future__ import annotations

import time
import tomllib

import numpy as np
import pytest
from PIL import Image
from tests.napari.conftest import INTERVAL_S, MANIFEST, PIXEL_UM, SHAPE, SHOTS, N

from spinscope.config import project_root
from spinscope.errors import SpinscopeError
from spinscope.live.results import open_results
from spinscope.reviews.folder import Reviews

SCALE = (INTERVAL_S, PIXEL_UM, PIXEL_UM)
DISCS = 4 * 5

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*:UserWarning:(napari|npe2|vispy|magicgui|superqt).*"),
]


def _widget(viewer):
    return viewer.window.add_plugin_dock_widget("spinscope", "Segment and correct")[1]


def _until(viewer, widget, done, seconds: float = 120) -> None:
    """Let Qt work until something is true."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while not done():
        QApplication.processEvents()
        time.sleep(0.01)
        assert time.monotonic() < end, widget.status.value
    QApplication.processEvents()


def _segmented(viewer, film):
    viewer.open(film, plugin="spinscope")
    widget = _widget(viewer)
    widget.segment.native.click()
    _until(viewer, widget, lambda: "skyrmions in" in widget.status.value)
    return widget


def test_the_manifest_is_valid_and_declared_as_an_entry_point(plugin):
    from npe2 import PluginManifest

    manifest = PluginManifest.from_file(MANIFEST)
    manifest.validate_imports()
    project = tomllib.loads((project_root() / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["napari.manifest"] == {
        "spinscope": "spinscope.napari:napari.yaml"
    }
    assert "napari" in project["optional-dependencies"]


def test_a_recording_opens_lazily_with_scale_and_units(viewer, film):
    import dask.array

    (layer,) = viewer.open(film, plugin="spinscope")
    assert isinstance(layer.data, dask.array.Array)
    assert layer.data.shape == (N, *SHAPE)
    np.testing.assert_allclose(layer.scale, SCALE)
    assert [str(unit) for unit in layer.units] == ["second", "micrometer", "micrometer"]
    assert 0 <= float(layer.data[1].min()) < float(layer.data[1].max()) <= 1


def test_segment_correct_save_and_measure_again(viewer, film):
    widget = _segmented(viewer, film)
    names = [layer.name for layer in viewer.layers]
    assert names == ["film", "film classes", "film objects", "film tracks"]
    for layer in viewer.layers:
        np.testing.assert_allclose(layer.scale, SCALE)
        assert [str(unit) for unit in layer.units] == ["second", "micrometer", "micrometer"]
    tracks = viewer.layers["film tracks"]
    assert len(np.unique(tracks.data[:, 0])) == DISCS
    step = np.diff(tracks.data[tracks.data[:, 0] == 0], axis=0)
    np.testing.assert_allclose(step[:, 3], 1, atol=0.3)  # the drift of a pixel per frame
    assert tracks.features["diameter_nm"].median() == pytest.approx(12.0 * 200, rel=0.2)
    assert viewer.layers["film objects"].data[0].max().compute() == DISCS

    results = open_results(film.parent / "masks/film")
    assert widget.results.folder == results.folder
    before = results.mask(2)
    y, x = 14, 14 + 2
    assert before[y, x] == 1
    assert widget.correct((2, y, x)).startswith("removed")
    assert widget.masks.data[2][y, x] == 0
    widget.masks.undo()
    assert widget.masks.data[2][y, x] == 1
    widget.masks.redo()
    assert widget.correct((1, 25, 26)).startswith("added")

    widget.save.native.click()
    assert widget.status.value == "error: type the name of the reviewer; nothing was saved"
    widget.who.value = "Ada"
    widget.save.native.click()
    assert widget.status.value == "saved: 0001, 0002"
    reviews = Reviews.open(results.folder / "reviews")
    last = reviews.latest("0002")
    assert (last.who, last.status, last.model) == ("Ada", "corrected", "bundled:moke-unet")
    assert reviews.label(last)[y, x] == 0
    widget.save.native.click()
    assert widget.status.value == "no mask has changed since it was saved"

    viewer.dims.set_current_step(0, 2)
    SHOTS.mkdir(parents=True, exist_ok=True)
    shot = viewer.screenshot(canvas_only=False, flash=False)
    Image.fromarray(shot).save(SHOTS / "napari.png")
    assert shot[..., :3].std() > 20

    widget.measure.native.click()
    _until(viewer, widget, lambda: "film-reviewed" in widget.status.value)
    again = open_results(film.parent / "masks/film-reviewed")
    assert again.mask(2)[y, x] == 0
    assert (again.objects["frame"] == 2).sum() == DISCS - 1
    assert widget.results.folder == again.folder


def test_a_results_folder_opens_with_its_corrections(viewer, film):
    widget = _segmented(viewer, film)
    widget.who.value = "Ada"
    widget.masks.data[0][:] = 0
    widget.save.native.click()
    viewer.layers.clear()
    viewer.open(film.parent / "masks/film", plugin="spinscope")
    assert {"film", "film classes"} <= {layer.name for layer in viewer.layers}
    assert not viewer.layers["film classes"].data[0].any()
    assert viewer.layers["film classes"].data[1].any()


def test_wrong_input_is_named_in_the_widget(viewer, film, tmp_path):
    from spinscope.napari.layers import get_reader, save_corrections

    widget = _widget(viewer)
    widget.segment.native.click()
    assert widget.status.value == "error: open a recording first"
    viewer.add_image(np.zeros(SHAPE), name="made here")
    widget.segment.native.click()
    assert widget.status.value == (
        "error: layer made here is no file: save it as TIFF and open that"
    )
    widget.save.native.click()
    assert widget.status.value.startswith("error: no masks are open")
    assert get_reader(str(tmp_path / "notes.txt")) is None
    assert get_reader([str(film), str(film)]) is None
    viewer.layers.clear()
    results = _segmented(viewer, film).results
    with pytest.raises(SpinscopeError, match="must have the shape"):
        save_corrections(results, np.zeros((1, 8, 8)), "Ada")
    with pytest.raises(SpinscopeError, match="class 7 must be one of 0 to 2"):
        save_corrections(results, np.full((N, *SHAPE), 7), "Ada")
