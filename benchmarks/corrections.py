"""Seconds of ten corrections on the page Review, with the tool Guided and with the brush.

The errors and the strokes are those of clicks.py. The page runs on this machine and is opened in
Chromium; Playwright moves the mouse. Each error gets one click of the tool Guided and, from the
same mask, the strokes of the brush of 9 px that the editor starts with until the same IoU, and
those of a brush whose width is chosen for each stroke (`chosen`). Every mask is saved. The
benchmark fails where the saved mask of a click is not that of `spinscope.analysis.clicks.click`.

`corrections.program` is the time from the release of the button until the screen has been drawn
again, summed over the strokes of a correction. `corrections.seconds` adds the time of the hand.
That is a model, and no person was timed: Fitts' law with the constants of a mouse of MacKenzie,
Sellen and Buxton (CHI 1991, p. 161), -107 ms + 223 ms log2(D/W + 1) for pointing and
135 ms + 249 ms log2(D/W + 1) for dragging. The pointer comes from half the height of the frame
away. W is the diameter of the object for a click, and the width of the brush for the ends of a
stroke, which favours the brush. Movements of less than 1 bit take as long as those of 1 bit. To see
what is wrong and to choose a tool or a width takes time in each way, which is left out.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import tifffile

from _rows import row
from clicks import ERRORS, SHAPE, Error, Stroke, around, errors, reached, strokes_to
from spinscope.analysis.clicks import click
from spinscope.classes import SKYRMION
from spinscope.config import Serve, bundled_dashboards, bundled_models, project_root
from spinscope.origins import HOST
from spinscope.reviews.folder import REVIEWS, Reviews
from spinscope.serve import choose_ports

BRUSH = 9
"""Width of the brush with which the editor starts, px."""
POINTING, DRAGGING = (-0.107, 0.223), (0.135, 0.249)
"""Intercept in s and slope in s per bit of Fitts' law."""
PATIENCE = 120_000  # ms: the first page loads the model
IDLE = '[data-test-script-state="notRunning"]'
WATCH = """canvas => {
    window.seconds = [];
    canvas.addEventListener('pointerup', event => {
        const drawn = () => window.seconds.push((performance.now() - event.timeStamp) / 1e3);
        requestAnimationFrame(() => requestAnimationFrame(drawn));
    }, {capture: true});
}"""


def main() -> dict[str, dict]:
    """Measure; returns name → {value, unit, peer, ratio}."""
    found = [error for error, _ in zip(errors(), range(ERRORS), strict=False)]
    # The page keeps the probability map at 16 bits.
    expected = [click(e.mask, e.foreground.astype(np.float16), e.place, SKYRMION) for e in found]
    wanted = [reached(error, mask) for error, mask in zip(found, expected, strict=True)]
    brush, chosen = (
        [strokes_to(error, one, sizes) for error, one in zip(found, wanted, strict=True)]
        for sizes in ((BRUSH,), (3, 5, 7, BRUSH))
    )
    with page_of(found) as desk:
        guided = [desk.click(error) for error in found]
        painted = [desk.paint(*one) for one in zip(found, brush, strict=True)]
        fitted = [desk.paint(*one) for one in zip(found, chosen, strict=True)]
    for (_, mask), one in zip(guided, expected, strict=True):
        if not np.array_equal(mask, one):
            raise SystemExit("the editor and the Python function give different masks")
    ours, peer, best = ([seconds for seconds, _ in ways] for ways in (guided, painted, fitted))
    hand = [aim_click(error, mask) for error, mask in zip(found, expected, strict=True)]
    by_brush, by_chosen = ([aim(many) for many in ways] for ways in (brush, chosen))
    counts = {
        "strokes": 1.0,
        "brush": [len(many) for many in brush],
        "chosen": [len(many) for many in chosen],
        "reached": [
            sum(
                reached(error, mask) > one - 0.02
                for error, (_, mask), one in zip(found, ways, wanted, strict=True)
            )
            for ways in (painted, fitted)
        ],
        "chosen_seconds": round(float(np.mean(np.add(best, by_chosen))), 3),
    }
    return {
        "corrections.program": faster(ours, peer, chosen_seconds=round(float(np.mean(best)), 3)),
        "corrections.seconds": faster(np.add(ours, hand), np.add(peer, by_brush), **counts),
    }


