import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from spinscope.analysis.walls import bubble, creep_fit, dmi_field, steps_of, wall_velocities
from spinscope.errors import SpinscopeError
from spinscope.physics.reversal import creep_velocity

CREEP = {"v0": 4e-3, "alpha": 2.4}


def disc(radius, center=(40.0, 50.0), shape=(80, 100), stretch=1.0):
    y, x = np.ogrid[: shape[0], : shape[1]]
    distance = np.hypot(y - center[0], (x - center[1]) / stretch)
    return np.clip(0.5 + radius - distance, 0, 1)


def test_a_bubble_has_the_radius_and_the_walls_that_were_drawn():
    smooth = gaussian_filter(disc(17.3), 0.7)
    found = bubble(smooth > 0.5, fraction=smooth)
    assert found["radius_px"] == pytest.approx(17.3, abs=0.05)
    assert found["left_px"] == pytest.approx(50 - 17.3, abs=0.1)
    assert found["right_px"] == pytest.approx(50 + 17.3, abs=0.1)
    assert not found["touches_border"]


def test_an_ellipse_has_its_axes_and_direction():
    found = bubble(disc(15, stretch=1.5) > 0.5)
    assert found["major_px"] == pytest.approx(45, abs=0.5)
    assert found["minor_px"] == pytest.approx(30, abs=0.5)
    assert abs(found["orientation_deg"]) == pytest.approx(90, abs=1)


def test_the_bubble_of_the_frame_before_is_followed():
    small, large = disc(8, (40, 20)) > 0.5, disc(20, (40, 70)) > 0.5
    assert bubble(small | large)["x_px"] == pytest.approx(70, abs=0.5)
    assert bubble(small | large, before=small)["x_px"] == pytest.approx(20, abs=0.5)
    assert bubble(np.zeros((20, 20), bool)) is None


def test_steps_end_where_the_field_changes_or_another_bubble_begins():
    field = np.array([0, -4, -4, -4, -6, -6, -6, -6.0])
    area = np.array([np.nan, 10, 12, 14, 20, 26, 5, 9.0])
    assert [step.tolist() for step in steps_of([field], area)] == [[1, 2, 3], [3, 4, 5], [6, 7]]


def test_pulses_move_the_wall_from_the_frame_before():
    pulse, area = np.array([0, -4, -4, -4.0]), np.array([10, 12, 14, 16.0])
    assert [step.tolist() for step in steps_of([pulse], area, pulsed=True)] == [[0, 1, 2, 3]]


def test_velocities_lie_within_their_errors():
    inside, fields = [], np.repeat([-4e-3, -6e-3, -9e-3], 6)
    for seed in range(60):
        rng, time = np.random.default_rng(seed), np.arange(18.0)
        true = creep_velocity(fields, **CREEP) * 1e6
        position = np.cumsum(true) + rng.normal(0, 0.05, 18)
        steps = steps_of([fields], np.exp(position))
        velocity, sd = wall_velocities(time, position, steps)
        inside += (np.abs(velocity - true[::6]) < 1.645 * sd).tolist()
    assert 0.85 < np.mean(inside) < 0.96


def creeping(rng, n=7):
    field = np.linspace(4.0, 9.0, n)
    true = creep_velocity(field * 1e-3, **CREEP) * 1e6
    return field, true * (1 + rng.normal(0, 0.02, n)), 0.02 * true


def test_the_creep_law_is_recovered_with_given_and_with_free_exponent():
    found = creep_fit(*creeping(np.random.default_rng(1)))
    alpha = CREEP["alpha"] * 1e3**0.25
    assert found["alpha"] == pytest.approx(alpha, abs=3 * found["alpha_sd"])
    assert found["alpha_sd"] < 0.05 * alpha
    assert found["ln_v0"] == pytest.approx(np.log(4000), abs=3 * found["ln_v0_sd"])
    free = creep_fit(*creeping(np.random.default_rng(1)), exponent=None)
    assert free["exponent"] == pytest.approx(0.25, abs=3 * free["exponent_sd"])
    field, _, sd = creeping(np.random.default_rng(1))
    v = creep_velocity(field * 1e-3, **CREEP) * 1e6
    true = creep_fit(field, v, sd * 1e-3, exponent=None)
    assert true["exponent"] == pytest.approx(0.25, abs=1e-3)
    assert true["alpha"] == pytest.approx(alpha, rel=1e-2)


def test_errors_of_the_creep_law_are_those_of_repetitions():
    alpha, inside = CREEP["alpha"] * 1e3**0.25, []
    for seed in range(80):
        found = creep_fit(*creeping(np.random.default_rng(seed)))
        inside.append(abs(found["alpha"] - alpha) < 1.645 * found["alpha_sd"])
    assert 0.82 <= np.mean(inside) <= 1


def test_a_creep_law_needs_two_fields():
    with pytest.raises(SpinscopeError, match="2 different fields; there are 1"):
        creep_fit(np.full(3, 4.0), np.ones(3), np.full(3, 0.01))


def sides(rng, dmi=60e-3):
    hx = np.linspace(-150e-3, 150e-3, 9)
    known = CREEP | {"dmi_field": dmi, "saturation": 0.4}
    right, left = (creep_velocity(-7e-3, in_plane=sign * hx, **known) * 1e6 for sign in (1, -1))
    errors = [0.01 * side for side in (left, right)]
    left, right = (v * (1 + rng.normal(0, 0.01, len(hx))) for v in (left, right))
    return hx * 1e3, left, right, *errors


@pytest.mark.parametrize("dmi", [60e-3, -40e-3, 0.0])
def test_the_field_of_the_dmi_is_recovered_with_its_sign(dmi):
    found = dmi_field(*sides(np.random.default_rng(2), dmi))
    assert found["dmi_field"] == pytest.approx(dmi * 1e3, abs=3 * found["dmi_field_sd"])
    assert found["dmi_field_sd"] < 5


def test_walls_without_a_minimum_have_no_field_of_the_dmi():
    hx = np.linspace(-50, 50, 6)
    v = np.exp(0.01 * hx)
    with pytest.raises(SpinscopeError, match="no minimum"):
        dmi_field(hx, 1 / v, v, 0.01 / v, 0.01 * v)
