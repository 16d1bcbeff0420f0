"""A registered version as a package of bioimage.io."""

from __future__ import annotations

import zipfile

import pytest
from tests.tracking.conftest import frames, report

from spinscope import families
from spinscope.config import bundled_models
from spinscope.jobs.packaging import package
from spinscope.models.store import NETWORK
from spinscope.tracking import parent_run, register, seed_run

pytest.importorskip("tf2onnx")
pytest.importorskip("bioimageio.spec")


def test_a_registered_version_is_packaged(tracking, store, params, tags, tmp_path):
    folder = bundled_models() / "moke-unet"
    with parent_run(store, params, tags) as parent, seed_run(parent, tags) as run:
        pass
    family = families.get("moke-unet")
    version = register(
        store, family, run.run_id, folder, "moke-unet", seed=1, reports={1: report(0.9)},
        lineage=tags, validated=True, examples=frames(),
    )  # fmt: skip
    answer = package(tracking, version.ref, tmp_path / "a.zip")
    assert answer["agreement"] > 0.999
    with zipfile.ZipFile(answer["file"]) as archive:
        assert archive.read("weights.keras") == (folder / NETWORK).read_bytes()
