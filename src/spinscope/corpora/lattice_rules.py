"""Validation of a corpus of lattices: every lattice that breaks a rule is named, with the rule."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spinscope.corpora.lattice import LatticeStore, spins
from spinscope.datasets.dataset import Dataset
from spinscope.datasets.shards import damaged_files
from spinscope.datasets.splits import Splits
from spinscope.datasets.validate import (
    BETWEEN,
    NO_COPY,
    ONE_SPLIT,
    Rule,
    Validation,
    checked,
    read_rule,
    with_splits,
)
from spinscope.errors import SpinscopeError
from spinscope.physics.lattice import SMALLEST, Hamiltonian, effective_field, energy, torque
from spinscope.physics.topology import topological_charge
from spinscope.progress import Progress, no_progress

if TYPE_CHECKING:
    import pandas as pd

MAX_TORQUE = 0.02
"""Largest sine of the angle between a spin and its field in an annealed lattice."""

_LENGTH = 1e-3  # largest deviation of the length of a stored vector from 1
_MULTIPLE = 16  # the published network halves a lattice four times
_ABOVE = 0.02  # an annealed lattice may lie above the uniform state by this fraction
_ROUNDED = 2e-6  # largest difference of a recorded energy, in J

RULES = (
    *(read_rule(f"image {rule}", "image") for rule in ("intact", "present", "readable")),
    Rule(
        "unit vectors", BETWEEN, "length_error", {"max_value": _LENGTH}, "image",
        f"a vector deviates from the length 1 by {{length_error:.4g}}, at most {_LENGTH:g} is "
        "allowed",
    ),
    Rule(
        "square", "ExpectColumnValuesToBeInSet", "rectangle", {"value_set": [False]}, "image",
        "it has {height}×{width} sites; the sides must be equal, as it is rotated in a training",
    ),
    Rule(
        "plausible size", BETWEEN, "height", {"min_value": SMALLEST}, "image",
        f"it has {{height}}×{{width}} sites, a side must have at least {SMALLEST}",
    ),
    Rule(
        "plausible size", "ExpectColumnValuesToBeInSet", "remainder", {"value_set": [0]}, "image",
        f"it has {{height}}×{{width}} sites, a side must be a multiple of {_MULTIPLE}",
    ),
    Rule(
        "annealed", BETWEEN, "torque", {"max_value": MAX_TORQUE}, "image",
        "the sine of the angle between a spin and its field is {torque:.3g}, at most "
        f"{MAX_TORQUE:g} is allowed: anneal longer, or correct the interactions in corpus.json",
    ),
    Rule(
        "energy in range", "ExpectColumnValuesToBeNull", "energy_range", {}, "image",
        "{energy_range}",
    ),
    Rule(
        "energy as recorded", BETWEEN, "energy_change", {"max_value": _ROUNDED}, "image",
        "its energy of {energy_j:.6f} J per site differs from that of manifest.csv by "
        "{energy_change:.2g} J",
    ),
    NO_COPY,
    ONE_SPLIT,
)  # fmt: skip
"""Rules that a corpus of lattices must satisfy before a model is trained on it."""

_COLUMNS = {
    **dict.fromkeys(("name", "image", "label"), "str"),
    **{"source": "int64", "batch": "Int64", "use": "str"},
    **dict.fromkeys(("height", "width", "remainder"), "Int64"),
    "rectangle": "boolean",
    **dict.fromkeys(("length_error", "energy_j", "energy_change", "torque"), "float64"),
    "charge": "Int64",
    **dict.fromkeys(("energy_range", "sites_sha256", "rule", "error"), "str"),
}


def validate_lattices(
    dataset: Dataset,
    splits: Splits | None = None,
    out: Path | str | None = None,
    *,
    progress: Progress = no_progress,
) -> Validation:
    """Read every lattice of a corpus and check it against `RULES`.

    A bad lattice is a failure of the result, not an error. A copy in another split is found after
    any shift, rotation, reflection or reversal, unless its spins were changed.

    Parameters
    ----------
    dataset : Dataset
        Lattices of `corpora.lattice.open_lattices`.
    splits : Splits, optional
        Splits between which lattices and sources must differ.
    out : Path, optional
        Folder for the report: index.html, manifest.csv, validation.json and Data Docs.
    progress : callable
        Wraps the lattices.
    """
    table = with_splits(dataset, manifest(dataset, progress=progress), splits)
    return checked(dataset, table.assign(twin=_twins(table)), RULES, out)


def manifest(dataset: Dataset, *, progress: Progress = no_progress) -> pd.DataFrame:
    """Describe every lattice of a corpus, in the order of the dataset.

    Parameters
    ----------
    dataset : Dataset
    progress : callable
        Wraps the lattices.

    Returns
    -------
    DataFrame
        One row per lattice:

        - ``name``, ``image``, ``label``: lattice and the shard that contains it;
        - ``source``, ``batch``, ``use``: as in the manifest of the corpus;
        - ``height``, ``width``: sites; ``rectangle``: whether they differ; ``remainder``: largest
          remainder of a side after the division by 16;
        - ``length_error``: largest deviation of the length of a stored vector from 1;
        - ``energy_j``: energy per site in J; ``energy_change``: its difference from the recorded
          one; ``energy_range``: why it is implausible;
        - ``torque``: largest sine of the angle between a spin and its effective field;
        - ``charge``: topological charge;
        - ``sites_sha256``: hash of the magnitudes of m_z in ascending order, the same for shifted,
          rotated, mirrored and reversed copies;
        - ``rule``, ``error``: rule that kept the lattice from being read, and why.
    """
    import pandas as pd

    damage, indices = damaged_files(dataset.path), range(len(dataset))
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        read = pool.map(lambda index: _row(dataset, index, damage), indices)
        rows = list(progress(read, total=len(indices), desc="manifest"))
    return pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS)


def _row(dataset: Dataset, index: int, damage: dict[str, str]) -> dict[str, Any]:
    """Row of a lattice, up to a rule of reading that it breaks."""
    record, store, file = dataset.records[index], dataset.store, dataset.names(index)[0]
    row = {"name": record.name, "image": file, "label": file}
    row |= {"source": record.source, "batch": record.batch, "use": record.use}
    if file in damage:
        broken = "present" if "missing" in damage[file] else "intact"
        return {**row, "rule": f"image {broken}", "error": f"{file} {damage[file]}"}
    try:
        levels = store.levels(dataset.rows[index])
    except SpinscopeError as error:
        return {**row, "rule": "image readable", "error": f"{file}: {error}"}
    height, width = levels.shape[:2]
    lengths = np.linalg.norm(levels / LatticeStore.LEVELS, axis=-1)
    m, hamiltonian = spins(levels), store.hamiltonian
    found, recorded = energy(m, hamiltonian), store.rows[dataset.rows[index]].get("energy_j")
    return {
        **row,
        "height": height,
        "width": width,
        "rectangle": height != width,
        "remainder": max(height % _MULTIPLE, width % _MULTIPLE),
        "length_error": float(np.abs(lengths - 1).max()),
        "energy_j": found,
        "energy_change": abs(found - float(recorded)) if recorded else 0.0,
        "energy_range": _implausible(found, hamiltonian),
        "torque": torque(m, effective_field(m, hamiltonian)),
        "charge": round(topological_charge(m)),
        "sites_sha256": _sites_sha256(levels),
    }


def energy_range(hamiltonian: Hamiltonian) -> tuple[float, float]:
    r"""Lowest and highest plausible energy of an annealed lattice per site, in J.

    No state is below :math:`-2\sqrt{J^2 + D^2} - \max(K, 0) - |B|`, the sum of the lowest energies
    of the single terms. An annealed lattice is not more than 2 % above the uniform state along z
    or in the plane.

    Parameters
    ----------
    hamiltonian : Hamiltonian
    """
    anisotropy, external = max(hamiltonian.anisotropy, 0.0), abs(hamiltonian.field)
    lowest = -2 * np.hypot(hamiltonian.exchange, hamiltonian.dmi) - anisotropy - external
    uniform = -2 * hamiltonian.exchange - max(hamiltonian.anisotropy + external, 0.0)
    return float(lowest), float(uniform + _ABOVE * abs(uniform))


def _implausible(found: float, hamiltonian: Hamiltonian) -> str | None:
    """Why an energy is not that of an annealed lattice; None if it is."""
    low, high = energy_range(hamiltonian)
    if low <= found <= high:
        return None
    return f"its energy is {found:.4f} J per site, it must be from {low:.4f} to {high:.4f} J"


def _sites_sha256(levels: np.ndarray) -> str:
    """Hash of the magnitudes of m_z of all sites in ascending order."""
    z = np.sort(np.abs(levels[..., 2].astype(np.int32)), axis=None)
    return hashlib.sha256(z.astype("<i4").tobytes()).hexdigest()


def _twins(table: pd.DataFrame) -> list[str | None]:
    """Lattices of another split of which each lattice is a copy."""
    groups = table[table["splits"].notna()].groupby("sites_sha256")
    copies: dict[int, str] = {}
    for _, same in groups:
        for index, split in same["splits"].items():
            others = same[same["splits"] != split]
            found = [
                f"lattice {row.name} of {row.splits}" for row in others.itertuples(index=False)
            ]
            if found:
                copies[index] = f"{', '.join(found)}, perhaps shifted, rotated or mirrored"
    return [copies.get(index) for index in table.index]
