"""Shared base of the segmentation families: a U-Net that classifies every pixel."""

from __future__ import annotations

import base64
import io
import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from spinscope.classes import CLASSES, COLOURS, SKYRMION
from spinscope.config import HALF, Params, magnetisation
from spinscope.datasets import Dataset
from spinscope.errors import SpinscopeError
from spinscope.evaluation.intervals import Columns, ratio
from spinscope.evaluation.metrics import scores
from spinscope.evaluation.report import PIXELS
from spinscope.families.base import Family, Metric, Quantity, requested_pixel_size
from spinscope.progress import Progress, no_progress

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

    from spinscope.inference.predict import Predictor


class Segmentation(Family):
    """Family of U-Nets that classify every pixel of an image."""

    masks = True
    metric = Metric("mcc", "MCC")
    summarised = ("accuracy", "f1", "jaccard", "size.wasserstein_px")
    listed = ("objects",)

    def network(self, params: Params, seed: int = 0) -> keras.Model:
        """Build the U-Net of the section `model` for `data.scheme` classes."""
        from spinscope.models.unet import unet

        return unet(params.model, params.data.scheme, seed=seed)

    def loss(self, params: Params) -> Callable:
        """Weighted cross entropy of smoothed labels."""
        from spinscope.models.losses import segmentation_loss

        training = params.training
        return segmentation_loss(
            params.data.scheme, training.label_smoothing, training.class_weights
        )

    def metrics(self, params: Params) -> list[keras.metrics.Metric]:
        """Matthews correlation of skyrmion against the rest."""
        from spinscope.models.losses import SkyrmionMCC

        return [SkyrmionMCC()]

    def training_batches(self, frames: Dataset, params: Params, *, seed: int, start: int = 0):
        """Augmented crops and their labels."""
        from spinscope.training.pipeline import load_frames, training_batches

        loaded = load_frames(frames, params.data.scheme, balance=params.training.source_balance)
        return training_batches(
            loaded, params.training, params.augmentation, seed=seed, start=start
        )

    def validation_batches(self, frames: Dataset, params: Params):
        """Whole frames and their labels."""
        from spinscope.training.pipeline import load_frames, validation_batches

        return validation_batches(
            load_frames(frames, params.data.scheme), params.model.size_multiple
        )

    def info(self, params: Params) -> dict[str, Any]:
        """Classes, symmetry, architecture and rules of application."""
        scheme = params.data.scheme
        return {
            "symmetry": params.augmentation.symmetry,
            "scheme": scheme,
            "classes": list(CLASSES[:scheme]),
            "model": params.model.layers,
            **params.model.rules,
            "size_multiple": params.model.size_multiple,
        }

    def card(self, info: dict[str, Any]) -> str:
        """Model card: architecture, classes and validation MCC."""
        return (
            f"# {self.name}, seed {info['seed']}\n\n"
            f"U-Net of {info['parameters']} parameters, {info['scheme']} classes "
            f"({', '.join(info['classes'])}), `{json.dumps(info['model'])}`.\n"
            f"Validation MCC {info['val_mcc']:.4f} at epoch {info['best_epoch'] + 1}.\n"
        )

    def predictor(
        self, folder: Path, params: Params | None = None, *, streams: int = 1
    ) -> Predictor:
        """Load a model folder with the engine of the section `inference`.

        Frames are rotated, scaled and inverted as the section `segment` sets; what it leaves to
        the program ("auto") is not changed, since it is found per recording. Without `params`,
        nothing is done to them, and Keras computes the network.
        """
        from spinscope.inference.predict import Predictor
        from spinscope.inference.tiling import Tiling

        if params is None:
            return Predictor.load(folder)
        inference, segment = params.inference, params.segment
        predictor = Predictor.load(
            folder,
            inference.engine,
            inference.precision,
            streams=streams,
            tiling=Tiling(inference.tile, inference.overlap),
            axis_deg=segment.axis_deg,
            scale=None if segment.scale == "auto" else segment.scale,
        )
        return predictor.under(None, segment.polarity == "bright")

    def export(self, folder: Path) -> None:
        """Add the OpenVINO network, if OpenVINO is installed and agrees with Keras."""
        from spinscope.inference.engine import export, has_openvino

        if not has_openvino():
            return
        try:
            export(folder, folder)
        except Exception as error:  # the converter raises many kinds; Keras remains
            warnings.warn(str(error), stacklevel=2)

    def fast_predictor(self, folder: Path) -> Predictor:
        """Load a model folder with the fastest engine that needs no conversion."""
        from spinscope.inference.engine import has_export
        from spinscope.inference.predict import Predictor

        return Predictor.load(folder, "auto" if has_export(folder) else "keras")

    def predict(self, predictor: Predictor, image: np.ndarray) -> np.ndarray:
        """Mask of an image, (H, W) uint8."""
        return predictor.classes(image)

    def score(
        self,
        predictor: Predictor,
        frames: Dataset,
        params: Params,
        *,
        views: int = 1,
        progress: Progress = no_progress,
        of_source: Callable[[int], Predictor] | None = None,
    ) -> dict[str, Any]:
        """Report of `spinscope.evaluation.evaluate`, with the number `tta` of averaged views.

        Parameters
        ----------
        predictor, frames, params, views, progress
            As for every family.
        of_source : callable, optional
            Id of a source → predictor of its frames; by default `predictor`.
        """
        from spinscope.evaluation import evaluate
        from spinscope.inference.sample import without_noise

        predictor.classes(frames.image(0), views)  # traces the network, outside the timed frames
        one_for_all = {record.source: predictor for record in frames.records}
        of = one_for_all.__getitem__ if of_source is None else of_source
        fitting = (of(record.source) for record in frames.records)
        report = evaluate(
            lambda image: without_noise(next(fitting), image, views),
            frames,
            predictor.info["classes"],
            params.evaluation,
            min_peak_probability=predictor.info.get("min_peak_probability"),
            progress=progress,
        )
        report["tta"] = len(predictor.transforms(views))
        note = fewer_views([predictor], views)
        return report | ({"note": note} if note else {})

    def reports(self, params: Params) -> dict[str, int]:
        """One report without and one with test-time augmentation."""
        return {"validation": 1, "tta": params.evaluation.tta}

    def figures(self, report: Mapping[str, Any]) -> dict[str, Figure]:
        """Size distribution, confusion matrix and reliability diagram."""
        from spinscope.evaluation import figures

        drawn = {
            "sizes.png": figures.size_distribution(report),
            "confusion.png": figures.confusion_matrix(report),
        }
        if "calibration" in report:
            drawn["reliability.png"] = figures.reliability_diagram(report)
        return drawn

    def draw(
        self, predictor: Any, frames: Dataset, report: Mapping[str, Any], views: int, out: Path
    ) -> Path:
        """Draw the frame with the most labelled skyrmions, its label and the mask side by side."""
        from spinscope.drawing import label_panels, write_panels
        from spinscope.images import to_scheme

        index = most_skyrmions(report)
        image = frames.image(index)
        label = to_scheme(frames.label(index), len(predictor.info["classes"]))
        write_panels(out, label_panels(image, (label, predictor.classes(image, views))))
        return out

    def facts(self, report: Mapping[str, Any]) -> dict[str, float]:
        """Count error of a report: sum of the frames' absolute errors over the labelled objects."""
        rows = report["per_image"]
        errors = sum(abs(row["objects_predicted"] - row["objects_true"]) for row in rows)
        return {"count_error": errors / max(sum(row["objects_true"] for row in rows), 1)}

    def quantities(self, params: Params) -> Sequence[Quantity]:
        """MCC, precision, recall, count error and size distance of the objects.

        Over- and undercounts of different frames do not cancel in the count error.
        """
        gates = params.gates
        share = {"lowest": 0.0, "highest": 1.0, "margin": gates.object_margin}
        error = {"lowest": 0.0, "maximise": False}
        return [
            Quantity("mcc", "MCC", gates.metric_limit, gates.metric_margin, lowest=-1, highest=1,
                     of=_source_mcc),
            Quantity("precision", "precision", gates.min_precision, **share,
                     of=ratio("objects_matched", "objects_predicted")),
            Quantity("recall", "recall", gates.min_recall, **share,
                     of=ratio("objects_matched", "objects_true")),
            Quantity("count_error", "count error", gates.max_count_error, gates.count_margin,
                     **error, of=_count_error),
            Quantity("size_px", "size distance in px", gates.max_size_px, gates.size_margin_px,
                     **error, of=_size_distance),
        ]  # fmt: skip

    def difference(self, now: np.ndarray, stored: np.ndarray) -> float:
        """Fraction of pixels whose class differs."""
        return float(np.mean(now != stored))

    answer_columns = ("mask", "classes", "shape", "pixel_size_nm", "objects", "scale", "polarity",
                      "level")  # fmt: skip
    answer_options: ClassVar = {"tta": 1, "pixel_size_nm": 0.0, "min_px": 4, "mask": "classes",
                                "scale": "null", "polarity": "dark", "level": "null"}  # fmt: skip

    def answers(
        self, predictor: Predictor, options: Mapping[str, Any]
    ) -> Callable[[np.ndarray, float | None], dict[str, Any]]:
        """Function that answers with the mask and the objects of an image.

        Parameters
        ----------
        predictor : Predictor
        options : mapping
            `tta`: number of augmented views, 1, 2, 3 or 8. `pixel_size_nm`: overrides the file, 0
            for unknown. `min_px`: smallest object. `mask`: "classes" for class indices, "colours"
            for RGB as in a label file, or "none". `scale`, `polarity` and `level`: texts of the
            settings of the section `segment`; without files of levels.
        """
        from spinscope.analysis import measure, with_units
        from spinscope.inference.level import half_contrast_level, level_of_mz
        from spinscope.inference.pyramid import adapted, at_scale
        from spinscope.inference.sample import sample_region, segment_sample

        _check_options(options)
        given, tta, polarity = requested_pixel_size(options), options["tta"], options["polarity"]
        scale, level = _number(options, "scale", "auto"), _number(options, "level", HALF)
        searched = self.modality == "Kerr" and "auto" in (scale, polarity)
        if level == HALF and self.modality != "Kerr":
            raise SpinscopeError(f"level (={HALF}) must be left out for {self.modality} images")
        plain = predictor.under(None if scale == "auto" else scale, polarity == "bright")
        if self.modality == "Kerr" and scale != "auto" and not searched:
            plain = at_scale(plain, scale)
        if isinstance(level, float):
            plain = plain.with_level(level)
        elif (m_z := magnetisation(level)) is not None:
            plain = plain.with_level(*level_of_mz(plain.info, m_z))

        def answer(image: np.ndarray, pixel_size: float | None) -> dict[str, Any]:
            pixel_size = given or pixel_size
            region, fitting = sample_region(image), plain
            _check_scaled(image.shape, scale)
            if searched:
                frames = [region.sample(image)]
                fitting, _ = adapted(plain, frames, scale=scale, polarity=polarity)
            if level == HALF:
                sample = region.sample(image)
                probability = fitting.mask_and_probability(sample, tta)[1]
                if found := half_contrast_level([(sample, probability)]):
                    fitting = fitting.with_level(round(found, 3))
            mask = segment_sample(fitting, image, tta, region).mask
            objects = measure(mask == SKYRMION, image, min_px=options["min_px"])
            if pixel_size:
                objects = with_units(objects, pixel_size)
            return {
                "mask": _png(mask, options["mask"]),
                "classes": list(CLASSES if region.parts else predictor.info["classes"]),
                "shape": list(mask.shape),
                "pixel_size_nm": pixel_size * 1e9 if pixel_size else None,
                "objects": _rows(objects),
                "scale": fitting.geometry.scale if fitting.geometry else None,
                "polarity": "bright" if fitting.inverted else "dark",
                "level": fitting.level,
            }

        return answer


