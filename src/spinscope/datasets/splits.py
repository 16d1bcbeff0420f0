"""Splits into train, validation and test by source: frames of one video are in one split."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from spinscope.datasets.dataset import Dataset
from spinscope.errors import SpinscopeError


@dataclass(frozen=True)
class Splits:
    """Three datasets without a common source; `test` may be None."""

    train: Dataset
    validation: Dataset
    test: Dataset | None = None

    def named(self) -> dict[str, Dataset]:
        """Return the splits that hold frames, by name."""
        return {name: split for name, split in vars(self).items() if split}


def split_by_batch(
    dataset: Dataset, train: Iterable[int], validation: Iterable[int], test: Iterable[int] = ()
) -> Splits:
    """Split a dataset by batch indices (rows of partition.txt).

    Raises
    ------
    SpinscopeError
        If a batch does not exist, a batch or source is in two splits, training or validation is
        empty, or a source marked ``only_training`` is in validation or test.
    """
    wanted = {"train": set(train), "validation": set(validation), "test": set(test)}
    present = sorted({record.batch for record in dataset.records} - {None})
    for name, batches in wanted.items():
        if missing := batches - set(present):
            alone = "; a single batch cannot be split: list the sources for validation in another "
            alone += "row of partition.txt"
            raise SpinscopeError(
                f"data.{name}_batches (={sorted(batches)}): batch {min(missing)} must be one of "
                f"{', '.join(map(str, present))}, the batches of {dataset.path}"
                f"{alone if len(present) == 1 else ''}"
            )
    splits = {name: dataset.select(batches=batches) for name, batches in wanted.items() if batches}
    for name in ("train", "validation"):
        if not splits.get(name):
            raise SpinscopeError(f"data.{name}_batches must name a batch of {dataset.path}")
    check_disjoint(splits)
    for name in ("validation", "test"):
        for record in splits[name].records if name in splits else ():
            if record.use == "only_training":
                raise SpinscopeError(
                    f"{dataset.path}: source {record.source} is only_training, "
                    f"it must not be in the {name} split"
                )
    return Splits(**splits)


def check_disjoint(splits: dict[str, Dataset]) -> None:
    """Check that no source is in two of the named datasets.

    Raises
    ------
    SpinscopeError
        If a source is in two of them.
    """
    owner: dict[int, str] = {}
    for name, split in splits.items():
        for source in split.sources:
            if owner.setdefault(source, name) != name:
                raise SpinscopeError(
                    f"source {source} is in {owner[source]} and in {name}; splits are by source"
                )
