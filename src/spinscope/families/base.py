"""The interface of a family of models."""

from __future__ import annotations

import statistics
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import ValidationError

from spinscope.code import code_digest
from spinscope.config import PIXEL_SIZES_NM, Params, Section, first_error
from spinscope.datasets import Dataset, Splits, open_dataset
from spinscope.errors import SpinscopeError
from spinscope.evaluation.intervals import Quantity
from spinscope.progress import Progress, no_progress
from spinscope.training.trainable import Metric, Trainable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from spinscope.datasets.validate import Validation

__all__ = ["Family", "Gate", "Metric", "Quantity"]

SCORING = ("analysis", "evaluation", "images", "inference", "models")
"""Modules whose code decides the score of a model, besides its family's."""
_TURNS = 5


@dataclass(frozen=True)
class Gate:
    """One rule of promotion: what was measured, its limit and whether it passed.

    Parameters
    ----------
    name, rule : str
        What is measured, and the condition in words.
    measured, limit : float or None
        Measured value and its limit.
    passed : bool
    low, high : float or None
        Confidence limits of the measured value, for a gate on an interval.
    """

    name: str
    rule: str
    measured: float | None
    limit: float | None
    passed: bool
    low: float | None = None
    high: float | None = None


def requested_pixel_size(options: Mapping[str, Any]) -> float | None:
    """Pixel size in m that a served request gives in `pixel_size_nm`; None for 0.

    Raises
    ------
    SpinscopeError
        If a micrograph cannot have it.
    """
    given, (low, high) = options["pixel_size_nm"], PIXEL_SIZES_NM
    if given and not low <= given <= high:
        raise SpinscopeError(
            f"pixel_size_nm (={given:g}) must be a length from {low:g} to {high:g} nm, or 0 "
            "where it is unknown"
        )
    return given * 1e-9 or None


def _time_ratio(ours: Callable[[], Any], reference: Callable[[], Any]) -> float:
    """Median over turns of the times of two functions, the first divided by the second."""
    ratios = []
    for turn in range(_TURNS + 1):
        times = []
        for function in (ours, reference):
            started = time.perf_counter()
            function()
            times.append(time.perf_counter() - started)
        if turn:  # the first turn traces the networks
            ratios.append(times[0] / times[1])
    return statistics.median(ratios)


class NoOptions(Section):
    """Options of a family that has none."""


