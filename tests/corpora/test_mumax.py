"""Scripts of mumax3: a small parser recovers the film."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from spinscope.corpora.mumax import Grains, grains_of, mx3_script, write_mx3
from spinscope.corpora.ovf import read_ovf
from spinscope.errors import SpinscopeError
from spinscope.physics.film import Film, Material

MATERIAL = Material(ms=2.3e5, a_ex=1.37e-11, dmi=1.13e-3, b_ext=0.4, cell=3e-9, thickness=27.5e-9)


def statements(script):
    """Arguments of each call and assignment, by name in lower case."""
    said = {}
    for line in script.splitlines():
        code = line.split("//")[0].strip()
        if found := re.fullmatch(r"([\w.]+)\((.*)\)", code):
            said.setdefault(found[1].lower(), []).append(arguments(found[2]))
        elif found := re.fullmatch(r"(\w+) = (?:vector\((.*)\)|(\w+)\((.*)\)|(\S+))", code):
            value = found[5] and float(found[5])
            said[found[1].lower()] = (
                arguments(found[2])
                if found[2]
                else (found[3], *arguments(found[4]))
                if found[3]
                else value
            )
        else:
            assert re.fullmatch(r"(for .*\{|\}|)", code), code
    return said


def arguments(text):
    return tuple(
        json.loads(part) if part.strip()[:1] in '"0123456789-' else part.strip()
        for part in text.split(",")
        if part.strip()
    )


def grained(seed=0, height=12, width=20):
    rng = np.random.default_rng(seed)
    grain = rng.integers(0, 6, (height, width)).astype(np.uint8)
    grain[grain == 3] = 4  # a grain that no cell is in
    ms = (2.3e5 * rng.uniform(0.75, 1.25, 6)).astype(np.float32)
    m = np.zeros((height, width, 3), np.float32)
    m[..., 2] = 1
    return Film(m, MATERIAL, ms=ms[grain], grain=grain)


def test_a_uniform_film_is_recovered():
    script = mx3_script(MATERIAL, (128, 256), seed=7)
    said = statements(script)
    assert said["setgridsize"] == [(256, 128, 1)]
    assert said["setcellsize"] == [(3e-9, 3e-9, 27.5e-9)]
    assert said["setpbc"] == [(2, 2, 0)]
    assert said["b_ext"] == (0, 0, 0.4)
    assert said["randseed"] == [(7,)]
    assert said["m"] == ("RandomMagSeed", 7)
    assert said["saveas"] == [("m_full", "m_full")]
    back = Material(
        ms=said["msat"],
        a_ex=said["aex"],
        dmi=said["dind"],
        ku=said.get("ku1", 0.0),
        b_ext=said["b_ext"][2],
        cell=said["setcellsize"][0][0],
        thickness=said["setcellsize"][0][2],
    )
    assert back == MATERIAL
    assert not {"anisu", "dbulk", "ext_makegrains", "ext_scaleexchange"} & said.keys()
    assert script.index("relax()") < script.index("saveas(")
    assert script == mx3_script(MATERIAL, (128, 256), seed=7)


def test_anisotropy_has_its_axis_and_bulk_dmi_its_name():
    said = statements(mx3_script(replace(MATERIAL, ku=1.5e6, dmi_kind="bulk"), (4, 4), seed=0))
    assert (said["ku1"], said["anisu"]) == (1.5e6, (0, 0, 1))
    assert said["dbulk"] == 1.13e-3
    assert "dind" not in said


def test_grains_that_mumax_draws():
    grains = Grains((2e5, 2.5e5, 2.9e5), exchange=0.8, size=300e-9)
    said = statements(mx3_script(MATERIAL, (64, 64), seed=5, grains=grains, images=4))
    assert said["ext_makegrains"] == [(300e-9, 3, 5)]
    assert said["msat.setregion"] == [(0, 2e5), (1, 2.5e5), (2, 2.9e5)]
    assert said["ext_scaleexchange"] == [("i", "j", 0.8)]
    assert said["setpbc"] == [(4, 4, 0)]
    same = replace(grains, exchange=1.0)
    assert "ext_scaleexchange" not in statements(
        mx3_script(MATERIAL, (64, 64), seed=5, grains=same)
    )


def test_a_film_with_grains_is_recovered_from_its_files(tmp_path):
    film = grained()
    start = np.random.default_rng(1).normal(size=film.m.shape).astype(np.float32)
    paths = write_mx3(tmp_path / "film 7.mx3", film, seed=7, start=start)
    assert [path.name for path in paths] == [
        "film 7.regions.ovf",
        "film 7.start.ovf",
        "film 7.mx3",
    ]
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    script = paths[-1].read_text()
    said = statements(script)
    (regions,) = said["regions.loadfile"][0]
    read = read_ovf(tmp_path / regions, components=1)
    np.testing.assert_array_equal(read.m[0, ..., 0], film.grain)
    assert read.cell == (27.5e-9, 3e-9, 3e-9)
    ms = np.zeros(256)
    for region, value in said["msat.setregion"]:
        ms[region] = value
    np.testing.assert_array_equal(ms[read.m[0, ..., 0].astype(int)], film.ms)
    np.testing.assert_array_equal(read_ovf(tmp_path / said["m.loadfile"][0][0]).m[0], start)
    assert "m" not in said
    assert said["saveas"] == [("m_full", "film 7")]
    # Regions need a grid to lie on, and their own Ms comes after that of all.
    order = ["SetGridSize", "SetPBC", "Msat =", "regions.LoadFile", "Msat.SetRegion", "relax"]
    assert sorted(order, key=script.index) == order
    assert f"for i := 0; i < {film.grain.max() + 1}; i++ {{" in script


def test_a_uniform_film_needs_no_other_file(tmp_path):
    film = Film(grained().m, MATERIAL)
    assert write_mx3(tmp_path / "a.mx3", film, seed=0) == [tmp_path / "a.mx3"]
    assert grains_of(film, "regions.ovf") is None
    same = replace(film, ms=np.full(film.shape, 2.3e5, np.float32))
    assert grains_of(same, "regions.ovf") is None
    one_ms = grains_of(replace(grained(), ms=None), "regions.ovf")
    assert one_ms.ms == (2.3e5,) * 6


def test_films_that_mumax_cannot_represent_are_errors(tmp_path):
    film = grained()
    uneven = film.ms.copy()
    uneven[np.argwhere(film.grain == 2)[0][0]] = 1e5
    with pytest.raises(SpinscopeError, match=r"Ms of grain \d varies from 100000 to"):
        write_mx3(tmp_path / "a.mx3", replace(film, ms=uneven), seed=0)
    with pytest.raises(SpinscopeError, match="Ms varies though it has no grains"):
        write_mx3(tmp_path / "a.mx3", replace(film, grain=None), seed=0)
    with pytest.raises(SpinscopeError, match="start has shape"):
        write_mx3(tmp_path / "a.mx3", film, seed=0, start=film.m[:-1])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ms": ()}, "0 regions"),
        ({"ms": (1e5,) * 257}, "257 regions; mumax3 can tell 1 to 256"),
        ({"ms": (1e5, -1.0)}, "Ms of region 1"),
        ({"ms": (float("nan"),)}, "Ms of region 0"),
        ({"exchange": -0.1}, "exchange"),
        ({"size": 3e-7}, "exactly one of regions and size"),
        ({"regions": None}, "exactly one of regions and size"),
        ({"regions": None, "size": 0.0}, "positive length"),
    ],
)
def test_bad_grains_are_errors(change, message):
    with pytest.raises(SpinscopeError, match=message):
        Grains(**({"ms": (1e5,), "regions": "r.ovf"} | change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": -1}, r"seed \(=-1\)"),
        ({"seed": 1.5}, r"seed \(=1.5\)"),
        ({"images": -1}, "images"),
        ({"shape": (0, 4)}, r"height \(=0\)"),
        ({"start": "a\nb.ovf"}, "must be printable"),
    ],
)
def test_bad_scripts_are_errors(change, message):
    given = {"shape": (4, 4), "seed": 0} | change
    with pytest.raises(SpinscopeError, match=message):
        mx3_script(MATERIAL, **given)
