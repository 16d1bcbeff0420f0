"""Execute the notebooks: `python docs/execute.py` stores their outputs, the tests discard them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import nbformat
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parent / "notebooks"


def executed(path: Path) -> nbformat.NotebookNode:
    """Run a notebook in an empty folder and return it with its outputs, log messages excluded.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell raises an error.
    """
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(
            notebook,
            timeout=240,
            kernel_name="python3",
            km=AsyncKernelManager(
                kernel_name="python3", transport="ipc", ip=f"{folder}/kernel"
            ),  # sockets that only this user can reach
            resources={"metadata": {"path": folder}},
        ).execute(env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"})
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times
        if cell.cell_type == "code":
            cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
    return notebook


if __name__ == "__main__":
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        nbformat.write(executed(path), path)
        print(path.name, f"{path.stat().st_size / 1024:.0f} kB")
