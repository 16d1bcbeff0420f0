"""Model folders: round trip, damage, references."""

from __future__ import annotations

import numpy as np
import pytest
from tests.conftest import section

from spinscope import families
from spinscope.config import bundled_models
from spinscope.errors import SpinscopeError
from spinscope.models.store import CARD, INFO, load_model, model_info, resolve_local, save_model
from spinscope.models.unet import unet

LIMITS = {"field-fcn": 1_000_000, "parameter-cnn": 4_000_000, "parameter-cnn-ms": 4_000_000}
"""Largest size in bytes of a bundled model of a family without masks."""


@pytest.fixture
def folder(tmp_path):
    model = unet(section("model", width=4, depth=2, stem=2, refine=2), 3, seed=5)
    save_model(tmp_path / "m", model, {"classes": ["a", "b", "c"]}, "# card\n")
    return tmp_path / "m"


def test_same_output_after_save_and_load(folder):
    image = np.random.default_rng(0).normal(size=(1, 32, 32, 1)).astype(np.float32)
    made = unet(section("model", width=4, depth=2, stem=2, refine=2), 3, seed=5)
    loaded, info = load_model(folder)
    np.testing.assert_allclose(made(image), loaded(image), atol=1e-6)
    assert info == {"classes": ["a", "b", "c"]}
    assert (folder / CARD).read_text() == "# card\n"


def test_damage_is_named(folder):
    (folder / INFO).write_text("{}")
    with pytest.raises(SpinscopeError, match=r"model\.json has sha256 .*SHA256SUMS says"):
        load_model(folder)


def test_a_missing_file_is_named(folder):
    (folder / CARD).unlink()
    with pytest.raises(SpinscopeError, match=r"card\.md is missing"):
        load_model(folder)


def test_saving_over_a_model_is_whole_or_not_at_all(folder, monkeypatch):
    before = sorted((p.name, p.read_bytes()) for p in folder.iterdir())

    class Full:
        def save(self, *_, **__):
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        save_model(folder, Full(), {}, "")
    assert sorted((p.name, p.read_bytes()) for p in folder.iterdir()) == before
    assert [p.name for p in folder.parent.iterdir()] == ["m"]


@pytest.mark.parametrize("ref", ["bundled:no-such", "nowhere", "models-of/moke"])
def test_unknown_reference(ref):
    with pytest.raises(SpinscopeError, match=ref):
        resolve_local(ref)


def test_bundled_models_load_and_are_small():
    folders = [path for path in bundled_models().iterdir() if path.is_dir()]
    assert folders
    for path in folders:
        _, info = load_model(resolve_local(f"bundled:{path.name}"))
        if "classes" in info:
            assert info["classes"][:2] == ["background", "skyrmion"]
        limit = LIMITS.get(info.get("family"), 8_000_000)
        assert sum(p.stat().st_size for p in path.iterdir()) <= limit


def test_a_folder_of_former_keys_still_loads(tmp_path):
    model = unet(section("model", width=4, depth=2, stem=2, refine=2), 3)
    info = {"classes": ["a", "b"], "magnify": {"below_px": 6.5, "zoom": 2.0}, "peak": 0.75}
    folder = save_model(tmp_path / "model", model, info, "# A card\n")
    assert model_info(folder) == {
        "classes": ["a", "b"],
        "upscale": {"below_px": 6.5, "scale": 2.0},
        "min_peak_probability": 0.75,
    }
    assert families.of_model(model_info(folder)).name == "moke-unet"
