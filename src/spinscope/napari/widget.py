"""Widget of the plugin: segment an open recording, correct its masks, measure it again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from magicgui.widgets import (
    CheckBox,
    ComboBox,
    Container,
    FileEdit,
    FloatSpinBox,
    Label,
    LineEdit,
    PushButton,
)
from napari.layers import Image, Labels
from napari.qt.threading import thread_worker
from napari.viewer import Viewer

from spinscope import families, jobs
from spinscope.analysis.clicks import click
from spinscope.classes import BACKGROUND, SKYRMION
from spinscope.config import bundled_models, load_params
from spinscope.errors import SpinscopeError
from spinscope.live.results import Results, open_results
from spinscope.models.store import model_info
from spinscope.napari.layers import MASKS_LAYER, mask_layers, reviews_of, save_corrections
from spinscope.reviews.remeasured import remeasure


def mask_models() -> list[str]:
    """References of the bundled models that make masks."""
    folders = sorted(path.parent for path in bundled_models().glob("*/model.json"))
    return [f"bundled:{f.name}" for f in folders if families.of_model(model_info(f)).masks]


class SegmentWidget(Container):
    """Segment a recording, correct its masks and measure the corrected masks.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        Viewer whose layers are used; napari passes it by this name.
    """

    def __init__(self, napari_viewer: Viewer):
        self._viewer = napari_viewer
        self._predictors: dict[str, Any] = {}
        self.image = ComboBox(label="recording", choices=self._images, nullable=True)
        self.model = ComboBox(label="model", choices=mask_models(), value="bundled:moke-unet")
        self.pixel_size = FloatSpinBox(
            label="pixel size, nm", min=0, max=10_000, step=1, tooltip="0: that of the recording"
        )
        self.out = FileEdit(label="results in", mode="d", nullable=True, value=None)
        self.segment = PushButton(text="Segment")
        self.who = LineEdit(label="your name")
        self.guided = CheckBox(
            text="Correct by clicks",
            tooltip="Alt-click a missed object to add it, a wrong one to remove it",
        )
        self.save = PushButton(text="Save corrections")
        self.measure = PushButton(text="Measure corrected masks")
        self.status = Label(value="")
        super().__init__(
            widgets=[
                self.image, self.model, self.pixel_size, self.out, self.segment, self.who,
                self.guided, self.save, self.measure, self.status,
            ]
        )  # fmt: skip
        self.segment.clicked.connect(self._segment)
        self.save.clicked.connect(lambda: self._report(self._save))
        self.measure.clicked.connect(self._measure)
        napari_viewer.layers.events.inserted.connect(self._refresh)
        napari_viewer.layers.events.removed.connect(self._refresh)
        napari_viewer.mouse_drag_callbacks.append(self._clicked)
        self._refresh()

    @property
    def masks(self) -> Labels:
        """Labels layer of the masks: the selected one, else the last one.

        Raises
        ------
        SpinscopeError
            Where there is none.
        """
        found = [one for one in self._viewer.layers if _folder(one) and MASKS_LAYER in one.name]
        active = self._viewer.layers.selection.active
        if active in found:
            return active
        if not found:
            raise SpinscopeError("no masks are open: segment a recording, or open a results folder")
        return found[-1]

    @property
    def results(self) -> Results:
        """Results folder of the masks."""
        return open_results(_folder(self.masks))

    def _images(self, _: Any = None) -> list[Image]:
        return [layer for layer in self._viewer.layers if isinstance(layer, Image)]

    def _refresh(self, _: Any = None) -> None:
        self.image.reset_choices()
        if self.image.value is None and self.image.choices:
            self.image.value = self.image.choices[-1]

    def _path(self) -> Path:
        """File of the chosen recording."""
        layer = self.image.value
        if layer is None:
            raise SpinscopeError("open a recording first")
        path = layer.metadata.get("spinscope", {}).get("path") or layer.source.path
        if path is None:
            raise SpinscopeError(f"layer {layer.name} is no file: save it as TIFF and open that")
        return Path(path)

    def _report(self, act: Callable[[], str]) -> None:
        """Show the outcome of an action, or its error."""
        try:
            self.status.value = act()
        except SpinscopeError as error:
            self.status.value = f"error: {error}"

    def _segment(self) -> None:
        try:
            path = self._path()
            options = {}
            if self.pixel_size.value:
                options["segment.pixel_size_nm"] = self.pixel_size.value
            params = load_params(overrides=[f"{key}={value}" for key, value in options.items()])
        except SpinscopeError as error:
            self.status.value = f"error: {error}"
            return
        model = self.model.value
        out = Path(self.out.value) if self.out.value else path.parent / "masks"

        def work() -> Path:
            (row,) = jobs.segment(params, [path], [model], out)
            if "error" in row:
                raise SpinscopeError(row["error"])
            return Path(row["folder"])

        self._run(work, self._show, "segmenting …")

    def _measure(self) -> None:
        def work() -> Path:
            results = self.results
            return remeasure(results.folder, reviews_of(results).folder).folder

        self._run(work, self._show, "measuring …")

    def _run(self, work: Callable[[], Path], done: Callable[[Path], None], text: str) -> None:
        """Run in a thread; the buttons are disabled meanwhile."""
        buttons = (self.segment, self.save, self.measure)

        def enable(on: bool) -> None:
            for button in buttons:
                button.enabled = on

        def fail(error: Exception) -> None:
            enable(True)
            if not isinstance(error, SpinscopeError):
                raise error
            self.status.value = f"error: {error}"

        def finish(folder: Path) -> None:
            enable(True)
            done(folder)

        enable(False)
        self.status.value = text
        thread_worker(work, connect={"returned": finish, "errored": fail})()

    def _show(self, folder: Path) -> None:
        """Show the layers of a results folder, in place of older ones of the same name."""
        results = open_results(folder)
        for data, keywords, kind in mask_layers(results):
            if keywords["name"] in self._viewer.layers:
                self._viewer.layers.remove(keywords["name"])
            getattr(self._viewer, f"add_{kind}")(data, **keywords)
        self._viewer.layers.selection.active = self._viewer.layers[f"{results.name} {MASKS_LAYER}"]
        if results.pixel_size is not None:
            self._viewer.scale_bar.visible = True
        n = results.summary["statistics"]["objects"]
        self.status.value = f"{n} skyrmions in {results.n_frames} frames: {folder}"

    def _save(self) -> str:
        saved = save_corrections(self.results, np.asarray(self.masks.data), self.who.value)
        frames = ", ".join(review.frame for review in saved)
        return f"saved: {frames}" if saved else "no mask has changed since it was saved"

    def _clicked(self, viewer: Viewer, event: Any) -> Iterator[None]:
        """Add or remove an object by a click with Alt."""
        if self.guided.value and "Alt" in event.modifiers:
            position = self.masks.world_to_data(viewer.cursor.position)
            self._report(lambda: self.correct(tuple(round(v) for v in position)))
        yield

    def correct(self, place: tuple[int, int, int]) -> str:
        """Add an object at a place of the masks, or remove the one that is there.

        Parameters
        ----------
        place : (frame, y, x)
            Pixel in the masks.

        Returns
        -------
        str
            What was done.
        """
        layer, (frame, y, x) = self.masks, place
        chosen = int(layer.selected_label)
        value = chosen if 0 < chosen < len(self.results.classes) else SKYRMION
        mask = np.array(layer.data[frame])  # a copy, since the layer changes in place
        corrected = click(mask, self._foreground(layer, frame), (y, x), value)
        changed = np.nonzero(corrected != mask)
        if len(changed[0]):
            # data_setitem keeps the step in the history of the layer.
            at = (np.full(len(changed[0]), frame), *changed)
            layer.data_setitem(at, corrected[changed])
        return f"{'removed' if mask[y, x] else 'added'} {len(changed[0])} px in frame {frame}"

    def _foreground(self, layer: Labels, frame: int) -> np.ndarray:
        """Probability of any object in a frame, by the model of the results."""
        results = self.results
        ref = results.summary["settings"]["models"][0]["ref"]
        if ref not in self._predictors:
            self._predictors[ref] = jobs.predictor(load_params(), ref, masks=True)
        image = results.recording().read(frame)
        probabilities = self._predictors[ref].probabilities(image)
        return 1 - probabilities[..., BACKGROUND]


def _folder(layer: Any) -> str | None:
    """Results folder of a layer, None for others."""
    if not isinstance(layer, Labels):
        return None
    return layer.metadata.get("spinscope", {}).get("results")
