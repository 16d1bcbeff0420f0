"""`parameter-cnn`: the DMI constant or the saturation magnetisation from an image of domains.

Source: Watanabe, Nakatani, Awano and Tanabe, arXiv:2408.12181 (2024).
"""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from spinscope.code import code_digest
from spinscope.config import Params, Section
from spinscope.datasets import Dataset, Splits
from spinscope.errors import SpinscopeError
from spinscope.families.base import Family, Metric, Quantity, requested_pixel_size
from spinscope.progress import Progress, no_progress

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

    from spinscope.datasets.validate import Validation
    from spinscope.inference.parameters import ParameterPredictor
    from spinscope.training.domains import FilmViews

_SIGNS = 150
"""Largest number of training views per imaging scale whose signs are measured."""
_REFERENCES, _REFERENCE_PX = 48, 64
"""Number and side in px of the training films that a model folder contains."""


class Options(Section):
    """Settings that only this family has."""

    architecture: Literal["published", "scaled"]
    parameter: Literal["dmi", "ms"]
    scales_nm: tuple[float, ...] | None


class ParameterCnn(Family):
    """Image of domains (H, W) and its pixel size → distribution of a magnetic parameter."""

    name, modality = "parameter-cnn", "Domains"
    title = "magnetic parameters from images of domains"
    metric = Metric("rmse", "relative RMSE", maximise=False)
    summarised = ("r2", "coverage")
    listed = ("r2", "coverage")
    options_type = Options

    # training

    def network(self, params: Params, seed: int = 0) -> keras.Model:
        """Build the network of `options.architecture`."""
        from spinscope.models.parameter_networks import parameter_network

        return parameter_network(self.options(params).architecture, params.domains.pixels, seed)

    def loss(self, params: Params) -> Callable | str:
        """Mean squared error, or the likelihood of the estimated distribution."""
        from spinscope.models.parameter_networks import SCALED, log_likelihood

        return log_likelihood if self._is(SCALED, params) else "mean_squared_error"

    def metrics(self, params: Params) -> list[keras.metrics.Metric]:
        """Error relative to the range of the parameter."""
        from spinscope.models.parameter_networks import RelativeError

        return [RelativeError()]

    def training_batches(self, frames: Dataset, params: Params, *, seed: int, start: int = 0):
        """Views at random places and orientations; varied ones for the architecture `scaled`."""
        from spinscope.inference.parameters import network_input
        from spinscope.models.parameter_networks import SCALED
        from spinscope.training.domains import ZOOM
        from spinscope.training.pipeline import drawn_batches

        views, info = self._views(frames, params), self._input_info(frames, params)
        varied = self._is(SCALED, params)
        zoom = ZOOM if varied else 0.0

        def draw(number: int) -> tuple[np.ndarray, np.ndarray]:
            rng = np.random.default_rng([seed, number])
            image, scale, value = views.example(rng, varied=varied, zoom=zoom)
            inputs = network_input(image, scale / views.pixels, info)
            return inputs, np.array([value], np.float32)

        return drawn_batches(draw, params.training.batch, start=start)

    def validation_batches(self, frames: Dataset, params: Params):
        """Views at the scales of the training, clean."""
        from spinscope.training.pipeline import whole_batches

        return whole_batches(*self._examples(frames, params))

    def completed(
        self, network: keras.Model, splits: Splits, params: Params
    ) -> tuple[dict[str, Any], dict[str, bytes]]:
        """Calibrate the uncertainty on views of validation films; describe those of the training.

        The half width of the interval is the standard deviation of the network times a factor with
        which it contains 90 % of the values (split conformal prediction). The folder also contains
        the range of the signs of training views, and training films.
        """
        from spinscope.inference.parameters import FILMS, LEVEL

        calibration = self._calibration(network, splits.validation, params, LEVEL)
        trained = self._trained(splits.train, params)
        info = {"calibration": calibration, "trained": trained}
        return info, {FILMS: self._references(splits.train)}

    def info(self, params: Params) -> dict[str, Any]:
        """Architecture and input of the network."""
        options = self.options(params)
        return {
            **super().info(params),
            "architecture": options.architecture,
            "parameter": options.parameter,
            "scales": self._scales(params),
            "pixels": params.domains.pixels,
        }

    def training_code(self) -> str:
        """Digest of the code that decides the outcome of a training."""
        names = ("_views", "_scales", "_examples", "_calibration", "_trained", "_references")
        extra = tuple(getattr(type(self), name) for name in names)
        modules = ("physics/domain_images", "inference/parameters", "analysis/domains")
        return code_digest(modules, extra) + super().training_code()

    def _scales(self, params: Params) -> list[float]:
        """Imaging scales of the training, m, ascending."""
        options = self.options(params)
        chosen = options.scales_nm or params.domains.sets[options.parameter].scales_nm
        return sorted(scale * 1e-9 for scale in chosen)

    def _is(self, architecture: str, params: Params) -> bool:
        return self.options(params).architecture == architecture

    def _views(self, frames: Dataset, params: Params) -> FilmViews:
        """Films of a dataset in memory, with the scales of the training."""
        from spinscope.corpora.domains import films_of
        from spinscope.training.domains import FilmViews

        options, store = self.options(params), frames.store
        if store.parameter != options.parameter:
            raise SpinscopeError(
                f"{frames.path} holds films of which {store.parameter} varies; options.parameter "
                f"(={options.parameter}) must be the same"
            )
        rows = [frames.rows[index] for index in films_of(frames)]
        films = np.stack([store.levels(row) for row in rows])
        values = np.array([float(store.label(row)[0]) for row in rows])
        low, high = store.limits
        return FilmViews(
            films,
            (values - low) / (high - low),
            store.cell,
            tuple(self._scales(params)),
            params.domains.pixels,
        )

    def _input_info(self, frames: Dataset, params: Params) -> dict[str, Any]:
        if frames.store.pixels != params.domains.pixels:
            raise SpinscopeError(
                f"{frames.path} has views of {frames.store.pixels} px; domains.pixels "
                f"(={params.domains.pixels}) must be the same"
            )
        return self.info(params)

    def _examples(
        self, frames: Dataset, params: Params, *, degrade: bool = False, repeats: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and relative values of the views of a dataset at the scales of the training."""
        from spinscope.inference.parameters import network_input
        from spinscope.training.domains import degraded_as_trained

        store, info = frames.store, self._input_info(frames, params)
        low, high = store.limits
        inputs, values = [], []
        for index, row in enumerate(frames.rows):
            if not np.isclose(info["scales"], store.scale(row), rtol=1e-6).any():
                continue
            for repeat in range(repeats):
                image = frames.image(index)
                if degrade:
                    image = degraded_as_trained(image, np.random.default_rng([row, repeat]))
                inputs.append(network_input(image, store.pixel_size(row), info))
                values.append((frames.label(index) - low) / (high - low))
        if not inputs:
            raise SpinscopeError(
                f"{frames.path} has no views at the scales of options.scales_nm "
                f"(={', '.join(f'{scale * 1e9:g}' for scale in info['scales'])}); it has "
                f"{', '.join(f'{scale * 1e9:g}' for scale in store.scales)}"
            )
        return np.stack(inputs), np.array(values, np.float32)

    def _calibration(
        self, network: keras.Model, frames: Dataset, params: Params, level: float
    ) -> dict[str, float]:
        from spinscope.inference.parameters import outputs, spread
        from spinscope.models.parameter_networks import SCALED

        one = {"sd": 1.0, "interval": 1.0}
        scaled = self._is(SCALED, params)
        inputs, values = self._examples(frames, params, degrade=scaled, repeats=2 if scaled else 1)
        predict = partial(network.predict, batch_size=64, verbose=0)
        output = outputs(predict, inputs, self.info(params)).astype(np.float64)
        errors = np.abs(output[:, 0] - values[:, 0]) / spread(output, one)[0]
        rank = min(1.0, level * (1 + 1 / len(frames.sources)))  # views of a film err together
        return {
            "sd": max(float(np.sqrt(np.mean(errors**2))), 1e-6),
            "interval": max(float(np.quantile(errors, rank, method="higher")), 1e-6),
        }

    def _trained(self, frames: Dataset, params: Params) -> dict[str, Any]:
        """Range of the signs of domains in views as the training shows them."""
        from spinscope.analysis.domains import signs, trained_range
        from spinscope.models.parameter_networks import SCALED

        views, varied = self._views(frames, params), self._is(SCALED, params)
        rng = np.random.default_rng(params.seed)
        number = len(views.scales) * min(_SIGNS, 10 * len(views.films))
        examples = (views.example(rng, varied=varied) for _ in range(number))
        return trained_range([signs(image, scale / views.pixels) for image, scale, _ in examples])

    def _references(self, frames: Dataset) -> bytes:
        """Evenly chosen training films as a NumPy archive."""
        from spinscope.corpora.domains import films_of
        from spinscope.physics.domain_images import resampled

        store, films = frames.store, [frames.rows[index] for index in films_of(frames)]
        values = np.array([float(store.label(row)[0]) for row in films])
        order = np.argsort(values, kind="stable")
        chosen = order[np.linspace(0, len(order) - 1, min(_REFERENCES, len(order))).astype(int)]
        rows = [films[k] for k in chosen]
        shape = (_REFERENCE_PX, _REFERENCE_PX)
        images = [resampled(store.levels(row).astype(np.float32), shape) for row in rows]
        pixel_size = store.levels(rows[0]).shape[0] * store.cell / _REFERENCE_PX
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            images=np.rint(images).astype(np.uint8),
            values=values[chosen],
            pixel_size=pixel_size,
        )
        return buffer.getvalue()

    # data

    def corpus(
        self,
        params: Params,
        out: Path,
        *,
        source: Path | None = None,
        progress: Progress = no_progress,
    ) -> Path:
        """Relax the films of the section `domains`; the same complete ones are kept."""
        from spinscope.corpora.chunks import domain_header
        from spinscope.corpora.domains import make_domain_corpus
        from spinscope.corpora.writing import kept_corpus

        parameter, settings = self.options(params).parameter, params.domains
        return kept_corpus(
            out,
            domain_header(parameter, params.seed, settings),
            lambda: make_domain_corpus(out, parameter, params.seed, settings, progress=progress),
        )

    def open(self, folder: Path) -> Dataset:
        """Open a corpus of domain films: one frame per film and imaging scale."""
        from spinscope.corpora.domains import open_domains

        return open_domains(folder)

    def check(
        self,
        dataset: Dataset,
        splits: Splits | None,
        out: Path | None,
        *,
        either_contrast: bool = False,
        progress: Progress = no_progress,
    ) -> Validation:
        """Check a corpus of domain films: torque, domains, constants, sides and copies."""
        from spinscope.corpora.domain_rules import validate_domains

        return validate_domains(dataset, splits, out, progress=progress)

    def data_info(self, dataset: Dataset) -> dict[str, Any]:
        """Header of the corpus, and the range of the parameter."""
        return {**super().data_info(dataset), "limits": list(dataset.store.limits)}

    # inference and evaluation

    def predictor(
        self, folder: Path, params: Params | None = None, *, streams: int = 1
    ) -> ParameterPredictor:
        """Load a model folder with the engine of the section `inference`; by default Keras."""
        from spinscope.inference.parameters import ParameterPredictor

        return ParameterPredictor.load(folder, params.inference.engine if params else "keras")

    def export(self, folder: Path) -> None:
        """Add the OpenVINO network, if OpenVINO is installed."""
        from spinscope.inference.engine import has_openvino
        from spinscope.inference.parameters import export

        if has_openvino():
            export(folder, folder)

    def fast_predictor(self, folder: Path) -> ParameterPredictor:
        """Load a model folder with its OpenVINO network, or with Keras if there is none."""
        from spinscope.inference.parameters import ParameterPredictor

        return ParameterPredictor.load(folder)

    def predict(self, predictor: ParameterPredictor, image: np.ndarray) -> np.ndarray:
        """Estimate of an image at the largest scale of the training: (value, sd, low, high), SI."""
        found = predictor(image, predictor.scales[-1] / max(image.shape))
        return np.array([found.mean, found.sd, found.low, found.high])

    def score(
        self,
        predictor: ParameterPredictor,
        frames: Dataset,
        params: Params,
        *,
        views: int = 1,
        progress: Progress = no_progress,
    ) -> dict[str, Any]:
        """RMSE relative to the range of the training, R² and coverage, in all and by scale."""
        store = frames.store
        low, high = predictor.limits
        if store.parameter != predictor.parameter:
            raise SpinscopeError(
                f"{frames.path} holds films of which {store.parameter} varies; the model estimates "
                f"{predictor.parameter}"
            )
        predictor(frames.image(0), store.pixel_size(frames.rows[0]))  # traces the network
        rows = []
        for (record, image, label), row in zip(
            progress(frames, total=len(frames), desc="evaluate"), frames.rows, strict=True
        ):
            started = time.perf_counter()
            found = predictor(image, store.pixel_size(row))
            seconds, true = time.perf_counter() - started, float(label[0])
            rows.append(
                {
                    "name": record.name,
                    "source": record.source,
                    "scale_nm": round(store.scale(row) * 1e9, 3),
                    "true": true,
                    "predicted": found.mean,
                    "sd": found.sd,
                    "low": found.low,
                    "high": found.high,
                    "error": (found.mean - true) / (high - low),
                    "covered": int(found.low <= true <= found.high),
                    "frame_ms": 1e3 * seconds,
                }
            )
        scales = sorted({row["scale_nm"] for row in rows})
        every = _summary(rows)
        return {
            **every,
            "rmse_si": every["rmse"] * (high - low),
            "bias": statistics.fmean(row["error"] for row in rows),
            "scales": {
                f"{scale:g}": _summary([row for row in rows if row["scale_nm"] == scale])
                for scale in scales
            },
            "frame_ms": statistics.median(row["frame_ms"] for row in rows),
            "per_image": rows,
        }

    def draw(
        self,
        predictor: ParameterPredictor,
        frames: Dataset,
        report: Mapping[str, Any],
        views: int,
        out: Path,
    ) -> Path:
        """Draw the least accurate view beside training films of the true and estimated value."""
        from spinscope.drawing import label_panels, write_panels
        from spinscope.physics.domain_images import resampled

        errors = [abs(row["error"]) for row in report["per_image"]]
        index = errors.index(max(errors))
        row, image, films = report["per_image"][index], frames.image(index), predictor.films
        side = round(frames.store.scale(frames.rows[index]) / films.pixel_size)
        panels = [image]
        for value in (row["true"], row["predicted"]):
            film = films.images[films.nearest(value, 1)[0]] / np.float32(255)
            panels.append(resampled(film[:side, :side], image.shape))
        write_panels(out, [label_panels(panel, ())[0] for panel in panels])
        return out

    def scoring_code(self) -> str:
        """Digest of the code that decides a report, that of the views included."""
        return (
            code_digest(("physics/domain_images", "corpora/domains"), (_summary,))
            + super().scoring_code()
        )

    def figures(self, report: Mapping[str, Any]) -> dict[str, Figure]:
        """Estimated against true values."""
        from spinscope.evaluation.figures import estimates

        return {"estimates.png": estimates(report["per_image"])}

    # registry

    def quantities(self, params: Params) -> Sequence[Quantity]:
        """RMSE, and the share of true values within the 90 % interval."""
        gates = params.gates
        return [
            Quantity("rmse", self.metric.title, gates.metric_limit, gates.metric_margin,
                     maximise=False, lowest=0.0, of=lambda columns: _rms(columns["error"])),
            Quantity("coverage", "coverage of the 90 % interval", gates.min_coverage, None,
                     lowest=0.0, highest=1.0, of=lambda columns: float(columns["covered"].mean())),
        ]  # fmt: skip

    def reference(self, image: np.ndarray) -> Callable[[], object]:
        """Function that applies the published network of 128 px with random weights, by Keras."""
        from spinscope.models.parameter_networks import published_network

        network, batch = published_network(128), np.zeros((1, 128, 128, 1), np.float32)
        return lambda: network(batch, training=False)

    answer_columns = ("parameter", "unit", "value", "sd", "interval", "in_range", "reasons",
                      "pixel_size_nm")  # fmt: skip
    answer_options: ClassVar = {"pixel_size_nm": 0.0}
    answer_example: ClassVar = {"pixel_size_nm": 15.625}

    def answers(
        self, predictor: ParameterPredictor, options: Mapping[str, Any]
    ) -> Callable[[np.ndarray, float | None], dict[str, Any]]:
        """Function that answers with the estimate of an image, and whether it is in range.

        Parameters
        ----------
        predictor : ParameterPredictor
        options : mapping
            `pixel_size_nm`: overrides the file, 0 for that of the file.
        """
        from spinscope.evaluation.estimates import judged, with_error
        from spinscope.inference.parameters import SHOWN

        given = requested_pixel_size(options)
        _, unit, factor = SHOWN[predictor.parameter]

        def answer(image: np.ndarray, pixel_size: float | None) -> dict[str, Any]:
            pixel_size = given or pixel_size
            if pixel_size is None:
                raise SpinscopeError(
                    "image: its pixel size, on which the estimate depends, must be in the file or "
                    "in pixel_size_nm"
                )
            network, _, why = judged(predictor, image, pixel_size)
            found = with_error(network, why, predictor.limits)
            return {
                "parameter": predictor.parameter,
                "unit": unit,
                "value": found and found.mean * factor,
                "sd": found and found.sd * factor,
                "interval": found and [found.low * factor, found.high * factor],
                "in_range": not why,
                "reasons": why,
                "pixel_size_nm": pixel_size * 1e9,
            }

        return answer


def _rms(errors: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(errors))))


def _summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """RMSE, R² and coverage of rows of a report."""
    errors, true, found = (
        np.array([row[key] for row in rows], np.float64) for key in ("error", "true", "predicted")
    )
    variance = float(np.var(true))
    return {
        "rmse": _rms(errors),
        "r2": 1 - float(np.mean((found - true) ** 2)) / variance if variance else None,
        "coverage": statistics.fmean(row["covered"] for row in rows),
        "n_images": len(rows),
    }


FAMILY = ParameterCnn()
