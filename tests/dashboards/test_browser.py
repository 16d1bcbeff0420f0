"""The pages in a real browser; screenshots are kept as test output."""

from __future__ import annotations

import pytest
from tests.dashboards.conftest import PAGES, REASON, open_tab, settled, shoot

SAYS = {
    "Predictions": "model models:/moke-unet@lab",
    "Intake": "no change is mid-grey",
    "Review": "20 frames: none reviewed yet",
    "Results": "There is no results folder yet",
    "Comparison": "A and B are the same network",
    "Sizes": "Frame by frame",
    "Seeds": "mean ± sample SD over the seeds",
    "Registry": "Lineage and measurements",
    "Drift": "out of range: blur",
    "Simulated and real": "90 % is expected of identical distributions",
    "Lorentz": "There is no study of Lorentz models yet",
    "Effective field": "The answers hold for classical spins on a periodic square lattice",
    "Parameters": "90 % interval",
    "Probes": "No model has been probed yet",
}
CHARTS = {
    "Intake": 1,
    "Sizes": 2,
    "Seeds": 3,
    "Registry": 1,
    "Drift": 2,
    "Effective field": 1,
    "Parameters": 1,
    "Simulated and real": 3,
}


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize(("file", "title"), PAGES.items())
def test_every_page_draws(tab, errors, file, title):
    open_tab(tab, title)
    tab.get_by_text(SAYS[title]).first.wait_for()
    charts = tab.get_by_test_id("stVegaLiteChart").locator("canvas, svg.marks")
    if title in CHARTS:
        charts.nth(CHARTS[title] - 1).wait_for()
    assert tab.get_by_test_id("stException").count() == 0
    assert tab.get_by_test_id("stAlertContentError").count() == 0
    assert shoot(tab, file.removesuffix(".py")).stat().st_size > 20_000
    assert errors == []


@pytest.mark.browser
@pytest.mark.slow
def test_differences_are_shown_for_the_next_frame_too(tab, errors):
    open_tab(tab, "Predictions")
    first = tab.get_by_text("network").inner_text()
    tab.get_by_test_id("stButtonGroup").get_by_text("Differences").click()
    tab.get_by_text("only in the prediction").wait_for()
    tab.get_by_test_id("stButton").last.click()
    tab.get_by_text("network").filter(has_not_text=first.split(",")[0]).wait_for()
    settled(tab)
    pictures = tab.get_by_test_id("stImage").locator("img")
    assert pictures.count() == 2
    assert all(
        pictures.nth(k).evaluate("img => img.complete && img.naturalWidth >= 640") for k in (0, 1)
    )
    shoot(tab, "differences")
    assert errors == []


@pytest.mark.browser
@pytest.mark.slow
def test_the_history_is_shown(tab, errors):
    open_tab(tab, "Registry")
    tab.get_by_role("tab", name="History").click()
    # The grid is drawn on a canvas, with an accessible table in the page.
    cell = tab.get_by_role("tabpanel", name="History").locator(f'td:has-text("{REASON}")')
    cell.first.wait_for(state="attached")
    shoot(tab, "history")
    assert errors == []
