"""The page of the effective field, with the bundled model."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from tests.dashboards.conftest import open_page, settle, text

from spinscope.config import load_params, project_root
from spinscope.corpora.lattice import make_lattice_corpus
from spinscope.datasets import Record, write_moke
from spinscope.jobs import field as jobs
from spinscope.physics.annealing import Schedule, anneal
from spinscope.physics.lattice import Hamiltonian, effective_field, energy

CHECKOUT = project_root()
H = Hamiltonian()
ANGLE, ENERGY = "Angle to the truth, °", "Energy per site, J"


@pytest.fixture(scope="module")
def m():
    """An annealed lattice."""
    return anneal((48, 48), H, Schedule(sweeps=300), seed=0)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A project without models of its own."""
    settle(tmp_path, load_params("laptop", [f"data.path={tmp_path}/moke"]), monkeypatch)
    (tmp_path / "models").symlink_to(CHECKOUT / "models")
    return tmp_path


def opened(application: str, file=None, size: int = 32):
    """Open the page with an application, and a file or a small lattice."""
    app = open_page("field.py")
    app.segmented_control("application").set_value(application)
    if file is not None:
        app.selectbox("field spins").set_value("another file …").run()
        app.text_input("field spins path").set_value(str(file)).run()
    else:
        app.select_slider("field size").set_value(size).run()
    assert not app.exception
    return app


def numbers(app) -> dict[str, str]:
    assert not app.exception
    assert not app.error, text(app)
    return {metric.label: metric.value for metric in app.metric}


def before_after(value: str) -> list[float]:
    return [float(word) for word in value.split(" → ")]


def test_the_page_says_what_the_answers_hold_for(root):
    app = open_page("field.py")
    shown = text(app)
    assert "interfacial DMI D = 0.3 J, no anisotropy and no dipolar interaction" in shown
    assert "they are not measured" in shown
    assert app.segmented_control("application").options == [
        name.capitalize() for name in jobs.APPLICATIONS
    ]
    assert not (root / "mlruns").exists()  # looking creates nothing


def test_a_project_without_a_model_names_the_command(root):
    (root / "models").unlink()
    app = open_page("field.py")
    assert not app.exception
    assert "spinscope train field-fcn" in app.info[0].value


def test_z_components_are_completed(root):
    found = numbers(opened("complete"))
    before, after = before_after(found[ANGLE])
    assert after < 10 < before
    made, true = found["Topological charge"].split(" / ")
    assert made == true


def test_the_field_of_a_file_is_inferred(root, m):
    np.save(root / "m.npy", m)
    app = opened("infer", root / "m.npy")
    assert float(numbers(app)[ENERGY]) == pytest.approx(energy(m, H), abs=1e-3)
    assert len(app.get("image")) == 4  # with the key of the colours
    length = np.linalg.norm(effective_field(m, H), axis=-1)
    captions = [caption for image in app.get("image") for caption in _captions(image)]
    low, high = f"{length.min():.2f} (black)", f"{length.max():.2f} J (white)"
    assert any(low in caption and high in caption for caption in captions)
    assert not app.get("vega_lite_chart")


def _captions(image) -> list[str]:
    return [one.caption for one in image.proto.imgs]


def test_noise_is_removed_and_its_strength_matters(root, m):
    np.save(root / "m.npy", m)
    app = opened("denoise", root / "m.npy")
    weak = before_after(numbers(app)[ANGLE])
    app.slider("alpha").set_value(2.5).run()
    strong = before_after(numbers(app)[ANGLE])
    assert strong[0] > weak[0] > 3 * weak[1]
    assert len(app.get("image")) == 4
    assert len(app.get("vega_lite_chart")) == 1
    app.slider("alpha").set_value(0.0).run()
    assert ANGLE not in numbers(app)


def test_defects_are_repaired(root, m):
    np.save(root / "m.npy", m)
    app = opened("repair", root / "m.npy")
    app.slider("defect sites").set_value(4).run()
    for kind in ("rows", "square"):
        app.segmented_control("defect").set_value(kind).run()
        before, after = before_after(numbers(app)[ANGLE])
        assert after < 15 < before
    app.slider("defect sites").set_value(31)
    app.segmented_control("defect").set_value("mask").run()
    assert "Choose a file to upload" in app.info[0].value


