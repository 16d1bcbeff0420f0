"""What a dataset is: micrographs, labels, layouts, splits, manifest and validation."""

from spinscope.data.dataset import Dataset, Record, data_hash, open_dataset, write_moke
from spinscope.data.micrograph import (
    CLASSES,
    COLOURS,
    read_image,
    read_label,
    standardise,
    to_scheme,
    write_image,
    write_label,
)
from spinscope.data.splits import Splits, split_by_batch

__all__ = [
    "CLASSES",
    "COLOURS",
    "Dataset",
    "Record",
    "Splits",
    "data_hash",
    "open_dataset",
    "read_image",
    "read_label",
    "split_by_batch",
    "standardise",
    "to_scheme",
    "write_image",
    "write_label",
    "write_moke",
]
