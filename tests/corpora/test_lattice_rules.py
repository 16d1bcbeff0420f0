"""Validation of a corpus of lattices: every rule is broken by the lattice that it names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from spinscope import families
from spinscope.corpora.lattice import LatticeStore, open_lattices
from spinscope.corpora.lattice_rules import RULES, energy_range, validate_lattices
from spinscope.datasets import split_by_batch
from spinscope.datasets.shards import HEADER, MANIFEST, read_header, write_corpus
from spinscope.errors import SpinscopeError
from spinscope.physics.lattice import Hamiltonian, helix_pitch, random_spins
from spinscope.training.spins import rotated_spins


def changed(folder: Path, out: Path, change=lambda levels, row: levels, **header) -> Path:
    """A copy of a corpus with changed lattices or header, and right checksums."""
    dataset = open_lattices(folder)
    rows = [{k: v for k, v in row.items() if k not in ("shard", "index")}
            for row in dataset.store.rows]  # fmt: skip
    frames = (
        (row, np.ascontiguousarray(change(dataset.store.levels(index), row)), None)
        for index, row in enumerate(rows)
    )
    return write_corpus(out, frames, header={**read_header(folder), **header}, shard_frames=5)


def failures(folder: Path, train=(0, 1, 2, 3, 4), validation=(5,)):
    dataset = open_lattices(folder)
    found = validate_lattices(dataset, split_by_batch(dataset, train, validation)).failures
    return {(failure.rule, failure.detail) for failure in found}


def only(name: str, change):
    """Change the lattice of one name."""
    return lambda levels, row: change(levels) if row["name"] == name else levels


def test_an_annealed_corpus_is_valid_and_reported(lattice_folder, tmp_path):
    dataset = open_lattices(lattice_folder)
    family = families.get("field-fcn")
    splits = split_by_batch(dataset, (0, 1, 2, 3, 4), (5,))
    report = family.validate(dataset, splits, tmp_path / "report")
    page = report.read_text()
    assert "corpus is valid" in page
    assert "annealed" in page and "mask" not in page
    validation = family.check(dataset, None, None)
    assert validation.ok and validation.n_images == 12
    table = validation.manifest
    assert table["torque"].max() < 0.02
    assert table["energy_j"].between(*energy_range(Hamiltonian())).all()
    assert table["sites_sha256"].is_unique


def test_no_state_is_below_the_lowest_plausible_energy():
    """The diagonal helix is the ground state; the bound is 0.1 % below it."""
    low, high = energy_range(Hamiltonian(dmi=0.3))
    ground = -2 * np.hypot(1, 0.3 / np.sqrt(2))
    assert 1.05 * ground < low < ground < high < -1.9
    assert energy_range(Hamiltonian(dmi=0, field=0.2, anisotropy=0.1))[0] == pytest.approx(-2.3)
    assert helix_pitch(0.3) == pytest.approx(21.6, abs=0.1)


def one_zero_vector(m):
    m = m.copy()
    m[3, 4] = 0
    return m


@pytest.mark.parametrize(
    ("rule", "detail", "change"),
    [
        ("unit vectors", "deviates from the length 1 by 0.1", lambda m: (0.9 * m).astype(m.dtype)),
        ("unit vectors", "deviates from the length 1 by 1,", one_zero_vector),
        ("annealed", "angle between a spin and its field", lambda m: np.roll(m, 1, axis=-1)),
    ],
)
def test_a_lattice_that_is_no_annealed_state_is_named(
    lattice_folder, tmp_path, rule, detail, change
):
    folder = changed(lattice_folder, tmp_path / "bad", only("00003", change))
    (found,) = (text for name, text in failures(folder) if name == rule)
    assert found.startswith("frame 00003: ")
    assert detail in found


def test_random_spins_and_a_wrong_hamiltonian_are_out_of_range(lattice_folder, tmp_path):
    levels = np.rint(random_spins((32, 32), np.random.default_rng(0)) * LatticeStore.LEVELS)
    folder = changed(
        lattice_folder, tmp_path / "random", only("00004", lambda m: levels.astype(m.dtype))
    )
    rules = {rule for rule, _ in failures(folder)}
    assert rules == {"annealed", "energy in range", "energy as recorded"}
    # The other sign of the DMI: every lattice has the wrong chirality. A helix along an axis stays
    # stationary, so that only its energy shows it.
    wrong = changed(lattice_folder, tmp_path / "wrong", dmi=-0.3)
    found = failures(wrong)
    assert {rule for rule, _ in found} == rules
    assert sum(rule == "energy in range" for rule, _ in found) == 12


@pytest.mark.parametrize(
    "move",
    [
        lambda m: np.roll(m, (5, -7), (0, 1)),
        lambda m: rotated_spins(m, 1),
        lambda m: m[:, ::-1] * np.array([-1, 1, 1], m.dtype),
        lambda m: -m,
    ],
    ids=["shifted", "rotated", "mirrored", "reversed"],
)
def test_a_moved_copy_in_another_split_is_found(lattice_folder, tmp_path, move):
    original = open_lattices(lattice_folder).store.levels(0)
    folder = changed(lattice_folder, tmp_path / "copy", only("00005", lambda m: move(original)))
    found = {d for rule, d in failures(folder) if rule == "no duplicate across splits"}
    assert found == {
        "frame 00000: it is a copy of lattice 00005 of validation, perhaps shifted, rotated or "
        "mirrored",
        "frame 00005: it is a copy of lattice 00000 of train, perhaps shifted, rotated or mirrored",
    }
    # In one split it is an example more.
    assert not {
        rule for rule, _ in failures(folder, (0, 5), (1,)) if rule.startswith("no duplicate")
    }


@pytest.mark.parametrize(
    ("shape", "rule", "detail"),
    [
        ((24, 24), "plausible size", "24×24 sites, a side must be a multiple of 16"),
        ((32, 16), "square", "32×16 sites; the sides must be equal"),
    ],
)
def test_a_size_that_cannot_be_trained_is_named(lattice_folder, tmp_path, shape, rule, detail):
    def cut(levels, row):
        return levels[: shape[0], : shape[1]]

    found = failures(changed(lattice_folder, tmp_path / "cut", cut))
    assert any(r == rule and detail in d for r, d in found)


def test_damage_is_named_by_the_file(lattice_folder, tmp_path):
    folder = changed(lattice_folder, tmp_path / "c")
    assert not failures(folder)
    shard = folder / "images-0001.npy"
    shard.write_bytes(shard.read_bytes()[:-2] + b"xx")
    with pytest.raises(SpinscopeError, match=r"images-0001.npy \(image intact\)"):
        families.get("field-fcn").validate(open_lattices(folder), None, None)
    shard.unlink()
    assert {rule for rule, _ in failures(folder)} == {"image present"}
    other = changed(lattice_folder, tmp_path / "f", lambda m, row: m.astype(np.float32))
    assert {rule for rule, _ in failures(other)} == {"image readable"}
    with pytest.raises(SpinscopeError, match=r"must be int16"):
        open_lattices(other).image(0)


def test_a_source_in_two_splits_is_named(lattice_folder, tmp_path):
    folder = changed(lattice_folder, tmp_path / "c")
    manifest = folder / MANIFEST
    lines = manifest.read_text().splitlines()
    lines[6] = lines[6].replace("00005,5,5", "00005,0,5")
    manifest.write_text("\n".join(lines) + "\n")
    header = json.loads((folder / HEADER).read_text())
    header["sha256"].pop(MANIFEST)
    (folder / HEADER).write_text(json.dumps(header))
    dataset = open_lattices(folder)
    splits = {"train": [0, 1], "validation": [5]}
    found = validate_lattices(dataset, splits).failures
    assert {failure.rule for failure in found} == {"source in one split"}


def test_the_rules_above_are_all():
    broken = {"unit vectors", "annealed", "energy in range", "energy as recorded", "square",
              "plausible size", "no duplicate across splits", "source in one split",
              "image intact", "image present", "image readable"}  # fmt: skip
    assert {rule.name for rule in RULES} == broken