class Page:
    """The page Review in a browser, with the mouse on the frames of errors."""

    def __init__(self, tab: Any, frames: Sequence[np.ndarray], reviews: Path):
        self.tab, self.frames, self.reviews = tab, frames, reviews
        self.editor, self.canvas = tab.locator(".editor"), tab.locator("canvas.view")
        self.canvas.evaluate(WATCH)

    def click(self, error: Error) -> tuple[float, np.ndarray]:
        """Seconds of a guided click, and the mask after it."""
        self._show(error, "w")
        self.tab.locator('.editor[data-map="ready"]').wait_for()
        self._settle()
        self.tab.mouse.click(*self._place(error.place))
        return self._save(1)

    def paint(self, error: Error, strokes: Sequence[Stroke]) -> tuple[float, np.ndarray]:
        """Seconds of strokes of the brush or eraser, and the mask after them."""
        self._show(error, "1")
        corner = np.array([part.start for part in around(error)])
        for k, stroke in enumerate(strokes, 1):
            button = "right" if stroke.erases else "left"
            self.editor.locator(".size").fill(str(stroke.size))
            self.tab.mouse.move(*self._place(stroke.start + corner))
            self.tab.mouse.down(button=button)
            self.tab.mouse.move(*self._place(stroke.end + corner), steps=4)
            self.tab.mouse.up(button=button)
            self.tab.wait_for_function("n => window.seconds.length === n", arg=k)
        return self._save(len(strokes))

    def _show(self, error: Error, tool: str) -> None:
        """Show the mask of the model of the frame of an error, and choose a tool."""
        index = next(k for k, one in enumerate(self.frames) if one is error.image)
        self.tab.mouse.move(1, 1)
        name = self.editor.locator(".name")
        while (shown := int(name.inner_text())) != index:
            self.tab.keyboard.press("n" if shown < index else "p")
            self.tab.wait_for_function(
                "([e, old]) => Number(e.innerText) !== old", arg=[name.element_handle(), shown]
            )
            self._settle()
        self.tab.keyboard.press(tool)
        self.tab.evaluate("window.seconds = []")

    def _place(self, at: Any) -> tuple[float, float]:
        """Place of a pixel (y, x) on the screen."""
        box, view = self.canvas.bounding_box(), self.canvas.evaluate("c => ({...c.dataset})")
        scale = float(view["scale"])
        return (
            box["x"] + float(view["x"]) + (at[1] + 0.5) * scale,
            box["y"] + float(view["y"]) + (at[0] + 0.5) * scale,
        )

    def _save(self, strokes: int) -> tuple[float, np.ndarray]:
        """Seconds of the strokes and the mask that is saved; then undo the strokes."""
        self.tab.wait_for_function("n => window.seconds.length === n", arg=strokes)
        seconds = sum(self.tab.evaluate("window.seconds"))
        self.tab.keyboard.press("s")
        self.tab.locator(".notice.shown").filter(has_text="version").wait_for()
        self._settle()
        (folder,) = self.reviews.iterdir()
        reviews = Reviews.open(folder)
        frame = self.editor.locator(".name").inner_text()
        mask = reviews.label(reviews.latest(frame))
        while self.editor.locator(".undo").is_enabled():
            self.tab.keyboard.press("z")
        return seconds, mask

    def _settle(self) -> None:
        self.tab.wait_for_selector(IDLE)


@contextmanager
def page_of(found: Sequence[Error]) -> Iterator[Page]:
    """Serve a project whose recording holds the frames of errors, and open its page Review."""
    from playwright.sync_api import sync_playwright

    frames = list({id(error.image): error.image for error in found}.values())
    with (
        tempfile.TemporaryDirectory() as folder,
        sync_playwright() as playwright,
        served(Path(folder)) as url,
    ):
        stack = Path(folder) / "errors.tif"
        tifffile.imwrite(stack, np.stack(frames), photometric="minisblack")
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("chromium-browser"),
            args=["--no-sandbox", "--disable-gpu"],
        )
        tab = browser.new_page(viewport={"width": 1440, "height": 1000})
        tab.set_default_timeout(PATIENCE)
        tab.goto(f"{url}/review?recording={stack}", wait_until="domcontentloaded")
        tab.locator("canvas.view[data-scale]").wait_for()
        tab.get_by_label("Your name").fill("Ada")
        tab.keyboard.press("Enter")
        tab.locator('.editor[data-frame$="/Ada"]').wait_for()
        tab.wait_for_selector(IDLE)
        yield Page(tab, frames, Path(folder) / REVIEWS)
        browser.close()


@contextmanager
def served(root: Path) -> Iterator[str]:
    """Serve the dashboard of a project; gives its address."""
    shutil.copy(project_root() / "params.yaml", root)
    (root / "models").symlink_to(bundled_models())
    port = choose_ports(Serve(mlflow_port=0, prefect_port=0, dashboard_port=0))["dashboard_port"]
    command = [sys.executable, "-m", "streamlit", "run", str(bundled_dashboards() / "app.py")]
    with subprocess.Popen(
        [*command, "--server.port", str(port)],
        env=os.environ | {"SPINSCOPE_ROOT": str(root)},
        cwd=project_root(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            while not _answers(f"http://{HOST}:{port}/_stcore/health"):
                if process.poll() is not None:
                    raise SystemExit(f"the dashboard ended with exit code {process.returncode}")
                time.sleep(0.2)
            yield f"http://{HOST}:{port}"
        finally:
            process.terminate()


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def aim_click(error: Error, corrected: np.ndarray) -> float:
    """Seconds in which a hand points at an object."""
    area = error.truth.sum() or (corrected != error.mask).sum()
    return fitts(POINTING, SHAPE[0] / 2, math.sqrt(4 * area / math.pi))


def aim(strokes: Sequence[Stroke]) -> float:
    """Seconds in which a hand points at the starts of strokes, and draws those that are no dots."""
    seconds, distance = 0.0, SHAPE[0] / 2
    for k, stroke in enumerate(strokes):
        if k:
            distance = float(np.linalg.norm(stroke.start - strokes[k - 1].end))
        seconds += fitts(POINTING, distance, stroke.size)
        if length := float(np.linalg.norm(stroke.end - stroke.start)):
            seconds += fitts(DRAGGING, length, stroke.size)
    return seconds


def fitts(law: tuple[float, float], distance: float, width: float) -> float:
    """Seconds of a movement over a distance to a target of a width, both in px."""
    return law[0] + law[1] * max(1.0, math.log2(distance / width + 1))


def faster(ours: Sequence[float], peer: Sequence[float], **more: Any) -> dict:
    """Row of mean seconds."""
    mean, other = float(np.mean(ours)), float(np.mean(peer))
    return row(mean, "s", other, other / mean, **more)


if __name__ == "__main__":
    print(json.dumps(main()))
