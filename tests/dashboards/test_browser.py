"""The pages in a real browser, as a person opens them; screenshots are kept as test output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.dashboards.conftest import DASHBOARDS, PAGES, REASON, write_params

from spinscope import serve
from spinscope.config import Serve, project_root

SHOTS = project_root() / "build/test-output/screenshots"
PATIENCE = 120_000  # ms: the first page loads TensorFlow
SAYS = {
    "Predictions": "model models:/moke-unet@lab",
    "Sizes": "Frame by frame",
    "Seeds": "mean ± SD of a sample over the seeds",
    "Registry": "Where it comes from, and what it was measured to do",
    "Simulated and real": "90 % is a perfect likeness",
}
CHARTS = {"Predictions": 0, "Sizes": 2, "Seeds": 3, "Registry": 1, "Simulated and real": 3}


@pytest.fixture(scope="module")
def address(project) -> Iterator[str]:
    """Where the dashboard of the project answers."""
    root, params = project
    if not (root / ".streamlit").exists():
        (root / ".streamlit").symlink_to(project_root() / ".streamlit")
    port = serve.choose_ports(Serve(mlflow_port=0, prefect_port=0, dashboard_port=0))[
        "dashboard_port"
    ]
    url = f"http://{serve.HOST}:{port}"
    environment = {key: value for key, value in os.environ.items() if key != "SPINSCOPE_MOKE"}
    write_params(root, params)
    environment["SPINSCOPE_ROOT"] = str(root)
    command = (sys.executable, "-m", "streamlit", "run", str(DASHBOARDS / "app.py"))
    started = serve._start(
        serve.Service(
            "dashboard",
            (*command, "--server.port", str(port)),
            environment,
            lambda: serve._answers(f"{url}/_stcore/health"),
        ),
        root,
    )
    try:
        serve._await(started, [started])
        yield url
    finally:
        started.process.terminate()
        started.process.wait()


@pytest.fixture(scope="module")
def tab(chromium, address):
    """A page of a headless Chromium with the dashboard in it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        tab = browser.new_page(viewport={"width": 1500, "height": 1000})
        tab.set_default_timeout(PATIENCE)
        tab.goto(address, wait_until="domcontentloaded")
        yield tab
        browser.close()


@pytest.fixture
def complaints(tab) -> Iterator[list[str]]:
    """What the scripts of the page raise meanwhile."""
    raised: list[str] = []
    note = lambda error: raised.append(str(error))  # noqa: E731
    tab.on("pageerror", note)
    yield raised
    tab.remove_listener("pageerror", note)


def _open(tab, title: str) -> None:
    tab.get_by_test_id("stSidebarNav").get_by_role("link", name=title).click()
    tab.get_by_role("heading", name=title, level=1).wait_for()
    _settled(tab)


def _settled(tab) -> None:
    tab.wait_for_selector('[data-test-script-state="notRunning"]')


def _shoot(tab, name: str) -> Path:
    """A picture of the whole page, however long it is."""
    height = tab.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    tab.set_viewport_size({"width": 1500, "height": max(1000, height)})
    SHOTS.mkdir(parents=True, exist_ok=True)
    tab.screenshot(path=str(SHOTS / f"{name}.png"), animations="disabled")
    tab.set_viewport_size({"width": 1500, "height": 1000})
    return SHOTS / f"{name}.png"


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize(("file", "title"), PAGES.items())
def test_every_page_draws(tab, complaints, file, title):
    _open(tab, title)
    tab.get_by_text(SAYS[title]).first.wait_for()
    charts = tab.get_by_test_id("stVegaLiteChart").locator("canvas, svg.marks")
    if CHARTS[title]:
        charts.nth(CHARTS[title] - 1).wait_for()
    assert tab.get_by_test_id("stException").count() == 0
    assert tab.get_by_test_id("stAlertContentError").count() == 0
    assert _shoot(tab, file.removesuffix(".py")).stat().st_size > 20_000
    assert complaints == []


@pytest.mark.browser
@pytest.mark.slow
def test_a_person_looks_at_differences_and_steps_on(tab, complaints):
    _open(tab, "Predictions")
    first = tab.get_by_text("network").inner_text()
    tab.get_by_test_id("stButtonGroup").get_by_text("Differences").click()
    tab.get_by_text("made up").wait_for()
    tab.get_by_test_id("stButton").last.click()
    tab.get_by_text("network").filter(has_not_text=first.split(",")[0]).wait_for()
    _settled(tab)
    pictures = tab.get_by_test_id("stImage").locator("img")
    assert pictures.count() == 2
    assert all(
        pictures.nth(k).evaluate("img => img.complete && img.naturalWidth >= 640") for k in (0, 1)
    )
    _shoot(tab, "differences")
    assert complaints == []


@pytest.mark.browser
@pytest.mark.slow
def test_the_history_is_read(tab, complaints):
    _open(tab, "Registry")
    tab.get_by_role("tab", name="History").click()
    # The grid is drawn on a canvas; beside it stands a table for those who cannot see it.
    cell = tab.get_by_role("tabpanel", name="History").locator(f'td:has-text("{REASON}")')
    cell.first.wait_for(state="attached")
    _shoot(tab, "history")
    assert complaints == []