def _source_mcc(columns: Columns) -> float:
    """MCC of the pixels of all frames of a source."""
    tp, fp, fn, tn = (float(columns[name].sum()) for name in PIXELS)
    return scores(np.array([[tn, fp], [fn, tp]]))["mcc"]


def _count_error(columns: Columns) -> float:
    """Sum of the frames' absolute count errors over the labelled objects of a source."""
    true = columns["objects_true"].sum()
    wrong = np.abs(columns["objects_predicted"] - columns["objects_true"]).sum()
    return float(wrong / true) if true else math.nan


def _size_distance(columns: Columns) -> float:
    """Mean size distance of the frames of a source in px, those without objects left out."""
    distances = columns["wasserstein_px"]
    known = distances[np.isfinite(distances)]
    return float(known.mean()) if len(known) else math.nan


_MASKS = ("classes", "colours", "none")
_POLARITIES = ("dark", "bright", "auto")
_MAX_SCALE, _MAX_SCALED = 4, 2**26


def _check_options(options: Mapping[str, Any]) -> None:
    tta, min_px, mask = (options[key] for key in ("tta", "min_px", "mask"))
    if tta not in (1, 2, 3, 8):
        raise SpinscopeError(f"tta (={tta}) must be 1, 2, 3 or 8")
    if min_px < 1:
        raise SpinscopeError(f"min_px (={min_px}) must be at least 1")
    if mask not in _MASKS:
        raise SpinscopeError(f"mask (={mask!r}) must be one of {', '.join(_MASKS)}")
    if (polarity := options["polarity"]) not in _POLARITIES:
        raise SpinscopeError(f"polarity (={polarity!r}) must be one of {', '.join(_POLARITIES)}")


