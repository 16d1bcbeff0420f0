"""The editor answers a click as the Python function does, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from tests.dashboards.conftest import DASHBOARDS

from spinscope.analysis.clicks import click, typical_area

pytestmark = [pytest.mark.browser, pytest.mark.slow]

RUN = """async ([code, mask, map, width, height, x, y]) => {
    const url = URL.createObjectURL(new Blob([code], {type: 'text/javascript'}));
    const {flood, typicalArea} = await import(url);
    const area = typicalArea(mask, width, height, 1);
    return [area, flood(mask, map, width, height, x, y, area)];
}"""


def _scene(seed: int) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Mask, probability in steps of 1/65535, and a place to click near a missing object."""
    rng = np.random.default_rng(seed)
    shape = (70, 90)
    y, x = np.mgrid[: shape[0], : shape[1]]
    probability, mask = np.zeros(shape), np.zeros(shape, np.uint8)
    centres = rng.uniform(0, np.array(shape), (9, 2))
    for k, (cy, cx) in enumerate(centres):
        disc = (y - cy) ** 2 + (x - cx) ** 2 <= rng.uniform(3, 8) ** 2
        probability[disc] = rng.uniform(0.1, 0.5) if k == 0 else 0.95
        mask[disc & (k > 0)] = 1 + (k == 8)
    probability = gaussian_filter(probability, 1) + np.abs(rng.normal(0, 0.01, shape))
    at = np.clip(np.round(centres[0] + rng.integers(-2, 3, 2)), 0, np.array(shape) - 1)
    return mask, np.round(65535 * np.clip(probability, 0, 1)), (int(at[0]), int(at[1]))


def test_the_editor_floods_as_the_python_function(browser):
    page = browser.new_page()
    code = (DASHBOARDS / "components/editor/editor.js").read_text()
    compared = 0
    for seed in range(40):
        mask, levels, (y, x) = _scene(seed)
        if mask[y, x]:
            continue
        arguments = [mask.ravel().tolist(), levels.ravel().tolist(), *mask.shape[::-1], x, y]
        area, pixels = page.evaluate(RUN, [code, *arguments])
        assert area == typical_area(mask, 1)
        added = np.flatnonzero(click(mask, levels / 65535, (y, x), 1) != mask)
        assert sorted(pixels) == added.tolist(), f"scene {seed}"
        compared += 1
    page.close()
    assert compared > 20