def test_a_generation_is_compared_with_monte_carlo(root):
    app = opened("generate")
    before, after = before_after(numbers(app)[ENERGY])
    assert after < -2 < before
    assert len(app.get("vega_lite_chart")) == 2
    caption = next(c.value for c in app.caption if "Monte Carlo annealings" in c.value)
    assert -1 < float(caption.split("the model is ")[1].split(" %")[0]) < 3
    app.slider("generate iterations").set_value(5).run()
    assert before_after(numbers(app)[ENERGY])[1] > after


def test_spins_follow_a_field_when_they_are_told_to(root):
    app = opened("respond")
    assert "Choose Run" in app.info[0].value
    app.text_input("fields").set_value("0.02, 0.3")
    app.slider("respond iterations").set_value(200)
    app.button[0].click().run()
    assert not app.exception
    assert not app.error, text(app)
    assert [heading.value for heading in app.subheader][:2] == ["Model", "Monte Carlo"]
    assert len(app.get("image")) == 1 + 2 * 3
    chart = json.loads(app.get("vega_lite_chart")[0].proto.spec)
    assert "mean m_z" in json.dumps(chart)
    app.text_input("fields").set_value("0.1, much")
    app.button[0].click().run()
    assert "must be numbers, separated by commas" in app.error[0].value


def test_an_image_needs_its_scale(root):
    x = np.arange(200)
    image = np.broadcast_to(np.uint8(128 + 80 * np.cos(2 * np.pi * x / 20)), (120, 200))
    Image.fromarray(image).save(root / "stripes.png")
    app = opened("complete", root / "stripes.png")
    assert "An image needs its scale" in app.info[0].value
    app.number_input("field period").set_value(20.0).run()
    found = numbers(app)
    assert ANGLE not in found
    assert found["Topological charge"] in ("0", "-0")  # stripes
    # Ten periods of stripes: the pitch of the helix of lowest energy, -1 - sqrt(1 + D²) J.
    assert before_after(found[ENERGY])[1] == pytest.approx(-1 - np.hypot(1, 0.3), abs=0.02)
    app.segmented_control("application").set_value("infer").run()
    assert "`complete` infers the others" in app.error[0].value


def test_lattices_and_frames_of_the_project_are_offered(root, m):
    settings = load_params(family="field-fcn").lattice.model_copy(
        update={"n": 6, "size": 32, "sweeps": 20}
    )
    make_lattice_corpus(root / "build/corpus/lattice", 0, settings)
    x = np.arange(128)
    frame = np.broadcast_to(0.5 + 0.3 * np.cos(2 * np.pi * x / 16), (96, 128)).astype(np.float32)
    write_moke(root / "moke", [(Record("f0", 0, 0), frame, np.zeros(frame.shape, np.uint8))])
    app = open_page("field.py")
    box = app.selectbox("field spins")
    assert {"lattice (lattices)", "moke (experimental)"} <= set(box.options)
    box.set_value("lattice (lattices)").run()
    assert ANGLE in numbers(app)
    app.selectbox("field spins").set_value("moke (experimental)").run()
    assert "An image needs its scale" in app.info[0].value
    app.number_input("field period").set_value(16.0).run()
    assert ANGLE not in numbers(app)


@pytest.mark.parametrize(
    "array, rule",
    [
        (np.zeros((16, 16, 3)), "spins must be unit vectors"),
        (np.full((16, 16, 3), np.nan), "spins must be finite"),
        (np.zeros((16, 16, 2)), r"has the shape (16, 16, 2)"),
        (np.ones((8, 16)), "each side must have at least 16"),
    ],
)
def test_bad_spins_are_one_sentence(root, array, rule):
    np.save(root / "bad.npy", array)
    app = opened("complete", root / "bad.npy")
    assert rule in app.error[0].value


def test_another_model_is_refused_and_a_folder_is_taken(root):
    app = open_page("field.py")
    app.selectbox("field model").set_value("another folder …").run()
    app.text_input("field model path").set_value("bundled:moke-unet").run()
    assert not app.exception
    assert "effective fields need field-fcn" in app.error[0].value
    copy = shutil.copytree(CHECKOUT / "models/field-fcn", root / "model")
    app.text_input("field model path").set_value(str(copy)).run()
    assert ANGLE in numbers(app)
