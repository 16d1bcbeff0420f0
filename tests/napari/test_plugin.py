"""The tests of `driven.py` in a process of their own.

Other tests load TensorFlow, and a process that holds it may end when OpenGL opens a window.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from spinscope.config import project_root


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_plugin_in_a_real_napari():
    pytest.importorskip("napari", reason="napari is not installed: pip install 'spinscope[napari]'")
    words = [sys.executable, "-m", "pytest", "-p", "no:xdist", "-p", "no:cacheprovider", "-v"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [*words, str(Path(__file__).with_name("driven.py"))],
        cwd=project_root(), env=kept, capture_output=True, text=True, timeout=850,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-1000:]
    if " passed" not in done.stdout.splitlines()[-1]:
        pytest.skip(done.stdout[-500:])