class Family(Trainable):
    """Everything that is particular to one family of models.

    A subclass sets `name`, `title`, `metric` and `modality` and implements the abstract methods of
    this class and of `Trainable`; its module contains one instance, ``FAMILY``.
    A report is a dict that JSON can hold, with at least the headline metric, `n_images`,
    `frame_ms` (median time of one frame in ms) and a `per_image` list, whose rows hold the `name`
    and `source` of a frame and what `quantities` needs, by default its headline metric.
    """

    modality: ClassVar[str]
    """Imaging modality, "Kerr" or "Lorentz"; "Spins" for spin configurations; "Domains" for films
    of which only the normal magnetisation is imaged."""
    summarised: ClassVar[tuple[str, ...]] = ()
    """Other numbers of a report whose mean and SD over the seeds become tags of a version."""
    listed: ClassVar[tuple[str, ...]] = ()
    """Entries of a report that the training's table repeats for every seed."""
    input: ClassVar[str] = "image"
    """Input of the network: "image" (H, W), or "spins" (H, W, 3); column of a served request."""
    masks: ClassVar[bool] = False
    """Whether the output is a mask, so that recordings can be segmented."""
    options_type: ClassVar[type[Section]] = NoOptions
    """Settings of this family alone, the section `options` of params.yaml."""

    def options(self, params: Params) -> Any:
        """Validated settings of the section `options`, an `options_type`.

        Raises
        ------
        SpinscopeError
            If a key is unknown or a value is not valid.
        """
        try:
            return self.options_type.model_validate(params.options)
        except ValidationError as error:
            raise SpinscopeError(
                f"params: {first_error(error, self.options_type, 'options')}"
            ) from error

    # data

    def corpus(
        self,
        params: Params,
        out: Path,
        *,
        source: Path | None = None,
        progress: Progress = no_progress,
    ) -> Path:
        """Write the simulated corpus of these settings into `out`; a complete one is kept.

        Parameters
        ----------
        params : Params
        out : Path
        source : Path, optional
            Folder of the corpus that this one is computed from, for a family that needs one.
        progress : callable, optional

        Raises
        ------
        SpinscopeError
            If the family has no simulated corpus, or needs a `source`.
        """
        raise SpinscopeError(f"family {self.name} has no simulated corpus")

    def open(self, folder: Path) -> Dataset:
        """Open a dataset folder."""
        return open_dataset(folder)

    def check(
        self,
        dataset: Dataset,
        splits: Splits | None,
        out: Path | None,
        *,
        either_contrast: bool = False,
        progress: Progress = no_progress,
    ) -> Validation:
        """Check a dataset against the rules of the family.

        Parameters
        ----------
        dataset : Dataset
        splits : Splits or None
            Splits between which frames and sources must differ.
        out : Path or None
            Receives the report.
        either_contrast : bool, default False
            Accept frames of opposite contrast in one dataset.
        progress : callable, optional
        """
        from spinscope.datasets.validate import validate

        return validate(dataset, splits, out, either_contrast=either_contrast, progress=progress)

    def validate(
        self, dataset: Dataset, splits: Splits, out: Path | None, **options: Any
    ) -> Path | None:
        """Require that a dataset is fit to train on; returns the report, see `check`.

        Raises
        ------
        SpinscopeError
            If the dataset breaks a rule; the sentence names file and rule.
        """
        from spinscope.datasets.validate import require_valid

        validation = self.check(dataset, splits, out, **options)
        require_valid(validation)
        return validation.report

    def data_info(self, dataset: Dataset) -> dict[str, Any]:
        """Part of a model's info that describes its data: the header of a simulated corpus."""
        from spinscope.datasets.shards import HEADER, read_header

        if not (dataset.path / HEADER).is_file():
            return {}
        header = read_header(dataset.path)
        return {"corpus": {key: value for key, value in header.items() if key != "sha256"}}

    # inference and evaluation

    @abstractmethod
    def predictor(self, folder: Path, params: Params | None = None, *, streams: int = 1) -> Any:
        """Load a model folder to apply it.

        Parameters
        ----------
        folder : Path
            Model folder, whose checksums are verified.
        params : Params, optional
            Engine and rules of application; by default Keras, the reference.
        streams : int, default 1
            Frames that are computed at once.
        """

    def export(self, folder: Path) -> None:
        """Add files to a model folder that make it faster to apply; none by default."""

    def fast_predictor(self, folder: Path) -> Any:
        """Load a model folder with its fastest export, without writing to it."""
        return self.predictor(folder)

    @abstractmethod
    def predict(self, predictor: Any, image: np.ndarray) -> np.ndarray:
        """Output of a loaded model for one image, without augmented views."""

    @abstractmethod
    def score(
        self,
        predictor: Any,
        frames: Dataset,
        params: Params,
        *,
        views: int = 1,
        progress: Progress = no_progress,
    ) -> dict[str, Any]:
        """Report of a loaded model on frames with labels.

        Parameters
        ----------
        predictor : Any
            Loaded model.
        frames : Dataset
        params : Params
        views : int, default 1
            Augmented views that are averaged.
        progress : callable, optional
        """

    def scoring_code(self) -> str:
        """Digest of the code that decides a report of `score`."""
        names = ("predictor", "predict", "score")
        return code_digest(
            SCORING,
            tuple(getattr(type(self), name) for name in names),
        )

    def reports(self, params: Params) -> dict[str, int]:
        """Reports of every seed on the validation frames: name → number of augmented views."""
        return {"validation": 1}

    def figures(self, report: Mapping[str, Any]) -> dict[str, Figure]:
        """Figures of a report: file name → Matplotlib figure."""
        return {}

    def draw(
        self, predictor: Any, frames: Dataset, report: Mapping[str, Any], views: int, out: Path
    ) -> Path:
        """Draw one frame of a report with its label and the prediction.

        Parameters
        ----------
        predictor : Any
            Loaded model.
        frames : Dataset
        report : mapping
            Report of these frames.
        views : int
            Augmented views that are averaged.
        out : Path
            PNG.
        """
        raise SpinscopeError(f"family {self.name} draws no frame")

    # registry

    answer_columns: ClassVar[tuple[str, ...]] = ("output",)
    """Columns of a served answer."""
    answer_options: ClassVar[Mapping[str, Any]] = {}
    """Parameters of a served request → default."""
    answer_example: ClassVar[Mapping[str, Any]] = {}
    """Parameters of the example of a request that is stored with a version."""

    def answers(
        self, predictor: Any, options: Mapping[str, Any]
    ) -> Callable[[np.ndarray, float | None], dict[str, Any]]:
        """Function that answers the requests to a served model.

        Parameters
        ----------
        predictor : Any
            Loaded model.
        options : mapping
            Values of `answer_options`.

        Returns
        -------
        callable
            (image, pixel size in m or None) → answer that JSON can hold.

        Raises
        ------
        SpinscopeError
            If an option is not valid.
        """
        return lambda image, _: {"output": np.asarray(self.predict(predictor, image)).tolist()}

    def facts(self, report: Mapping[str, Any]) -> dict[str, float]:
        """Numbers derived from a report that become tags of a version."""
        return {}

    def quantities(self, params: Params) -> Sequence[Quantity]:
        """Numbers that gates judge, by default the headline metric.

        Each is computed for every source from the rows `per_image` of a report, and its interval
        over the sources is compared with its limit and with the lab's best version.
        """
        metric, gates = self.metric, params.gates
        return [
            Quantity(
                metric.name, metric.title, gates.metric_limit, gates.metric_margin, metric.maximise
            )
        ]

    def frame_ratio(self, predictor: Any, image: np.ndarray) -> float:
        """Time of a frame relative to that of `reference`, both measured by turns.

        Parameters
        ----------
        predictor : Any
            Loaded model.
        image : (H, W) or (H, W, 3) array
            At most 512×672 pixels are used.
        """
        height, width = (
            min(n, most) // 16 * 16 for n, most in zip(image.shape[:2], (512, 672), strict=True)
        )
        image = image[:height, :width]
        return _time_ratio(lambda: self.predict(predictor, image), self.reference(image))

    def reference(self, image: np.ndarray) -> Callable[[], object]:
        """Function that applies a reference network with random weights to an image, by Keras.

        By default the published U-Net of Kerr images; the sides of the image are multiples of 16.
        """
        from spinscope.models.unet import reference_network

        return reference_network(image)

    def difference(self, now: np.ndarray, stored: np.ndarray) -> float:
        """Difference between an output and the stored one of the same image; 0 for equal outputs.

        The default is the largest difference, relative to the largest stored value.
        """
        scale = max(float(np.abs(stored).max()), 1e-12)
        return float(np.abs(np.asarray(now, float) - stored).max()) / scale
