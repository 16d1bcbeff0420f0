"""A napari viewer without a screen, with the plugin of this checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile

from spinscope.config import project_root

SHOTS = project_root() / "build/test-output/screenshots"
MANIFEST = project_root() / "src/spinscope/napari/napari.yaml"
N, SHAPE, PIXEL_UM, INTERVAL_S = 4, (96, 128), 0.2, 0.5
"""Frames of the recording, their size in px, pixel size in µm and time between frames in s."""


@pytest.fixture(scope="session")
def screen() -> Iterator[None]:
    """A screen for OpenGL: the one that exists, else a virtual one."""
    pytest.importorskip("napari", reason="napari is not installed: pip install 'spinscope[napari]'")
    pytest.importorskip("qtpy", reason="napari has no Qt: pip install 'spinscope[napari]'")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QT_QPA_PLATFORM", "xcb")  # offscreen has no OpenGL widgets
        if os.environ.get("DISPLAY"):
            _check_qt()
            yield
            return
        if shutil.which("Xvfb") is None:
            pytest.skip("no screen for OpenGL, and Xvfb is not installed (Debian: xvfb)")
        read, write = os.pipe()
        server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(write), "-screen", "0", "1600x1000x24"],
            pass_fds=[write],
            stderr=subprocess.DEVNULL,
        )
        os.close(write)
        with os.fdopen(read) as file:
            patch.setenv("DISPLAY", f":{file.readline().strip()}")
        try:
            _check_qt()
            yield
        finally:
            server.terminate()
            server.wait(10)


def _check_qt() -> None:
    """Skip where Qt cannot open a window: it would end the process of the tests."""
    code = "from qtpy.QtWidgets import QApplication; QApplication([])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"Qt cannot open a window: {done.stderr.strip()[-300:]}")


@pytest.fixture(scope="session")
def plugin(screen):
    """The plugin of this checkout, registered as napari finds an installed one."""
    from npe2 import PluginManager, PluginManifest

    manager = PluginManager.instance()
    manager.discover(include_npe1=False)
    if "spinscope" in manager:
        manager.unregister("spinscope")
    manager.register(PluginManifest.from_file(MANIFEST))
    return manager


@pytest.fixture
def viewer(plugin):
    """A viewer of its own."""
    from qtpy.QtWidgets import QApplication

    import napari

    made = napari.Viewer(show=False)
    made.window.resize(1400, 900)
    yield made
    made.close()
    QApplication.processEvents()


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A calibrated stack of dark discs that drift by a pixel per frame."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    frames = []
    for k in range(N):
        image = 0.6 + rng.normal(0, 0.02, SHAPE)
        for cy in range(14, SHAPE[0] - 10, 22):
            for cx in range(14, SHAPE[1] - 10, 22):
                image -= 0.25 * ((y - cy) ** 2 + (x - cx - k) ** 2 <= 36)
        frames.append(np.round(255 * np.clip(image, 0, 1)).astype(np.uint8))
    path = tmp_path / "film.tif"
    tifffile.imwrite(
        path,
        np.stack(frames),
        imagej=True,
        resolution=(1 / PIXEL_UM, 1 / PIXEL_UM),
        metadata={"axes": "TYX", "unit": "um", "finterval": INTERVAL_S},
    )
    return path
