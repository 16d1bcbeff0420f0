"""The effective field through the house: lattices, training, registry, gates and serving."""

from __future__ import annotations

import asyncio
import base64
import io
import shutil
from pathlib import Path

import httpx
import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow.pyfunc.scoring_server import init as server
from PIL import Image

from spinscope import cli, families, jobs
from spinscope.config import Params, load_params
from spinscope.corpora.lattice import open_lattices
from spinscope.errors import SpinscopeError
from spinscope.models.store import model_info
from spinscope.physics.lattice import Hamiltonian, effective_field, energy, random_spins
from spinscope.tracking import compare, history, open_store, resolve, rollback, version, versions
from spinscope.tracking.promotion import PromotionRefused
from spinscope.tracking.serving import Refused

NAME = "field-fcn"


def settings(folder: Path, lattices: Path) -> list[str]:
    """Overrides of a training that takes seconds, with a store of its own."""
    return [
        f"data.path={lattices}", "training.seeds=2", "training.epochs=1",
        "training.steps_per_epoch=3", "training.batch=2",
        f"tracking.uri=sqlite:///{folder}/mlruns/mlflow.db",
        f"tracking.artifacts={folder}/mlruns/artifacts", f"tracking.experiment={NAME}",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory, fresh_store, lattice_folder) -> tuple[Params, dict, Path]:
    """(settings, report, folder) of a training of both seeds, registered as version 1."""
    folder = tmp_path_factory.mktemp("field")
    shutil.copytree(fresh_store, folder / "mlruns")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPINSCOPE_ROOT", str(project(folder / "project")))
        params = load_params("demo", settings(folder, lattice_folder), family=NAME)
        report = jobs.train(params, folder / "out")
    return params, report, folder


def project(root: Path) -> Path:
    """A project with the gates of the checkout and a generous limit of the frame time."""
    checkout = Path(__file__).parents[2]
    given = yaml.safe_load((checkout / "params.yaml").read_text())
    given["gates"]["max_frame_ratio"] = 1e9
    root.mkdir()
    (root / "params.yaml").write_text(yaml.safe_dump(given))
    (root / "models").symlink_to(checkout / "models")
    return root


@pytest.fixture(autouse=True)
def rooted(trained, monkeypatch):
    monkeypatch.setenv("SPINSCOPE_ROOT", str(trained[2] / "project"))


def test_a_training_is_scored_by_the_energy_error(trained, lattice_folder):
    params, report, _ = trained
    assert report["registered"] == f"models:/{NAME}/1"
    assert report["metric"] == {"name": "energy_error", "title": "energy error"}
    assert report["validated"] is True
    # The linear convolution is exact from the start: the energy of clean lattices is right.
    assert all(row["energy_error"] < 5e-4 for row in report["seeds"])
    assert all(row["seen_in_training"] == 0 for row in report["seeds"])
    best = min(report["seeds"], key=lambda row: row["energy_error"])
    assert report["best_seed"] == best["seed"]
    info = model_info(Path(report["best"]))
    assert (info["family"], info["architecture"]) == (NAME, "local")
    assert info["corpus"]["dmi"] == 0.3

    scored = jobs.evaluate_model(params, report["registered"], lattice_folder, batches=[5])
    assert scored["n_images"] == 2
    assert scored["energy_error"] == pytest.approx(best["energy_error"], abs=2e-6)
    assert min(scored["r2"].values()) > 0.999
    seen = jobs.evaluate_model(params, report["registered"], lattice_folder)
    assert (seen["n_images"], seen["seen_in_training"]) == (12, 10)


def test_the_version_holds_its_scores(trained):
    params, report, _ = trained
    store = open_store(params.tracking)
    found = version(store, NAME, 1)
    assert found.tags["family"] == NAME
    for key in ("energy_error", "mse", "r2.x", "r2.z"):
        assert f"{key}.mean" in found.tags, key
    table = versions(store, NAME)
    assert table["energy_error"].iloc[0] == pytest.approx(
        np.mean([row["energy_error"] for row in report["seeds"]])
    )


def test_promotion_by_the_energy_error_and_back(trained, tmp_path):
    params, _, folder = trained
    gates = {gate.name: gate for gate in jobs.check_gates(params, NAME, 1)}
    assert "energy error" in gates and "MCC" not in gates
    assert gates["energy error"].limit == 0.0005
    assert gates["frame time"].measured > 0
    assert gates["reproduces its predictions"].measured <= 1e-4
    assert not [name for name, gate in gates.items() if not gate.passed]
    jobs.promote(params, NAME, 1, "first")

    worse = jobs.add(params, str(spoiled(folder, tmp_path / "worse")), NAME)
    assert worse.version == 2
    with pytest.raises(PromotionRefused, match="energy error"):
        jobs.promote(params, NAME, 2, "worse")
    jobs.promote(params, NAME, 2, "to roll back", override_gates="a test")
    store = open_store(params.tracking)
    rollback(store, NAME, reason="worse")
    assert [step.to_version for step in history(store, NAME)] == [1, 2, 1]
    difference = compare(version(store, NAME, 1), version(store, NAME, 2))
    assert "energy_error" in set(difference["key"])


