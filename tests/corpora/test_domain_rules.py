"""Validation of a corpus of domain films: every rule is broken by the film that it names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from spinscope import families
from spinscope.corpora.domain_rules import MIN_CORRELATION, RULES, validate_domains
from spinscope.corpora.domains import films_of, open_domains
from spinscope.datasets import split_by_batch
from spinscope.datasets.shards import HEADER, MANIFEST, read_header, write_corpus
from spinscope.errors import SpinscopeError

BAD = "00003"
"""Film of the batch 3, of the training."""


def changed(folder: Path, out: Path, change=lambda levels, row: levels, row=None, **header) -> Path:
    """A copy of a corpus with changed films, rows or header, and right checksums."""
    store = open_domains(folder).store
    rows = [{k: v for k, v in one.items() if k not in ("shard", "index")} for one in store.rows]
    frames = (
        (
            one | (row if row and one["name"] == BAD else {}),
            np.ascontiguousarray(change(store.levels(index * len(store.scales)), one)),
            None,
        )
        for index, one in enumerate(rows)
    )
    return write_corpus(out, frames, header={**read_header(folder), **header}, shard_frames=5)


def failures(folder: Path, train=(0, 1, 2, 3), validation=(4,)):
    dataset = open_domains(folder)
    found = validate_domains(dataset, split_by_batch(dataset, train, validation)).failures
    return {(failure.rule, failure.detail) for failure in found}


def only(change):
    """Change the film BAD."""
    return lambda levels, row: change(levels) if row["name"] == BAD else levels


def test_a_relaxed_corpus_is_valid_and_reported(domains_folder, ms_folder, tmp_path):
    family = families.get("parameter-cnn")
    for folder in (domains_folder, ms_folder):
        dataset = open_domains(folder)
        splits = split_by_batch(dataset, (0, 1, 2, 3), (4,), (5,))
        page = family.validate(dataset, splits, tmp_path / folder.parent.name).read_text()
        assert "corpus is valid" in page
        validation = family.check(dataset, None, None)
        assert validation.ok
        table = validation.manifest
        assert validation.n_images == len(table) == len(films_of(dataset))
        assert table["correlation"].min() > MIN_CORRELATION + 0.05
        assert table["cells_sha256"].is_unique
        assert table["up_change"].max() < 1e-4


def nearly_saturated(levels):
    levels = np.full_like(levels, 255)
    levels[:8, :8] = 0
    return levels


def noise(levels):
    return np.random.default_rng(0).permutation(levels.ravel()).reshape(levels.shape)


@pytest.mark.parametrize(
    ("rules", "detail", "change", "row"),
    [
        ({"not saturated", "domains as recorded"}, "one kind of domain covers 1.56%",
         nearly_saturated, {}),
        ({"domains resolved"}, "neighbouring cells have a correlation of", noise, {}),
        ({"domains as recorded"}, "differs from that of manifest.csv by 0.", None, {"up": 0.99}),
        ({"relaxed"}, "its torque is 0.05 Ms, at most 0.01 Ms is allowed", None, {"torque": 0.05}),
        ({"constants in range"}, "dmi (=0.002) must be from 0.0001 to 0.001", None, {"dmi": 2e-3}),
        ({"constants in range"}, "ku_spread (=0.3) must be from 0.1 to 0.1", None,
         {"ku_spread": 0.3}),
    ],
)  # fmt: skip
def test_a_film_that_breaks_a_rule_is_named(domains_folder, tmp_path, rules, detail, change, row):
    change = only(change) if change else (lambda levels, _: levels)
    found = failures(changed(domains_folder, tmp_path / "bad", change, row))
    assert {rule for rule, _ in found} == rules
    assert any(detail in text for _, text in found)
    assert all(text.startswith(f"frame {BAD}: ") for _, text in found)


@pytest.mark.parametrize(
    "move",
    [
        lambda levels: np.roll(levels, (5, -7), (0, 1)),
        lambda levels: np.rot90(levels),
        lambda levels: levels[:, ::-1],
        lambda levels: 255 - levels,
    ],
    ids=["shifted", "rotated", "mirrored", "reversed"],
)
def test_a_moved_copy_in_another_split_is_found(domains_folder, tmp_path, move):
    store = open_domains(domains_folder).store
    place = next(k for k, row in enumerate(store.rows) if int(row["batch"]) == 4)
    name, original = store.rows[place]["name"], store.levels(place * len(store.scales))
    folder = changed(domains_folder, tmp_path / "copy", only(lambda levels: move(original)))
    found = {text for rule, text in failures(folder) if rule == "no duplicate across splits"}
    assert found == {
        f"frame {BAD}: it is a copy of film {name} of validation, perhaps shifted, rotated or "
        "mirrored",
        f"frame {name}: it is a copy of film {BAD} of train, perhaps shifted, rotated or mirrored",
    }
    rules = {rule for rule, _ in failures(folder, (3, 4), (1,))}
    assert "no duplicate across splits" not in rules


@pytest.mark.parametrize(
    ("shape", "rule", "detail"),
    [
        ((48, 48), "contains its views", "it is 192 nm wide, its largest view 250 nm"),
        ((64, 63), "square", "64×63 cells; the sides must be equal"),
    ],
)
def test_a_film_too_small_for_its_views_is_named(domains_folder, tmp_path, shape, rule, detail):
    def cut(levels, row):
        return levels[: shape[0], : shape[1]]

    found = failures(changed(domains_folder, tmp_path / "cut", cut))
    assert any(name == rule and detail in text for name, text in found)


def test_damage_is_named_by_the_file(domains_folder, tmp_path):
    folder = changed(domains_folder, tmp_path / "c")
    assert not failures(folder)
    shard = folder / "images-0001.npy"
    shard.write_bytes(shard.read_bytes()[:-2] + b"xx")
    with pytest.raises(SpinscopeError, match=r"images-0001.npy \(image intact\)"):
        families.get("parameter-cnn").validate(open_domains(folder), None, None)
    shard.unlink()
    assert {rule for rule, _ in failures(folder)} == {"image present"}
    other = changed(domains_folder, tmp_path / "f", lambda levels, row: levels / np.float32(255))
    assert {rule for rule, _ in failures(other)} == {"image readable"}
    with pytest.raises(SpinscopeError, match=r"must be uint8"):
        open_domains(other).image(0)


def test_a_film_in_two_splits_is_named(domains_folder, tmp_path):
    """Two films of one source: their views would be in training and validation."""
    folder = changed(domains_folder, tmp_path / "c")
    manifest = folder / MANIFEST
    text = manifest.read_text()
    assert f"\n{BAD},3,3," in text
    manifest.write_text(text.replace(f"\n{BAD},3,3,", f"\n{BAD},0,3,"))
    header = json.loads((folder / HEADER).read_text())
    header["sha256"].pop(MANIFEST)
    (folder / HEADER).write_text(json.dumps(header))
    found = validate_domains(open_domains(folder), {"train": [0, 1], "validation": [3]}).failures
    assert {failure.rule for failure in found} == {"source in one split"}


def test_the_rules_above_are_all():
    assert {rule.name for rule in RULES} == {
        "image intact", "image present", "image readable", "square", "contains its views",
        "relaxed", "not saturated", "domains resolved", "domains as recorded",
        "constants in range", "no duplicate across splits", "source in one split",
    }  # fmt: skip
