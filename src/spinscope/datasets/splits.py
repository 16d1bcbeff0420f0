"""Train, validation and test frames, split by source only: frames of one video never part."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from spinscope.datasets.dataset import Dataset
from spinscope.errors import SpinscopeError


@dataclass(frozen=True)
class Splits:
    """Three datasets that share no source; `test` may be None."""

    train: Dataset
    validation: Dataset
    test: Dataset | None = None

    def named(self) -> dict[str, Dataset]:
        """The splits that hold frames, by name."""
        every = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in every.items() if part}


def split_by_batch(
    dataset: Dataset,
    train: Iterable[int],
    validation: Iterable[int],
    test: Iterable[int] = (),
) -> Splits:
    """Split by lines of partition.txt (batches of sources).

    Raises SpinscopeError where a batch, or a source, is in two splits, or where one marked
    `only_training` is asked for validation or test.
    """
    wanted = {"train": set(train), "validation": set(validation), "test": set(test)}
    parts = {name: dataset.select(batches=batches) for name, batches in wanted.items() if batches}
    for name in ("train", "validation"):
        if not parts.get(name):
            raise SpinscopeError(f"data.{name}_batches must name a batch of {dataset.path}")
    check_disjoint(parts)
    for name in ("validation", "test"):
        for record in parts[name].records if name in parts else ():
            if record.use == "only_training":
                raise SpinscopeError(
                    f"{dataset.path}: source {record.source} is only_training, "
                    f"it must not be in the {name} split"
                )
    return Splits(parts["train"], parts["validation"], parts.get("test"))


def check_disjoint(parts: dict[str, Dataset]) -> None:
    """Raise SpinscopeError where a source stands in two of the named datasets."""
    owner: dict[int, str] = {}
    for name, part in parts.items():
        for source in part.sources:
            if source in owner:
                raise SpinscopeError(
                    f"source {source} is in {owner[source]} and in {name}; splits are by source"
                )
            owner[source] = name
