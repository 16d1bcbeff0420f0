"""Saved edits are undone step by step in the editor, which runs in a browser without a server."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image
from tests.dashboards.conftest import DASHBOARDS

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SIZE = 64
START = """async ([html, code]) => {
    document.body.innerHTML = `<div id="root">${html}</div>`;
    const url = URL.createObjectURL(new Blob([code], {type: 'text/javascript'}));
    window.editor = (await import(url)).default;
}"""
SHOW = """data => {
    window.close = window.editor({
        parentElement: document.getElementById('root'), data,
        setTriggerValue: (_, payload) => { window.sent = payload; }, setStateValue: () => {},
    });
}"""


class Page:
    """The editor, and in place of the server the masks that it saves."""

    def __init__(self, page):
        self.page, self.saved = page, 0
        self.data = {
            "unnamed": "", "frame": "film/0000/Ada", "name": "0000", "who": "Ada", "disc": 9,
            "shape": [SIZE, SIZE], "classes": ["background", "skyrmion"], "state": "as saved",
            "colours": [[0, 0, 0], [255, 170, 0]], "answered": 0, "image": _png(), "map": _png(),
        }  # fmt: skip
        self.show(base64.b64encode(np.uint32([SIZE * SIZE]).tobytes()).decode())
        page.locator('.editor[data-map="ready"]').wait_for()
        page.keyboard.press("w")

    def show(self, mask: str) -> None:
        """Run the page with this mask; `Desk.identity` names it by its pixels, too."""
        self.page.evaluate(SHOW, self.data | {"mask": mask, "id": f"film/0000/{mask}/Ada"})

    def command(self, mask: str, n: int, *seeds: tuple[int, int]) -> None:
        """Delete the objects at the seeds (y, x) of this mask."""
        self.data["command"] = {"id": f"film/0000/{mask}/Ada", "n": n, "seeds": seeds}
        self.show(mask)

    def ask(self) -> str:
        """Ask the server to save the mask, which is returned."""
        self.page.keyboard.press("s")
        return self.page.evaluate("window.sent.mask")

    def answer(self, mask: str) -> None:
        """Answer as the server, that this mask is saved."""
        self.saved += 1
        notice = {"text": f"corrected, version {self.saved}", "bad": False}
        self.data |= {"answered": self.data["answered"] + 1, "notice": notice}
        self.show(mask)

    def save(self) -> str:
        mask = self.ask()
        self.answer(mask)
        return mask

    def click(self, x: float, y: float) -> None:
        """A guided click: adds a disc, for the probability map is empty."""
        view = self.page.evaluate("({...document.querySelector('canvas.view').dataset})")
        box = self.page.locator("canvas.view").bounding_box()
        scale = float(view["scale"])
        self.page.mouse.click(
            box["x"] + float(view["x"]) + scale * x, box["y"] + float(view["y"]) + scale * y
        )

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    @property
    def state(self) -> str:
        return self.page.locator(".state").inner_text()


def _png() -> str:
    with io.BytesIO() as file:
        Image.fromarray(np.zeros((SIZE, SIZE), np.uint8)).save(file, format="PNG")
        return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


@pytest.fixture
def page(browser):
    page = browser.new_page(viewport={"width": 700, "height": 1000})
    files = [
        (DASHBOARDS / f"components/editor/editor.{kind}").read_text() for kind in ("html", "js")
    ]
    page.evaluate(START, files)
    yield Page(page)
    page.close()


def test_saved_clicks_are_undone_and_what_is_shown_is_saved_again(page):
    page.click(10, 10)
    one = page.save()
    page.click(30, 30)
    page.click(50, 50)
    assert page.state == "edited, not saved"
    two = page.save()
    assert page.state == "as saved"
    for _ in range(2):
        page.press("z")
        assert page.state == "edited, not saved"
    assert page.save() == one
    assert page.state == "as saved"
    page.press("y", "y")
    assert page.save() == two


def test_a_mask_that_is_undone_while_it_is_saved_is_edited(page):
    page.click(10, 10)
    page.save()
    page.click(30, 30)
    page.click(50, 50)
    mask = page.ask()
    assert page.state == "being saved"
    assert page.page.locator(".notice.shown").count() == 0  # no longer that of the mask before
    page.press("z", "z")
    assert page.state == "edited, not saved"
    page.answer(mask)
    assert page.state == "edited, not saved"
    page.press("y", "y")
    assert page.state == "as saved"


def test_a_saved_mask_keeps_its_steps_where_the_same_mask_was_open_before(page):
    """Unsaved strokes on the same mask do not take the place of what was saved."""
    page.click(10, 10)
    one = page.save()
    page.click(30, 30)
    two = page.save()
    page.click(50, 50)  # not saved
    page.show(one)  # another version is opened
    assert page.state == "as saved"
    page.click(30, 30)
    assert page.save() == two
    assert page.state == "as saved"
    page.press("z")
    assert page.state == "edited, not saved"
    assert page.save() == one


def test_the_steps_outlive_a_new_element_of_the_page(page):
    page.click(10, 10)
    mask = page.ask()
    page.page.evaluate("""() => {
        window.close();
        const root = document.getElementById('root');
        root.replaceWith(root.cloneNode(true));
    }""")
    page.answer(mask)
    assert page.state == "as saved"
    page.press("z")
    assert page.state == "edited, not saved"


def test_a_command_is_carried_out_once(page):
    """Also where the mask that it changed is opened again, and by a session that counts anew."""
    page.click(10, 10)
    one = page.save()
    page.command(one, 7, (10, 10))
    assert page.state == "edited, not saved"
    page.save()
    page.show(one)
    assert page.state == "as saved"
    page.command(one, 3, (10, 10))
    assert page.state == "edited, not saved"
