"""`field-fcn`: the effective field of a spin configuration, learned without its Hamiltonian.

Source: Lee et al., Sci. Rep. 11, 22937 (2021).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from spinscope.code import code_digest
from spinscope.config import Params, Section
from spinscope.datasets import Dataset, Splits
from spinscope.families.base import Family, Metric, Quantity
from spinscope.progress import Progress, no_progress

if TYPE_CHECKING:
    import keras

    from spinscope.datasets.validate import Validation
    from spinscope.inference.field import FieldPredictor

_FITTED = 32
"""Lattices to which the linear convolution is fitted."""


class Options(Section):
    """Settings that only this family has."""

    architecture: Literal["local", "published"]


class FieldFcn(Family):
    """Spins (H, W, 3) → effective field (H, W, 3) in units of the exchange J."""

    name, modality = "field-fcn", "Spins"
    title = "effective field of spin configurations"
    input = "spins"
    metric = Metric("energy_error", "energy error", maximise=False, form=".2e")
    summarised = ("mse", "r2.x", "r2.y", "r2.z")
    listed = ("mse",)
    options_type = Options

    def network(self, params: Params, seed: int = 0) -> keras.Model:
        """Build the network of `options.architecture`."""
        from spinscope.models.field_networks import field_network

        return field_network(self.options(params).architecture, seed)

    def loss(self, params: Params) -> Callable | str:
        """Mean squared error of the components in J², or its logarithm for each lattice."""
        from spinscope.models.field_networks import log_error
        from spinscope.models.linear_field import LOCAL

        local = self.options(params).architecture == LOCAL
        return log_error if local else "mean_squared_error"

    def metrics(self, params: Params) -> list[keras.metrics.Metric]:
        """Energy error, and the mean squared error in J²."""
        import keras

        from spinscope.models.field_networks import EnergyError

        return [EnergyError(), keras.metrics.MeanSquaredError(name="mse")]

    def training_batches(self, frames: Dataset, params: Params, *, seed: int, start: int = 0):
        """Shifted and rotated lattices; corrupted ones for the architecture `local`."""
        from spinscope.models.linear_field import LOCAL
        from spinscope.training.pipeline import drawn_batches
        from spinscope.training.spins import example

        lattices = [frames.image(index).astype(np.float16) for index in range(len(frames))]
        corrupt = self.options(params).architecture == LOCAL
        hamiltonian = frames.store.hamiltonian

        def draw(number: int) -> tuple[np.ndarray, np.ndarray]:
            from spinscope.physics.lattice import unit

            rng = np.random.default_rng([seed, number])
            m = unit(lattices[rng.integers(len(lattices))].astype(np.float32))
            return example(m, hamiltonian, rng, corrupt=corrupt)

        return drawn_batches(draw, params.training.batch, start=start)

    def prepare(self, network: keras.Model, frames: Dataset, params: Params, seed: int) -> None:
        """Fit the linear convolution of the architecture `local` to slightly disordered spins."""
        from spinscope.models.field_networks import fit_field
        from spinscope.models.linear_field import LOCAL
        from spinscope.physics.lattice import effective_field
        from spinscope.training.spins import disordered

        if self.options(params).architecture != LOCAL:
            return
        rng = np.random.default_rng(seed)
        chosen = rng.choice(len(frames), min(_FITTED, len(frames)), replace=False)
        spins = np.stack([disordered(frames.image(index), rng) for index in chosen])
        fit_field(network, spins, effective_field(spins, frames.store.hamiltonian))

    def validation_batches(self, frames: Dataset, params: Params):
        """Whole lattices and their fields."""
        from spinscope.training.pipeline import held_batches

        return held_batches(lambda k: (frames.image(k), frames.label(k)), len(frames))

    def training_code(self) -> str:
        """Digest of the code that decides the outcome of a training."""
        return code_digest(("physics/lattice",), ()) + super().training_code()

    def info(self, params: Params) -> dict[str, Any]:
        """Architecture of the network."""
        return {**super().info(params), "architecture": self.options(params).architecture}

    def corpus(
        self,
        params: Params,
        out: Path,
        *,
        source: Path | None = None,
        progress: Progress = no_progress,
    ) -> Path:
        """Anneal the lattices of the section `lattice`; the same complete ones are kept."""
        from spinscope.corpora.lattice import corpus_header, make_lattice_corpus
        from spinscope.corpora.writing import kept_corpus

        header = {**corpus_header(params.seed, params.lattice), "n": params.lattice.n}
        return kept_corpus(
            out,
            header,
            lambda: make_lattice_corpus(out, params.seed, params.lattice, progress=progress),
        )

    def open(self, folder: Path) -> Dataset:
        """Open a corpus of lattices: images are spins, labels their effective fields."""
        from spinscope.corpora.lattice import open_lattices

        return open_lattices(folder)

    def check(
        self,
        dataset: Dataset,
        splits: Splits | None,
        out: Path | None,
        *,
        either_contrast: bool = False,
        progress: Progress = no_progress,
    ) -> Validation:
        """Check a corpus of lattices: lengths, sides, torque, energy and copies."""
        from spinscope.corpora.lattice_rules import validate_lattices

        return validate_lattices(dataset, splits, out, progress=progress)

    def predictor(
        self, folder: Path, params: Params | None = None, *, streams: int = 1
    ) -> FieldPredictor:
        """Load a model folder with the engine of the section `inference`; by default Keras."""
        from spinscope.inference.field import FieldPredictor

        return FieldPredictor.load(folder, params.inference.engine if params else "keras", streams)

    def export(self, folder: Path) -> None:
        """Add the OpenVINO network, if OpenVINO is installed."""
        from spinscope.inference.engine import has_openvino
        from spinscope.inference.field import export

        if has_openvino():
            export(folder, folder)

    def fast_predictor(self, folder: Path) -> FieldPredictor:
        """Load a model folder with its OpenVINO network, or with Keras if there is none."""
        from spinscope.inference.field import FieldPredictor

        return FieldPredictor.load(folder)

    def predict(self, predictor: FieldPredictor, image: np.ndarray) -> np.ndarray:
        """Effective field of spins, (H, W, 3) in units of J."""
        return predictor(image)

    def score(
        self,
        predictor: FieldPredictor,
        frames: Dataset,
        params: Params,
        *,
        views: int = 1,
        progress: Progress = no_progress,
    ) -> dict[str, Any]:
        """Energy error, mean squared error and R² of each component.

        The energy error of a lattice is the relative deviation of its energy, computed from the
        inferred field, from that of the true field.
        """
        predictor(frames.image(0))  # traces the network, outside the timed lattices
        rows, sums, sites = [], np.zeros((3, 3)), 0
        for record, m, field in progress(frames, total=len(frames), desc="evaluate"):
            started = time.perf_counter()
            inferred = predictor(m)
            seconds = time.perf_counter() - started
            error = np.square(inferred.astype(np.float64) - field)
            sites += m[..., 0].size
            sums += [error.sum((0, 1)), field.sum((0, 1)), np.square(field).sum((0, 1))]
            true, found = (np.vdot(m, values.astype(np.float64)) for values in (field, inferred))
            rows.append(
                {
                    "name": record.name,
                    "source": record.source,
                    "energy_error": abs(float(found / true) - 1),
                    "mse": float(error.mean()),
                    "frame_ms": 1e3 * seconds,
                }
            )
        spread = sums[2] - np.square(sums[1]) / sites
        r2 = 1 - sums[0] / np.maximum(spread, 1e-12)
        return {
            "energy_error": statistics.fmean(row["energy_error"] for row in rows),
            "mse": statistics.fmean(row["mse"] for row in rows),
            "r2": dict(zip("xyz", r2.tolist(), strict=True)),
            "n_images": len(rows),
            "frame_ms": statistics.median(row["frame_ms"] for row in rows),
            "per_image": rows,
        }

    def draw(
        self,
        predictor: FieldPredictor,
        frames: Dataset,
        report: Mapping[str, Any],
        views: int,
        out: Path,
    ) -> Path:
        """Draw the directions of spins, field and inferred field of the least accurate lattice."""
        from spinscope.drawing import film_colours, write_panels
        from spinscope.physics.lattice import unit

        errors = [row["mse"] for row in report["per_image"]]
        index = errors.index(max(errors))
        m = frames.image(index)
        fields = (frames.label(index), predictor(m))
        write_panels(out, [film_colours(vectors) for vectors in (m, *map(unit, fields))])
        return out

    def scoring_code(self) -> str:
        """Digest of the code that decides a report, the Hamiltonian included."""
        return code_digest(("physics/lattice",), ()) + super().scoring_code()

    def quantities(self, params: Params) -> Sequence[Quantity]:
        """Energy error."""
        gates = params.gates
        return [
            Quantity("energy_error", "energy error", gates.metric_limit, gates.metric_margin,
                     maximise=False, lowest=0.0)
        ]  # fmt: skip

    def reference(self, image: np.ndarray) -> Callable[[], object]:
        """Function that applies the published network with random weights to spins, by Keras."""
        from spinscope.inference.engine import KerasEngine
        from spinscope.models.field_networks import PUBLISHED, field_network

        network, batch = KerasEngine(field_network(PUBLISHED)), np.asarray(image, np.float32)[None]
        return lambda: network(batch)

    answer_columns = ("field", "energy_j")

    def answers(
        self, predictor: FieldPredictor, options: Mapping[str, Any]
    ) -> Callable[[np.ndarray, float | None], dict[str, Any]]:
        """Function that answers with the effective field and the energy per site of spins."""
        from spinscope.physics.lattice import checked_spins, energy_of_field

        def answer(m: np.ndarray, _: float | None) -> dict[str, Any]:
            m = checked_spins(m)
            field = predictor(m)
            return {"field": field.tolist(), "energy_j": energy_of_field(m, field)}

        return answer


FAMILY = FieldFcn()
