"""Images with labels: layouts on disk, splits, manifest, validation, download, description."""

from spinscope.datasets.dataset import Dataset, Record, data_hash
from spinscope.datasets.layouts import open_dataset
from spinscope.datasets.moke import write_moke
from spinscope.datasets.splits import Splits, split_by_batch

__all__ = [
    "Dataset",
    "Record",
    "Splits",
    "data_hash",
    "open_dataset",
    "split_by_batch",
    "write_moke",
]
