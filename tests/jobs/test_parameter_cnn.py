"""Magnetic parameters through the house: films, training, registry, gates and serving."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import shutil
from pathlib import Path

import httpx
import mlflow
import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml
from mlflow.pyfunc.scoring_server import init as server
from PIL import Image

from spinscope import cli, families, jobs
from spinscope.config import Params, load_params
from spinscope.corpora.domains import open_domains
from spinscope.errors import SpinscopeError
from spinscope.models.store import model_info
from spinscope.tracking import compare, history, open_store, resolve, rollback, version, versions
from spinscope.tracking.promotion import PromotionRefused
from spinscope.tracking.serving import Refused

NAME = "parameter-cnn"
ERROR, COVERAGE = "relative RMSE", "coverage of the 90 % interval"


def settings(folder: Path, films: Path) -> list[str]:
    """Overrides of a training that takes seconds, with a store of its own."""
    return [
        f"data.path={films}", "training.seeds=2", "training.epochs=1",
        "training.steps_per_epoch=4", "training.batch=4",
        f"tracking.uri=sqlite:///{folder}/mlruns/mlflow.db",
        f"tracking.artifacts={folder}/mlruns/artifacts", f"tracking.experiment={NAME}",
    ]  # fmt: skip


def project(root: Path) -> Path:
    """A project whose gates a briefly trained model passes: only the margins are those shipped."""
    checkout = Path(__file__).parents[2]
    given = yaml.safe_load((checkout / "params.yaml").read_text())
    given["families"][NAME]["gates"] |= {"metric_limit": 3.0, "min_coverage": 0.0}
    given["gates"]["max_frame_ratio"] = 1e9
    root.mkdir()
    (root / "params.yaml").write_text(yaml.safe_dump(given))
    (root / "models").symlink_to(checkout / "models")
    return root


@pytest.fixture(scope="module")
def trained(tmp_path_factory, fresh_store, domains_folder) -> tuple[Params, dict, Path]:
    """(settings, report, folder) of a training of both seeds, registered as version 1."""
    folder = tmp_path_factory.mktemp("parameters")
    shutil.copytree(fresh_store, folder / "mlruns")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPINSCOPE_ROOT", str(project(folder / "project")))
        params = load_params("demo", settings(folder, domains_folder), family=NAME)
        report = jobs.train(params, folder / "out")
    return params, report, folder


@pytest.fixture(autouse=True)
def rooted(trained, monkeypatch):
    monkeypatch.setenv("SPINSCOPE_ROOT", str(trained[2] / "project"))


def test_a_training_is_scored_by_error_and_coverage(trained, domains_folder):
    params, report, _ = trained
    assert report["registered"] == f"models:/{NAME}/1"
    assert report["metric"] == {"name": "rmse", "title": "relative RMSE"}
    assert report["validated"] is True
    assert all(row["seen_in_training"] == 0 for row in report["seeds"])
    best = min(report["seeds"], key=lambda row: row["rmse"])
    assert report["best_seed"] == best["seed"]
    info = model_info(Path(report["best"]))
    assert (info["family"], info["architecture"], info["parameter"]) == (NAME, "scaled", "dmi")
    assert info["corpus"]["parameter"] == "dmi"

    scored = jobs.evaluate_model(params, report["registered"], domains_folder, batches=[4])
    assert scored["n_images"] == 12
    assert scored["rmse"] == pytest.approx(best["rmse"], rel=1e-3)
    assert {"r2", "coverage", "rmse_si", "bias", "scales"} <= set(scored)
    # A report is computed from its rows: the parameter of each film from the table of the corpus.
    films = open_domains(domains_folder)
    true = {record.name: float(films.label(k)[0]) for k, record in enumerate(films.records)}
    rows = pd.DataFrame(scored["per_image"])
    assert rows["true"].tolist() == pytest.approx([true[name] for name in rows["name"]])
    errors = rows["predicted"] - rows["true"]
    assert scored["rmse_si"] == pytest.approx(float(np.sqrt((errors**2).mean())))
    assert scored["rmse"] == pytest.approx(scored["rmse_si"] / 9e-4)  # the range of D, J/m²
    assert scored["bias"] == pytest.approx(float(errors.mean()) / 9e-4)
    inside = (rows["low"] <= rows["true"]) & (rows["true"] <= rows["high"])
    assert scored["coverage"] == pytest.approx(float(inside.mean()))

    seen = jobs.evaluate_model(params, report["registered"], domains_folder)
    assert (seen["n_images"], seen["seen_in_training"]) == (72, 48)


def test_the_version_holds_its_scores(trained):
    params, report, _ = trained
    store = open_store(params.tracking)
    found = version(store, NAME, 1)
    assert found.tags["family"] == NAME
    for key in ("rmse", "r2", "coverage"):
        assert f"{key}.mean" in found.tags, key
    table = versions(store, NAME)
    assert table["rmse"].iloc[0] == pytest.approx(
        np.mean([row["rmse"] for row in report["seeds"]]), rel=1e-6
    )


def test_promotion_by_error_and_coverage_and_back(trained, tmp_path):
    params, _, folder = trained
    gates = {gate.name: gate for gate in jobs.check_gates(params, NAME, 1)}
    assert {ERROR, COVERAGE} <= set(gates)
    assert "MCC" not in gates
    assert gates[ERROR].low < gates[ERROR].measured < gates[ERROR].high
    assert 0 <= gates[COVERAGE].measured <= 1
    assert gates["frame time"].measured > 0
    assert gates["reproduces its predictions"].measured <= 1e-4
    assert not [name for name, gate in gates.items() if not gate.passed]
    jobs.promote(params, NAME, 1, "first")

    worse = jobs.add(params, str(biased(folder, tmp_path / "worse")), NAME)
    assert worse.version == 2
    with pytest.raises(PromotionRefused, match=ERROR):
        jobs.promote(params, NAME, 2, "worse")
    jobs.promote(params, NAME, 2, "to roll back", override_gates="a test")
    store = open_store(params.tracking)
    rollback(store, NAME, reason="worse")
    assert [step.to_version for step in history(store, NAME)] == [1, 2, 1]
    difference = compare(version(store, NAME, 1), version(store, NAME, 2))
    assert {"rmse", "coverage"} <= set(difference["key"])


def biased(folder: Path, out: Path) -> Path:
    """The best model of a training, its estimates larger by ten times the range of D."""
    from spinscope.models.store import load_model, save_model

    network, info = load_model(folder / "out/best")
    layer = network.get_layer("value")
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel, bias + 10])
    return save_model(out, network, info, "# Biased\n")


def test_the_shipped_limits_refuse_a_briefly_trained_model(trained, monkeypatch):
    params, _, folder = trained
    monkeypatch.setenv("SPINSCOPE_ROOT", str(shipped(folder / "shipped")))
    gates = {gate.name: gate for gate in jobs.check_gates(params, NAME, 1)}
    assert gates[ERROR].limit < 0.2 and not gates[ERROR].passed
    assert gates[COVERAGE].limit > 0.7


def shipped(root: Path) -> Path:
    """A project with the settings of the checkout."""
    checkout = Path(__file__).parents[2]
    root.mkdir()
    for name in ("params.yaml", "models"):
        (root / name).symlink_to(checkout / name)
    return root


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.round(255 * image).astype(np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


def tiff(image: np.ndarray, pixel_size: float) -> bytes:
    """A TIFF file whose resolution is the pixel size, as microscopes write it."""
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        np.round(65535 * image).astype(np.uint16),
        photometric="minisblack",
        resolution=(1e-2 / pixel_size, 1e-2 / pixel_size),
        resolutionunit="CENTIMETER",
    )
    return buffer.getvalue()


def test_mlflow_serves_images_with_their_pixel_size(trained, domains_folder):
    params, _, _ = trained
    folder = resolve(params.tracking, f"models:/{NAME}/1")
    served = mlflow.pyfunc.load_model(str(folder.parents[1]))
    films = open_domains(domains_folder)
    image, pixel_size = films.image(1), films.store.pixel_size(1)
    expected = families.get(NAME).fast_predictor(folder)(image, pixel_size)

    def ask(*cells, **options):
        return served.predict(pd.DataFrame({"image": list(cells)}), params=options or None)

    (answer,) = ask(image, pixel_size_nm=1e9 * pixel_size)
    assert (answer["parameter"], answer["unit"]) == ("dmi", "mJ/m²")
    assert answer["value"] == pytest.approx(1e3 * expected.mean, rel=1e-5)
    assert answer["sd"] == pytest.approx(1e3 * expected.sd, rel=1e-4)
    ends = [1e3 * expected.low, 1e3 * expected.high]
    assert answer["interval"] == pytest.approx(ends, rel=1e-5)
    assert answer["pixel_size_nm"] == pytest.approx(1e9 * pixel_size)
    assert isinstance(answer["in_range"], bool) and isinstance(answer["reasons"], list)
    assert len(answer["model"]) == 64

    # The file's own calibration will do, and the parameter takes precedence over it.
    (calibrated,) = ask(tiff(image, pixel_size))
    assert calibrated["value"] == pytest.approx(answer["value"], rel=1e-3)
    (other,) = ask(tiff(image, pixel_size), pixel_size_nm=2e9 * pixel_size)
    assert other["pixel_size_nm"] == pytest.approx(2e9 * pixel_size)

    for bad, options, sentence in [
        (png(image), {}, "row 0: .*pixel size"),
        (png(image), {"pixel_size_nm": -1.0}, r"pixel_size_nm \(=-1\)"),
        (np.full((64, 64, 3), 0.5, np.float32), {"pixel_size_nm": 4.0}, r"must be \(H, W\)"),
        (np.full((64, 64), np.nan, np.float32), {"pixel_size_nm": 4.0}, "NaN or infinite"),
        (b"GIF89a", {"pixel_size_nm": 4.0}, "PNG or TIFF"),
    ]:
        with pytest.raises(Refused, match=sentence):
            ask(bad, **options)


def test_an_image_that_is_none_of_domains_is_marked(trained):
    params, _, _ = trained
    packed = resolve(params.tracking, f"models:/{NAME}/1").parents[1]
    served = mlflow.pyfunc.load_model(str(packed))
    flat = np.full((64, 64), 0.5, np.float32)
    noise = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    for answer in served.predict(
        pd.DataFrame({"image": [flat, noise]}), params={"pixel_size_nm": 3.9}
    ):
        assert answer["in_range"] is False
        assert answer["reasons"]


def test_the_rest_server_takes_the_stored_example(trained, domains_folder):
    params, _, _ = trained
    packed = resolve(params.tracking, f"models:/{NAME}/1").parents[1]
    app = server(mlflow.pyfunc.load_model(str(packed)))

    def post(request: dict) -> httpx.Response:
        async def ask():
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.post("/invocations", json=request)

        return asyncio.run(ask())

    example = json.loads((packed / "serving_input_example.json").read_text())
    answer = post(example)
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"][0]["unit"] == "mJ/m²"

    image = base64.b64encode(png(open_domains(domains_folder).image(0))).decode()
    refused = post({"dataframe_records": [{"image": image}]})
    assert refused.status_code == 400
    assert "pixel_size_nm" in refused.text


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


def test_the_verbs_know_domains(trained, domains_folder, moke_folder, tmp_path, run):
    _, _, folder = trained
    sets = [word for value in settings(folder, domains_folder) for word in ("--set", value)]
    model = f"models:/{NAME}/1"
    code, out, error = run("evaluate", "--model", model, "--data", domains_folder, *sets,
                           "--image", tmp_path / "frame.png")  # fmt: skip
    assert code == 0, error
    assert "rmse" in out and "coverage" in out and "mcc" not in out
    assert Image.open(tmp_path / "frame.png").size == (3 * 32 + 2 * 8, 32)

    code, out, error = run("data", "validate", "--data", domains_folder, "--out", tmp_path / "v")
    assert code == 0, error
    assert "frames checked" in out

    code, _, error = run("evaluate", "--model", model, "--data", moke_folder, *sets)
    assert code == 1
    assert "spinscope corpus domains" in error
    image = next((moke_folder / "images").iterdir())
    code, _, error = run("segment", image, "--model", model, "--out", tmp_path / "m", *sets)
    assert code == 1
    assert f"family {NAME} makes no masks" in error

    code, out, error = run("registry", "list", NAME, *sets)
    assert code == 0, error
    assert "rmse" in out
    code, out, error = run("registry", "compare", f"{model}", f"{model}", *sets)
    assert code == 0, error
    assert "do not differ" in out


def test_a_model_of_one_parameter_is_not_scored_on_films_of_another(trained, ms_folder):
    params, report, _ = trained
    with pytest.raises(SpinscopeError, match="of which ms varies; the model estimates dmi"):
        jobs.evaluate_model(params, report["registered"], ms_folder)


def test_reviews_retrain_no_model_of_parameters(trained, tmp_path):
    from spinscope.reviews import retrain

    params, _, _ = trained
    with pytest.raises(SpinscopeError, match="makes no masks that could be corrected"):
        retrain(params, [tmp_path], f"models:/{NAME}/1", tmp_path / "retrained")


def test_a_segmentation_is_not_scored_on_domains(domains_folder, params):
    with pytest.raises(SpinscopeError, match="holds domain films"):
        jobs.evaluate_model(params, "bundled:moke-unet", domains_folder)
    with pytest.raises(SpinscopeError, match="holds domain films"):
        families.get("moke-unet").open(domains_folder)
