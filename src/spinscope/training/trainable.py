"""The part of a family of models that its training uses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from spinscope.code import code_digest
from spinscope.config import Params
from spinscope.datasets import Dataset, Splits

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Metric:
    """Headline number of a family, by which epoch, seed and version are selected.

    Parameters
    ----------
    name : str
        Key in a report, and name of the Keras metric that is monitored as ``val_NAME``.
    title : str
        Name in tables and figures.
    maximise : bool, default True
        Whether larger values are better.
    unit : str, default ""
        Unit of the values, empty for a pure number.
    form : str, default ".4f"
        Format of the values in tables and figures.
    """

    name: str
    title: str
    maximise: bool = True
    unit: str = ""
    form: str = ".4f"

    @property
    def monitor(self) -> dict[str, str]:
        """Arguments of a Keras callback that monitors the validation value."""
        return {"monitor": f"val_{self.name}", "mode": "max" if self.maximise else "min"}

    def best(self, values: Sequence[float]) -> int:
        """Index of the best value, the first of equals."""
        choose = max if self.maximise else min
        return choose(range(len(values)), key=values.__getitem__)


class Trainable(ABC):
    """Network, batches and metric of a family, as `spinscope.training.fit` uses them."""

    name: ClassVar[str]
    """Name in params.yaml, in the registry and on the command line."""
    title: ClassVar[str]
    """Purpose of the models in a few words."""
    metric: ClassVar[Metric]
    """Headline metric."""

    @abstractmethod
    def network(self, params: Params, seed: int = 0) -> keras.Model:
        """Build the network, not compiled; equal seeds give equal initial weights."""

    @abstractmethod
    def loss(self, params: Params) -> Callable | str:
        """Loss that Keras minimises."""

    @abstractmethod
    def metrics(self, params: Params) -> list[keras.metrics.Metric]:
        """Metrics of an epoch; one has the name of `metric`."""

    @abstractmethod
    def training_batches(self, frames: Dataset, params: Params, *, seed: int, start: int = 0):
        """Endless (inputs, targets); the first `start` batches are skipped."""

    @abstractmethod
    def validation_batches(self, frames: Dataset, params: Params):
        """Finite (inputs, targets) that can be iterated repeatedly."""

    def prepare(  # noqa: B027
        self, network: keras.Model, frames: Dataset, params: Params, seed: int
    ) -> None:
        """Set weights that follow from the training frames without training; none by default."""

    def completed(
        self, network: keras.Model, splits: Splits, params: Params
    ) -> tuple[dict[str, Any], dict[str, bytes]]:
        """Additions to the model folder of a trained network: entries of its info, and files.

        Parameters
        ----------
        network : keras.Model
            Network with its final weights.
        splits : Splits
        params : Params

        Returns
        -------
        info : dict
            What is measured on the validation frames, such as a calibration.
        files : dict
            File name → contents.
        """
        return {}, {}

    def info(self, params: Params) -> dict[str, Any]:
        """Info that a model folder stores to apply the network."""
        return {"options": dict(params.options)} if params.options else {}

    def training_code(self) -> str:
        """Digest of the code that decides the outcome of a training."""
        names = ("network", "loss", "metrics", "training_batches", "validation_batches", "prepare",
                 "completed", "info")  # fmt: skip
        return code_digest(
            ("images", "models", "training"), tuple(getattr(type(self), name) for name in names)
        )

    def card(self, info: dict[str, Any]) -> str:
        """Model card in Markdown."""
        value = info[f"val_{self.metric.name}"]
        return (
            f"# {self.name}, seed {info['seed']}\n\n"
            f"{self.title}: a network of {info['parameters']} parameters.\n"
            f"Validation {self.metric.title} {value:{self.metric.form}} at epoch "
            f"{info['best_epoch'] + 1}.\n"
        )
