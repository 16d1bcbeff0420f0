"""The two layouts of a dataset on disk."""

from __future__ import annotations

from pathlib import Path

from spinscope.datasets import moke, shards
from spinscope.datasets.dataset import Dataset
from spinscope.datasets.modality import WITHOUT_MASKS, modality_of_folder
from spinscope.errors import SpinscopeError

LAYOUTS = {shards.HEADER: shards.open_shards, moke.TABLE: moke.open_moke}
"""Function that opens a folder, by the file that identifies its layout."""


def open_dataset(path: Path | str) -> Dataset:
    """Open a dataset folder: packed shards (corpus.json) or the MOKE layout (table.csv).

    Raises
    ------
    SpinscopeError
        If the folder has neither layout, is empty or holds no masks, or its table is malformed.
    """
    path = Path(path)
    if not path.is_dir():
        raise SpinscopeError(f"dataset {path} does not exist or is not a folder")
    if held := WITHOUT_MASKS.get(modality_of_folder(path)):
        raise SpinscopeError(
            f"{path} holds {held}: check it with `spinscope data validate --data {path}`"
        )
    for name, open_layout in LAYOUTS.items():
        if (path / name).is_file():
            return open_layout(path)
    raise SpinscopeError(
        f"dataset {path} holds neither {moke.TABLE} (MOKE layout) nor {shards.HEADER} "
        "(packed corpus)"
    )