def _number(options: Mapping[str, Any], name: str, word: str) -> float | str | None:
    """Number, `word`, m_z of a level or "null" (None) that an option contains as text."""
    text = options[name]
    if text in (word, "null"):
        return None if text == "null" else word
    if name == "level":
        try:
            if magnetisation(text) is not None:
                return text
        except ValueError as error:
            raise SpinscopeError(f"level (={text!r:.40}): {error}") from error
    limit = _MAX_SCALE if name == "scale" else 1
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < limit and not (name == "scale" and number == limit):
        raise SpinscopeError(
            f"{name} (={text!r:.40}) must be {word}, null or a number between 0 and {limit}"
            + (", or mz=VALUE" if name == "level" else "")
        )
    return number


def _check_scaled(shape: tuple[int, ...], scale: float | str | None) -> None:
    """Refuse an image that a scale makes larger than an image of a request may be."""
    if isinstance(scale, float) and math.prod(shape) * scale**2 > _MAX_SCALED:
        raise SpinscopeError(
            f"scale (={scale:g}) makes {shape[1]}x{shape[0]} pixels more than {_MAX_SCALED}"
        )


def _png(mask: np.ndarray, kind: str) -> str | None:
    """Mask as a PNG in base64."""
    from PIL import Image

    if kind == "none":
        return None
    buffer = io.BytesIO()
    Image.fromarray(COLOURS[mask] if kind == "colours" else mask).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def _rows(table: Mapping[str, np.ndarray]) -> list[dict]:
    """One record per row, with None for NaN, which JSON does not have."""
    columns = [[None if v != v else v for v in column.tolist()] for column in table.values()]
    return [dict(zip(table, row, strict=True)) for row in zip(*columns, strict=True)]


def fewer_views(predictors: Sequence[Predictor], views: int) -> str | None:
    """Note that the symmetry of a model allows fewer than `views`; None if all allow them."""
    used = min(len(predictor.transforms(views)) for predictor in predictors)
    if used == views:
        return None
    return f"{used} of {views} views averaged: the model's symmetry allows no more"


def most_skyrmions(report: Mapping[str, Any]) -> int:
    """Index of the frame with the most labelled skyrmions."""
    counts = [row["objects_true"] for row in report["per_image"]]
    return counts.index(max(counts))
