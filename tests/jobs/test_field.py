"""Applications of the recursion, with the true field in place of a network."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
from PIL import Image

from spinscope.config import load_params
from spinscope.corpora.ovf import write_ovf
from spinscope.errors import SpinscopeError
from spinscope.jobs import field as jobs
from spinscope.jobs.spin_input import SpinInput, image_spins, read_mask, read_spins
from spinscope.physics.annealing import Schedule, anneal
from spinscope.physics.lattice import Hamiltonian, effective_field, energy, helix_pitch, mean_angle
from spinscope.physics.topology import topological_charge

H = Hamiltonian()


class TrueField:
    """The true field, with the linear part that the network of the architecture `local` has."""

    def __call__(self, m):
        return effective_field(m, H) + 4 * m  # the share that suppresses a checkerboard

    linear = staticmethod(partial(effective_field, hamiltonian=H))


@pytest.fixture(scope="module")
def m():
    """An annealed lattice."""
    return anneal((48, 48), H, Schedule(sweeps=300), seed=0)


@pytest.fixture
def given(m):
    return SpinInput(m[..., 2], m)


def test_infer_gives_the_field_and_the_energy(given, m):
    result = jobs.infer(given, TrueField.linear)
    np.testing.assert_allclose(result.field, effective_field(m, H), atol=1e-5)
    assert result.summary["energy_after_j"] == pytest.approx(energy(m, H), abs=1e-5)
    assert result.summary["iterations"] == 0
    assert result.summary["charge"] == pytest.approx(topological_charge(m), abs=1e-3)


def test_noise_is_removed(given):
    result = jobs.denoise(given, TrueField(), alpha=0.5, iterations=30)
    before, after = (result.facts[f"angle_{key}_deg"] for key in ("before", "after"))
    assert before == pytest.approx(22.5, abs=1.5)
    assert after < 0.4 * before
    assert result.energy[-1] < result.energy[0]
    same = jobs.denoise(given, TrueField(), alpha=0.5, iterations=30)
    np.testing.assert_array_equal(result.m, same.m)


@pytest.mark.parametrize("defect", [{"rows": 3}, {"square": 4}])
def test_defects_are_repaired_and_the_other_sites_kept(given, m, defect):
    result = jobs.repair(given, TrueField(), iterations=60, **defect)
    assert result.facts["angle_after_deg"] < 15 < result.facts["angle_before_deg"]
    changed = np.abs(result.m - m).max(-1) > 1e-6
    assert changed.sum() <= (3 * 48 if "rows" in defect else 16)
    mask = np.abs(result.before - m).max(-1) > 1e-6
    by_mask = jobs.repair(given, TrueField(), mask=mask, iterations=60)
    assert np.abs(by_mask.m - m)[~mask].max() < 1e-6


def test_all_components_follow_from_the_z_components(given, m):
    alone = SpinInput(given.m_z)
    result = jobs.complete(alone, TrueField(), iterations=200)
    np.testing.assert_allclose(result.m[..., 2], m[..., 2], atol=1e-6)
    angle = np.degrees(np.arccos(np.clip((result.m * m).sum(-1), -1, 1))).mean()
    assert angle < 2
    assert round(topological_charge(result.m)) == round(topological_charge(m))


def test_a_texture_is_generated():
    result = jobs.generate((32, 32), TrueField(), iterations=100, seed=1)
    assert energy(result.before, H) > -0.2
    assert energy(result.m, H) < -1.95


def test_a_field_turns_a_labyrinth_into_skyrmions_and_saturates_it(given):
    results = jobs.respond(given, TrueField(), fields=[0.05, 0.15], iterations=500)
    m_z = [result.summary["m_z"] for result in results]
    assert m_z[0] > given.m_z.mean() + 0.1 and m_z[1] > 0.9
    assert [result.external for result in results] == [0.05, 0.15]
    assert results[1].energy[-1] == pytest.approx(
        energy(results[1].m, Hamiltonian(field=0.15)) - 2, abs=1e-3
    )  # the true field with 4 S of this test has 2 J less per site


def test_results_are_written_and_read_back(given, tmp_path):
    result = jobs.infer(given, TrueField.linear)
    files = jobs.write_result(result, tmp_path / "out")
    assert [file.name for file in files] == ["spins.npy", "field.npy", "summary.json", "spins.png"]
    np.testing.assert_allclose(read_spins(files[0]).m, result.m, atol=1e-6)
    summary = json.loads(files[2].read_text())
    assert summary["energy_j"] == [pytest.approx(result.energy[0], abs=1e-6)]
    with Image.open(files[3]) as image:
        assert image.size == (48 * 2 + 8, 48)


def test_the_chirality_is_that_of_the_spins(given, m):
    other = m * np.array([-1, -1, 1], np.float32)
    mirrored, opposite = SpinInput(m[..., 2], other), Hamiltonian(dmi=-0.3)
    function = jobs.with_chirality(TrueField.linear, mirrored)
    result = jobs.infer(mirrored, function)
    np.testing.assert_allclose(result.field, effective_field(other, opposite), atol=1e-5)
    assert result.summary["chirality"] == "opposite"
    assert result.summary["energy_after_j"] == pytest.approx(energy(m, H), abs=1e-5)
    assert jobs.with_chirality(TrueField.linear, given) is TrueField.linear
    alone = SpinInput(given.m_z)
    assert jobs.with_chirality(TrueField.linear, alone) is TrueField.linear
    function = jobs.with_chirality(TrueField(), alone, "opposite")
    completed = jobs.complete(alone, function, iterations=200)
    assert mean_angle(completed.m, other) < 2
    np.testing.assert_allclose(function.linear(other), effective_field(other, opposite), atol=1e-5)
    with pytest.raises(SpinscopeError, match="chirality 'left' must be one of training, opposite"):
        jobs.with_chirality(TrueField(), None, "left")


# inputs


def test_arrays_and_ovf_files_are_read(tmp_path, m):
    np.save(tmp_path / "m.npy", m)
    np.save(tmp_path / "z.npy", m[..., 2])
    write_ovf(tmp_path / "m.ovf", m[None], (1e-9, 1e-9, 1e-9))
    for name in ("m.npy", "m.ovf"):
        np.testing.assert_allclose(read_spins(tmp_path / name).m, m, atol=1e-5)
    assert read_spins(tmp_path / "z.npy").m is None
    np.testing.assert_allclose(read_spins(tmp_path / "z.npy").m_z, m[..., 2], atol=1e-6)


def test_an_image_is_scaled_to_the_pitch_and_mirrored():
    pixels = 200
    x = np.arange(pixels)
    image = np.broadcast_to(0.5 + 0.3 * np.cos(2 * np.pi * x / 40), (160, pixels))
    light = np.linspace(0, 0.2, pixels)  # uneven
    found = image_spins(np.clip(image + light, 0, 1).astype(np.float32), helix_pitch(0.3) / 40)
    height, width = round(160 * 21.56 / 40), round(pixels * 21.56 / 40)
    assert found.shown(found.m_z).shape == (height, width)
    assert found.m_z.shape == (2 * height, 2 * width)
    np.testing.assert_array_equal(found.m_z, found.m_z[::-1, ::-1])
    spectrum = np.abs(np.fft.rfft(found.m_z[0]))
    assert np.argmax(spectrum[1:]) + 1 == round(2 * width / helix_pitch(0.3))
    assert found.m_z.max() == 1 and found.m_z.min() == -1


def test_an_image_of_skyrmions_has_their_charge():
    """Nine dark discs in an image: charge -1 each, whatever the mirror images hold."""
    y, x = np.mgrid[:120, :120]
    distance = np.min(
        [np.hypot(y - 20 - 40 * i, x - 20 - 40 * j) for i in range(3) for j in range(3)], axis=0
    )
    image = np.clip((distance - 6) / 8, 0, 1).astype(np.float32)
    given = image_spins(image, helix_pitch(0.3) / 32)
    result = jobs.complete(given, TrueField(), iterations=60, keep_z=True)
    assert result.summary["sites"] == list(given.shown(given.m_z).shape)
    assert result.summary["charge"] == pytest.approx(-9, abs=0.1)


@pytest.mark.parametrize(
    "array, rule",
    [
        (
            np.full((16, 16, 3), 0.5),
            r"at row 0, column 0 has the length 0.866.*unit vectors",
        ),
        (np.zeros((16, 16, 3)), r"has the length 0; spins must be unit vectors"),
        (np.full((16, 16, 3), np.nan), "contains NaN or infinity; spins must be finite"),
        (np.zeros((16, 16, 2)), r"has the shape \(16, 16, 2\); spins must be \(H, W, 3\)"),
        (np.ones((8, 16, 3)) / 3**0.5, r"has 8×16 sites; each side must have at least 16"),
        (np.full((16, 16), 1.5), r"values span 1.5 to 1.5; z components .* \[-1, 1\]"),
        (np.full((16, 16), np.nan), "z components must be finite"),
        (np.full((16, 16, 3), 3**-0.5 + 0j), "has the type complex128; .* must be real numbers"),
        (np.full((16, 16), "a"), "has the type <U1; its values must be real numbers"),
    ],
)
def test_bad_arrays_are_named(tmp_path, array, rule):
    np.save(tmp_path / "bad.npy", array)
    with pytest.raises(SpinscopeError, match=f"bad.npy:? ?.*{rule}"):
        read_spins(tmp_path / "bad.npy")


def test_an_image_needs_a_scale_and_contrast(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(np.full((64, 64), 100, np.uint8)).save(path)
    for scale in ({}, {"period_px": 10, "sites_per_px": 1}):
        with pytest.raises(SpinscopeError, match="its scale must be given, either --period-px"):
            read_spins(path, **scale)
    with pytest.raises(SpinscopeError, match=r"--period-px \(=-3\) must be above 0"):
        read_spins(path, period_px=-3)
    with pytest.raises(SpinscopeError, match=r"are 6×6 sites; each side must have at least 16"):
        read_spins(path, sites_per_px=0.1)
    with pytest.raises(SpinscopeError, match=r"are 64000×64000 sites; .* at most 4096"):
        read_spins(path, sites_per_px=1000)
    with pytest.raises(SpinscopeError, match="must have contrast"):
        read_spins(path, sites_per_px=1)
    with pytest.raises(SpinscopeError, match="no such file"):
        read_spins(tmp_path / "none.npy")
    (tmp_path / "text.npy").write_text("no array")
    with pytest.raises(SpinscopeError, match=r"text\.npy must be a NumPy array"):
        read_spins(tmp_path / "text.npy")


def test_vectors_of_an_ovf_file_without_a_unit_must_be_unit_vectors(tmp_path, m):
    write_ovf(tmp_path / "half.ovf", 0.5 * m[None], (1e-9, 1e-9, 1e-9))
    with pytest.raises(SpinscopeError, match=r"half.ovf.* has the length 0.5; spins must be unit"):
        read_spins(tmp_path / "half.ovf")
    write_ovf(tmp_path / "ms.ovf", 5e5 * m[None], (1e-9, 1e-9, 1e-9), unit="A/m")
    np.testing.assert_allclose(read_spins(tmp_path / "ms.ovf").m, m, atol=1e-5)


def test_files_of_other_kinds_and_needless_scales_are_refused(tmp_path, m):
    np.savez(tmp_path / "m.npz", m=m)
    with pytest.raises(SpinscopeError, match=r"m\.npz must end in one of \.npy, \.ovf"):
        read_spins(tmp_path / "m.npz")
    np.save(tmp_path / "m.npy", m)
    with pytest.raises(SpinscopeError, match=r"is no image: .* --period-px .* must be left out"):
        read_spins(tmp_path / "m.npy", period_px=8)


@pytest.mark.parametrize(
    "values, rule",
    [
        (np.full((16, 16), np.nan), "must be true and false, or 1 and 0"),
        (np.full((16, 16), 2), "must be true and false, or 1 and 0"),
        (np.full((16, 16), "x"), "has the type <U1"),
    ],
)
def test_a_mask_is_true_and_false(tmp_path, values, rule):
    np.save(tmp_path / "mask.npy", values)
    with pytest.raises(SpinscopeError, match=rf"mask\.npy.*{rule}"):
        read_mask(tmp_path / "mask.npy")
    np.save(tmp_path / "mask.npy", np.eye(16))
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.npy"), np.eye(16) > 0)
    with pytest.raises(SpinscopeError, match="no such file"):
        read_mask(tmp_path / "none.npy")


def test_applications_name_what_they_need(given):
    alone = SpinInput(given.m_z)
    with pytest.raises(SpinscopeError, match=r"infer needs spins .* `complete` infers"):
        jobs.infer(alone, TrueField())
    with pytest.raises(SpinscopeError, match=r"alpha \(=-1\) must be above 0"):
        jobs.denoise(given, TrueField(), alpha=-1.0)
    with pytest.raises(SpinscopeError, match="exactly one of a mask, rows and a square"):
        jobs.repair(given, TrueField())
    with pytest.raises(SpinscopeError, match=r"square \(=60\) must be above 0 and below 48"):
        jobs.repair(given, TrueField(), square=60)
    with pytest.raises(SpinscopeError, match=r"mask has the shape \(4, 4\)"):
        jobs.repair(given, TrueField(), mask=np.ones((4, 4), bool))
    for marked, sites in ((np.ones, 2304), (np.zeros, 0)):
        with pytest.raises(SpinscopeError, match=f"the mask marks {sites} of 2304 sites"):
            jobs.repair(given, TrueField(), mask=marked((48, 48), bool))
    with pytest.raises(SpinscopeError, match=r"alpha \(=inf\) must be above 0 and finite"):
        jobs.denoise(given, TrueField(), alpha=np.inf)
    with pytest.raises(SpinscopeError, match=r"seed \(=-1\) must be at least 0"):
        jobs.generate((16, 16), TrueField(), seed=-1)
    with pytest.raises(SpinscopeError, match="5000×5000 sites; each side must have at most 4096"):
        jobs.generate((5000, 5000), TrueField())
    with pytest.raises(SpinscopeError, match=r"iterations \(=0\) must be at least 1"):
        jobs.respond(given, TrueField(), iterations=0)
    with pytest.raises(SpinscopeError, match=r"temperature \(=nan\) must be at least 0"):
        jobs.respond(given, TrueField(), temperature=np.nan)
    with pytest.raises(SpinscopeError, match="8×8 sites"):
        jobs.generate((8, 8), TrueField())
    with pytest.raises(SpinscopeError, match="at least one field"):
        jobs.respond(given, TrueField(), fields=[])


def test_a_model_of_another_family_is_refused():
    with pytest.raises(SpinscopeError, match="of the family moke-unet; effective fields need"):
        jobs.open_field(load_params(family="field-fcn"), "bundled:moke-unet")
