"""What a training needs to know of a family of models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from spinscope.config import Params
from spinscope.datasets import Dataset

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Metric:
    """The headline number of a family: it chooses the epoch, the seed and the version.

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
    """

    name: str
    title: str
    maximise: bool = True
    unit: str = ""

    @property
    def monitor(self) -> dict[str, str]:
        """Arguments of a Keras callback that monitors the validation value."""
        return {"monitor": f"val_{self.name}", "mode": "max" if self.maximise else "min"}

    def best(self, values: Sequence[float]) -> int:
        """Index of the best value, the first of equals."""
        choose = max if self.maximise else min
        return choose(range(len(values)), key=values.__getitem__)


class Trainable(Protocol):
    """Network, batches and metric of a family, as `spinscope.training.fit` uses them."""

    name: str
    metric: Metric

    def network(self, params: Params, seed: int = 0) -> keras.Model:
        """Build the network, not compiled; equal seeds give equal initial weights."""
        ...

    def loss(self, params: Params) -> Callable | str:
        """Loss that Keras minimises."""
        ...

    def metrics(self, params: Params) -> list[keras.metrics.Metric]:
        """Metrics of an epoch; one has the name of `metric`."""
        ...

    def training_batches(self, frames: Dataset, params: Params, *, seed: int, start: int = 0):
        """Endless (inputs, targets); the first `start` batches are skipped."""
        ...

    def validation_batches(self, frames: Dataset, params: Params):
        """Finite (inputs, targets) that can be iterated repeatedly."""
        ...

    def info(self, params: Params) -> dict[str, Any]:
        """What a model folder stores to apply the network."""
        ...

    def card(self, info: dict[str, Any]) -> str:
        """Model card in Markdown."""
        ...