def spoiled(folder: Path, out: Path) -> Path:
    """The best model of a training, its field 1 % too large."""
    from spinscope.models.field_networks import FIELD
    from spinscope.models.store import load_model, save_model

    network, info = load_model(folder / "out/best")
    layer = network.get_layer(FIELD)
    layer.set_weights([1.01 * weights for weights in layer.get_weights()])
    return save_model(out, network, info, "# Spoiled\n")


def npy(m: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, m)
    return buffer.getvalue()


def test_mlflow_serves_arrays_of_spins(trained, lattice_folder):
    params, _, _ = trained
    packed = resolve(params.tracking, f"models:/{NAME}/1").parents[1]
    served = mlflow.pyfunc.load_model(str(packed))
    m = open_lattices(lattice_folder).image(5)
    answers = served.predict(pd.DataFrame({"spins": [m, m.tolist(), npy(m)]}))
    for answer in answers:
        np.testing.assert_allclose(answer["field"], effective_field(m, Hamiltonian()), atol=0.05)
        assert answer["energy_j"] == pytest.approx(energy(m, Hamiltonian()), rel=5e-4)
        assert len(answer["model"]) == 64

    for bad, sentence in [
        (m[..., :2], r"row 0: spins has the shape \(32, 32, 2\); spins must be \(H, W, 3\)"),
        (2 * m, "row 0: .*has the length 2; spins must be unit vectors"),
        (np.full_like(m, np.nan), "NaN or infinity"),
        (m[:8, :8], "each side must have at least 16"),
        (b"GIF89a", "must be nested lists or the bytes of a NumPy file"),
        ([[1.0, 2.0], [3.0]], "must be an array of numbers"),
    ]:
        with pytest.raises(Refused, match=sentence):
            served.predict(pd.DataFrame({"spins": [bad]}))


def test_the_rest_server_takes_lists_and_base64(trained):
    params, _, _ = trained
    packed = resolve(params.tracking, f"models:/{NAME}/1").parents[1]
    app = server(mlflow.pyfunc.load_model(str(packed)))

    def post(cell) -> httpx.Response:
        async def ask():
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.post("/invocations", json={"dataframe_records": [cell]})

        return asyncio.run(ask())

    m = random_spins((16, 16), np.random.default_rng(0))
    text = base64.b64encode(npy(m)).decode()
    for cell in (m.tolist(), text):
        answer = post({"spins": cell})
        assert answer.status_code == 200, answer.text
        (row,) = answer.json()["predictions"]
        assert np.shape(row["field"]) == (16, 16, 3)
    refused = post({"spins": [[[1, 0]]]})
    assert refused.status_code == 400
    assert "row 0: spins has the shape (1, 1, 2); spins must be (H, W, 3)" in refused.text


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["spinscope", *map(str, words)])
        capsys.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = 0 if end.code is None else end.code
        return code, *capsys.readouterr()

    return call


def test_the_verbs_know_spins(trained, lattice_folder, moke_folder, tmp_path, run):
    _, _, folder = trained
    sets = [word for value in settings(folder, lattice_folder) for word in ("--set", value)]
    model = f"models:/{NAME}/1"
    code, out, error = run("evaluate", "--model", model, "--data", lattice_folder, *sets)
    assert code == 0, error
    assert "energy_error" in out and "mcc" not in out

    code, out, error = run("data", "validate", "--data", lattice_folder, "--out", tmp_path / "v")
    assert code == 0, error
    assert "12 frames checked" in out
    code, out, error = run("data", "describe", "--data", lattice_folder, "--out", tmp_path / "d")
    assert code == 1
    assert "holds spins" in error and "data validate" in error

    code, _, error = run("evaluate", "--model", model, "--data", moke_folder, *sets)
    assert code == 1
    assert "spinscope corpus lattice" in error
    image = next((moke_folder / "images").iterdir())
    code, _, error = run("segment", image, "--model", model, "--out", tmp_path / "m", *sets)
    assert code == 1
    assert f"family {NAME} makes no masks" in error
    code, _, error = run("evaluate", "--model", model, "--data", lattice_folder,
                         "--image", tmp_path / "frame.png", *sets)  # fmt: skip
    assert code == 0, error
    with Image.open(tmp_path / "frame.png") as panels:
        assert panels.size == (3 * 32 + 2 * 8, 32)


def test_reviews_retrain_no_model_of_spins(trained, tmp_path):
    from spinscope.reviews import retrain

    params, _, _ = trained
    with pytest.raises(SpinscopeError, match="makes no masks that could be corrected"):
        retrain(params, [tmp_path], f"models:/{NAME}/1", tmp_path / "retrained")


def test_a_segmentation_is_not_scored_on_lattices(lattice_folder, params):
    with pytest.raises(SpinscopeError, match="holds spins"):
        jobs.evaluate_model(params, "bundled:moke-unet", lattice_folder)
    with pytest.raises(SpinscopeError, match="holds spins"):
        families.get("moke-unet").open(lattice_folder)
