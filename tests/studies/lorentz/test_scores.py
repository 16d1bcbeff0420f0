"""Scores on simulated micrographs: those of scikit-learn, paired over points, of known films."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from tests.studies.lorentz.films import made

from spinscope.config import load_params
from spinscope.corpora.ltem import make_ltem_corpus
from spinscope.datasets.shards import read_header
from spinscope.errors import SpinscopeError
from spinscope.studies.lorentz.scores import (
    Point,
    curves,
    diameters,
    image_scores,
    measure,
    measure_pairs,
    points,
    published_pairs,
    simulated_image,
    specimens,
    summary,
    unseen_films,
)

SETTINGS = load_params(family="ltem-unet").ltem.model_copy(update={"label_mz": 0.9})
FILMS = made(3)
GRAINED = made(3, grains=True)


@pytest.fixture(scope="module")
def films():
    return specimens(FILMS, range(3), SETTINGS)


def test_scores_are_those_of_scikit_learn():
    from sklearn.metrics import accuracy_score, f1_score, jaccard_score, matthews_corrcoef

    rng = np.random.default_rng(1)
    label, found = (rng.random((2, 40, 30)) < 0.3).astype(np.uint8)
    row = image_scores(label, found)
    flat = label.ravel(), found.ravel()
    for name, score in (("accuracy", accuracy_score), ("f1", f1_score),
                        ("jaccard", jaccard_score), ("mcc", matthews_corrcoef)):  # fmt: skip
        assert row[name] == pytest.approx(score(*flat), abs=1e-12)


def test_a_model_of_three_classes_is_held_against_two():
    label = np.zeros((16, 16), np.uint8)
    label[4:9, 4:9] = 1
    found = label.copy()
    found[12:, 12:] = 2  # a defect is no skyrmion
    assert image_scores(label, found)["f1"] == 1.0


def test_discs_have_their_diameters_and_cut_ones_count_only():
    y, x = np.mgrid[:100, :100]
    mask = np.hypot(y - 50, x - 40) <= 12
    count, px = diameters(mask | (np.hypot(y - 20, x) <= 9))
    assert count == 2
    assert px == pytest.approx([24], rel=0.02)


def test_the_picture_runs_from_0_to_1_and_its_noise_is_one_pattern(films):
    clean, half, full = (
        simulated_image(films[0], Point(noise=s), SETTINGS, 3) for s in (0, 0.5, 1)
    )
    assert (clean.min(), clean.max()) == (0, 1)
    np.testing.assert_allclose(full - clean, 2 * (half - clean), atol=1e-5)
    sigma = 0.5 * clean.mean()
    assert np.std(half - clean) == pytest.approx(sigma, rel=0.05)
    cut = simulated_image(films[0], Point(noise=1, clipped=True), SETTINGS, 3)
    np.testing.assert_array_equal(cut, np.clip(full, 0, 1))
    other = simulated_image(films[0], Point(noise=1), SETTINGS, 4)
    assert abs(np.corrcoef((other - clean).ravel(), (full - clean).ravel())[0, 1]) < 0.05


@pytest.mark.parametrize("phase_ms", ["map", "mean"])
def test_the_picture_is_that_of_the_training_corpus(tmp_path, phase_ms):
    """A corpus at one setting holds the same grey levels, to its sixteen bits."""
    still = {"images_per_film": 1, "shift": False, "rotate": False, "mirror_blur_px": (1.0, 1.0)}
    fixed = SETTINGS.model_copy(update={**still, "phase_ms": phase_ms})
    corpus = make_ltem_corpus(tmp_path / "ltem", GRAINED, 0, fixed)
    assert read_header(corpus)["kind"] == "ltem"
    stored = np.load(corpus / "images-0000.npy").astype(np.float32) / 65535
    for one, image in zip(specimens(GRAINED, range(3), fixed), stored, strict=True):
        np.testing.assert_allclose(simulated_image(one, Point(), fixed, 0), image, atol=1e-4)


def test_turning_the_axis_turns_the_contrast(films):
    """The two sides of a skyrmion lie along the axis: dark before bright, the other way at 180."""
    at = [simulated_image(films[1], Point(axis_deg=a), SETTINGS, 0) - 0.5 for a in (0, 90, 180)]
    assert np.corrcoef(at[0].ravel(), at[2].ravel())[0, 1] < -0.8
    gy, gx = zip(*(np.gradient(image) for image in at), strict=True)
    assert (gx[0] ** 2).mean() > 1.5 * (gy[0] ** 2).mean()
    assert (gy[1] ** 2).mean() > 1.5 * (gx[1] ** 2).mean()


def test_a_truthful_model_is_perfect_and_another_is_not(films):
    truth = iter([one.label for one in films])
    told = []

    def right(image, axis_deg):
        told.append(axis_deg)
        return next(truth)

    rows = measure(right, films, Point(axis_deg=30.0, axis_known=True), SETTINGS)
    assert told == [30.0] * 3
    assert [row["film"] for row in rows] == [one.name for one in films]
    found = summary(rows, cell_nm=3.0)
    assert all(found[score] == {"mean": 1.0, "sd": 0.0} for score in ("accuracy", "f1", "mcc"))
    assert found["objects"] == {"true": 12, "predicted": 12}
    assert found["diameter"]["wasserstein"] == 0
    blind = summary(measure(lambda image, axis: np.zeros(image.shape, np.uint8), films,
                            Point(axis_deg=30.0), SETTINGS))  # fmt: skip
    assert (blind["f1"]["mean"], blind["jaccard"]["mean"], blind["mcc"]["mean"]) == (0, 0, 0)
    assert blind["diameter"]["predicted"] == {"n": 0, "mean": None, "sd": None}
    assert blind["diameter"]["wasserstein"] is None


def test_diameters_are_in_nanometres(films):
    rows = measure(lambda image, axis: films[0].label, films[:1], Point(), SETTINGS)
    size = summary(rows, cell_nm=3.0)["diameter"]
    # m_z = 0.9 lies a little outside the middle of the wall, which is at 8 cells.
    assert 2 * 8 * 3.0 < size["true"]["mean"] < 2 * 13 * 3.0
    assert size["unit"] == "nm"


def test_curves_share_their_common_point():
    plan = curves()
    every = points(plan)
    assert len(every) == len(set(every))
    assert every.count(Point()) == 1
    assert all(Point() in curve.values() for curve in plan.values())
    assert min(plan["noise"]) == 0
    assert max(plan["noise"]) == 1
    assert (min(plan["defocus"]), max(plan["defocus"])) == (-3, -1)
    assert (min(plan["tilt"]), max(plan["tilt"])) == (10, 30)
    assert (min(plan["axis"]), max(plan["axis"])) == (0, 180)


def test_films_to_test_on_by_name_batch_and_number():
    films = made(22)
    films.rows[3]["kind"] = "stripes"
    assert unseen_films(films, SETTINGS, numbers=range(2, 6)) == [2, 4, 5]
    # The tenth and the twentieth of those that the corpus of images is made of.
    assert unseen_films(films, SETTINGS, batches=[9]) == [10, 20]
    assert unseen_films(films, SETTINGS, names=["film-00003", "film-00007"]) == [7]
    with pytest.raises(SpinscopeError, match="film-00099 is not among the 22 films"):
        unseen_films(films, SETTINGS, names=["film-00099"])
    with pytest.raises(SpinscopeError, match=r"numbers \(=30:40\) leave none of 22 films"):
        unseen_films(films, SETTINGS, numbers=range(30, 40))


def write_pair(folder, name, image, label):
    tifffile.imwrite(folder / f"{name}_LTEM.tif", image)
    tifffile.imwrite(folder / f"{name}_LABEL_th0.98.tif", label)


def test_published_pairs_are_read_and_scored(tmp_path, films):
    image = simulated_image(films[0], Point(), SETTINGS, 0).astype(np.float64)
    write_pair(tmp_path, "a", image[None], films[0].label)
    (pair,) = published_pairs(tmp_path)
    assert (pair.name, pair.image.shape, pair.image.dtype) == ("a", (96, 96), np.float32)
    seen = []
    rows = measure_pairs(lambda x, _: seen.append(x) or films[0].label, [pair], 0.5)
    assert rows[0]["film"] == "a"
    assert rows[0]["f1"] == 1
    assert np.std(seen[0] - pair.image) == pytest.approx(0.5 * pair.image.mean(), rel=0.05)
    write_pair(tmp_path, "b", image, 255 * films[0].label)
    with pytest.raises(SpinscopeError, match=r"b_LABEL.* must be 96x96 pixels of 0 or 1"):
        published_pairs(tmp_path)
    (tmp_path / "b_LABEL_th0.98.tif").unlink()
    with pytest.raises(SpinscopeError, match=r"b_LABEL_th0\.98\.tif is missing"):
        published_pairs(tmp_path)


def test_a_label_that_leaves_nothing_names_the_film():
    settings = SETTINGS.model_copy(update={"label_mz": -0.9999})
    with pytest.raises(SpinscopeError, match="film film-00000: threshold"):
        specimens(FILMS, [0], settings)
