"""OVF files: every form is read as it was written, and damage is an error."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spinscope.corpora.ovf import Ovf, film_of, read_ovf, write_ovf
from spinscope.errors import SpinscopeError

FORMS = [(version, form) for version in (1, 2) for form in ("text", "binary4", "binary8")]
CELL = (27.5e-9, 3e-9, 3e-9)


def field(shape=(2, 3, 4), seed=0):
    m = np.random.default_rng(seed).normal(size=(*shape, 3))
    return (m / np.linalg.norm(m, axis=-1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="session")
def mumax_file():
    """File of mumax3 in a folder beside the real Kerr images, named by SPINSCOPE_MOKE."""
    path = Path(os.environ.get("SPINSCOPE_MOKE", ".")).parent / "ovf" / "example_mumax.ovf"
    if not path.is_file():
        pytest.skip("no OVF file of mumax3 beside the folder that SPINSCOPE_MOKE names")
    return path


def written(tmp_path, version=2, form="binary4", m=None, **more):
    path = tmp_path / "m.ovf"
    return write_ovf(path, field() if m is None else m, CELL, version=version, form=form, **more)


def damaged(path, old, new, count=1):
    """Replace bytes of a file."""
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, count))
    return path


@pytest.mark.parametrize(("version", "form"), FORMS)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    m=hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.just(3)),
        elements=st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False),
    ),
    cell=st.tuples(*[st.floats(1e-12, 1e-3)] * 3),
    title=st.sampled_from(["m", "m of a film", "Magnetisierung für später"]),
    unit=st.sampled_from(["", "A/m", "kA/m"]),
)
def test_round_trip(tmp_path, version, form, m, cell, title, unit):
    path = tmp_path / "m.ovf"
    desc = ("Time (s) : 0", "seed 3")
    write_ovf(path, m, cell, version=version, form=form, title=title, unit=unit, desc=desc)
    read = read_ovf(path)
    assert read.m.dtype == np.float32
    np.testing.assert_array_equal(read.m, m)
    np.testing.assert_array_equal(read.outside, (m == 0).all(axis=-1))
    assert (read.cell, read.unit, read.title, read.desc) == (cell, unit, title, desc)
    assert (read.version, read.form) == (version, form)


@pytest.mark.parametrize(("version", "form"), FORMS)
def test_bytes_follow_the_standard_and_are_the_same_each_time(tmp_path, version, form):
    m = field()
    data = written(tmp_path, version, form, m).read_bytes()
    assert written(tmp_path, version, form, m.copy()).read_bytes() == data
    head, _, rest = data.partition(b"# Begin: Data ")
    first = b"# OOMMF: rectangular mesh v1.0\n" if version == 1 else b"# OOMMF OVF 2.0\n"
    assert head.startswith(first)
    assert b"# xnodes: 4\n# ynodes: 3\n# znodes: 2\n" in head
    assert b"# xbase: 1.5e-09\n" in head
    kind = {"text": b"Text", "binary4": b"Binary 4", "binary8": b"Binary 8"}[form]
    end = b"\n# End: Data " + kind + b"\n# End: Segment\n"
    assert rest.startswith(kind + b"\n")
    assert rest.endswith(end)
    body = rest[len(kind) + 1 : -len(end)]
    if form == "text":
        numbers = [float(word) for word in body.split()]
    else:
        check = {
            (1, "binary4"): "4996b438",
            (2, "binary4"): "38b49649",
            (1, "binary8"): "42dc12218377de40",
            (2, "binary8"): "40de77832112dc42",
        }[version, form]
        assert body[: len(check) // 2].hex() == check
        code = {"binary4": "f", "binary8": "d"}[form]
        numbers = struct.unpack(f"{'>' if version == 1 else '<'}73{code}", body)[1:]
    # x runs fastest, then y, then z; a node's components stand together.
    assert numbers[3 * (4 * (3 * 1 + 2) + 1) + 2] == pytest.approx(m[1, 2, 1, 2], rel=1e-8)


def test_eight_bytes_keep_double_precision(tmp_path):
    m = np.full((1, 1, 1, 3), 1 / 3)
    data = written(tmp_path, 2, "binary8", m).read_bytes()
    assert struct.pack("<d", 1 / 3) in data


def test_files_of_other_programs_are_understood(tmp_path):
    """Any case and spacing of keys, comments, Windows line ends, no line end after binary data."""
    m = field((1, 2, 2))
    values = "\r\n".join("\t".join(map(repr, row.tolist())) for row in m.reshape(-1, 3))
    head = (
        "# OOMMF: rectangular mesh v1.00\r\n#\r\n## File: a comment\r\n## File: another\r\n"
        "# Segment count: 1 ## of one\r\n# Begin: Segment\r\n# BEGIN: Header\r\n"
        "# TITLE: a: b\r\n# MeshType: Rectangular\r\n# meshunit: nm\r\n"
        "#X Nodes:2\r\n# YNODES: 2\r\n# znodes: 1\r\n# XStepSize: 5\r\n# ystepsize: 4.0\r\n"
        "# zstepsize: 1e1\r\n# valueunit: kA/m\r\n# valuemultiplier: 2.5\r\n# End: Header\r\n"
    )
    path = tmp_path / "other.ovf"
    end = "\r\n# END: data text\r\n# End: Segment\r\n"
    path.write_bytes(f"{head}# Begin: data TEXT\r\n# a comment\r\n{values}{end}".encode())
    read = read_ovf(path)
    np.testing.assert_allclose(read.m, 2.5 * m, rtol=1e-6)
    assert read.cell == pytest.approx((10e-9, 4e-9, 5e-9))
    assert (read.unit, read.title) == ("kA/m", "a: b")
    binary = struct.pack(">f", 1234567.0) + m.astype(">f4").tobytes()
    for gap in ("", "\n", "\r\n"):
        begin = f"{head}# Begin: data binary   4\r\n".encode()
        path.write_bytes(begin + binary + f"{gap}# End: data binary 4\n".encode())
        np.testing.assert_allclose(read_ovf(path).m, 2.5 * m, rtol=1e-6)


def test_units_of_the_values_are_a_list(tmp_path):
    path = written(tmp_path, unit="A/m")
    listed = b"valueunits: A/m A/m A/m"
    for units, unit in [
        (b"A/m", "A/m"),
        (b'{A/m} "A/m" A/m', "A/m"),
        (b"1 1 1", ""),
        (b"None {} 1", ""),
        (b"", ""),
    ]:
        new = b"valueunits: " + units
        assert read_ovf(damaged(path, listed, new)).unit == unit
        listed = new


def test_lengths_of_known_units_become_metres(tmp_path):
    path = written(tmp_path, form="text")
    old = b"meshunit: m"
    for unit, metres in [("nm", 1e-9), ("um", 1e-6), ("µm", 1e-6), ("mm", 1e-3)]:
        new = f"meshunit: {unit}".encode()
        assert read_ovf(damaged(path, old, new)).cell == pytest.approx(np.array(CELL) * metres)
        old = new


def test_the_number_of_nodes_must_match_the_header(tmp_path):
    for version, form in FORMS:
        for old, new, said in [(b"ynodes: 3", b"ynodes: 4", 32), (b"znodes: 2", b"znodes: 1", 12)]:
            path = damaged(written(tmp_path, version, form), old, new)
            with pytest.raises(SpinscopeError, match=f"holds 24 nodes; its header promises {said}"):
                read_ovf(path)
    path = damaged(written(tmp_path, form="text"), b"# End: Data", b"1 2\n# End: Data")
    with pytest.raises(
        SpinscopeError, match="24 nodes and 2 single values; its header promises 24"
    ):
        read_ovf(path)


@pytest.mark.parametrize("form", ["text", "binary4", "binary8"])
def test_a_huge_number_of_nodes_allocates_no_memory(tmp_path, form):
    path = damaged(written(tmp_path, form=form), b"xnodes: 4", b"xnodes: 20000000")
    with pytest.raises(SpinscopeError, match="holds 24 nodes; its header promises 120000000"):
        read_ovf(path)
    damaged(path, b"xnodes: 20000000", b"xnodes: 99999999999999")
    with pytest.raises(SpinscopeError, match="99999999999999x3x2 nodes; at most"):
        read_ovf(path)
    damaged(path, b"xnodes: 99999999999999", b"xnodes: " + b"9" * 5000)
    with pytest.raises(SpinscopeError, match="must be a positive whole number"):
        read_ovf(path)


@pytest.mark.parametrize(("version", "form"), FORMS)
def test_a_truncated_file_is_an_error_at_any_length(tmp_path, version, form):
    path = written(tmp_path, version, form)
    data = path.read_bytes()
    end = data.index(b"# End: Data")
    for length in [*range(0, end, 13), *range(end - 20, end + 10)]:
        path.write_bytes(data[:length])
        with pytest.raises(SpinscopeError, match=r"cut off|not an OVF file|begins with"):
            read_ovf(path)


def test_cells_that_are_not_finite_are_errors(tmp_path):
    for bad in (np.nan, np.inf):
        m = field()
        m[1, 2, 3, 0] = bad
        m[1, 2, 1, 2] = bad
        path = tmp_path / "m.ovf"
        with pytest.raises(SpinscopeError, match="2 cells are NaN, infinite"):
            write_ovf(path, m, CELL)
        assert not list(tmp_path.iterdir())
    path = written(tmp_path, form="binary4", m=np.full((2, 3, 4, 3), 0.5))
    bytes_of_x = struct.pack("<f", 0.5)
    data = path.read_bytes()
    at = data.index(b"Data Binary 4\n") + 14 + 4 + 3 * 4 * 17
    assert data[at : at + 4] == bytes_of_x
    path.write_bytes(data[:at] + struct.pack("<f", np.nan) + data[at + 4 :])
    with pytest.raises(SpinscopeError, match=r"1 cells are NaN.* the first at x 1, y 1, z 1"):
        read_ovf(path)
    for word in (b"nan", b"-inf", b"1e39"):
        path = written(tmp_path, form="text", m=np.full((1, 1, 2, 3), 0.5))
        with pytest.raises(SpinscopeError, match="the first at x 0, y 0, z 0"):
            read_ovf(damaged(path, b"0.5", word))
    with pytest.raises(SpinscopeError, match="beyond float32"):
        read_ovf(written(tmp_path, form="binary8", m=np.full((1, 1, 1, 3), 1e39)))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"# OOMMF OVF 2.0", b"# OOMMF: irregular mesh v1.0", "irregular mesh"),
        (b"# OOMMF OVF 2.0", b"# OOMMF OVF 3.0", "begins with '# OOMMF OVF 3.0'"),
        (b"# OOMMF OVF 2.0", b"x y z", "is not an OVF file"),
        (b"# OOMMF OVF 2.0", b"\x89PNG", "is not an OVF file"),
        (b"meshtype: rectangular", b"meshtype: irregular", "irregular mesh"),
        (b"Segment count: 1", b"Segment count: 2", "2 segments"),
        (b"meshunit: m", b"meshunit: px", r"in px \(meshunit\)"),
        (b"# meshunit: m\n", b"", r"in no unit \(meshunit\)"),
        (b"valuedim: 3", b"valuedim: 1", r"1 values a node \(valuedim\); must be 3"),
        (b"# valuedim: 3\n", b"", "has no valuedim"),
        (b"valueunits: A/m A/m A/m", b"valueunits: A/m A/m T", r"mixed \(A/m, A/m, T\)"),
        (b"valueunits: A/m A/m A/m", b"valueunits: A/m 1 1", r"mixed \(A/m, none, none\)"),
        (b"valueunits: A/m A/m A/m", b"valueunits: A/m T", "names 2 units"),
        (b"# valuedim", b"# valueunit: T\n# valuedim", "mixed"),
        (b"ynodes: 3", b"ynodes: 0", r"ynodes \(='0'\) must be a positive whole number"),
        (b"ynodes: 3", b"ynodes: -3", "positive whole number"),
        (b"ynodes: 3", b"ynodes: 3.5", "positive whole number"),
        (b"# ynodes: 3\n", b"", "has no ynodes"),
        (b"# ynodes: 3\n", b"# ynodes: 3\n# ynodes: 4\n", "ynodes twice"),
        (b"xstepsize: 3e-09", b"xstepsize: 0", r"xstepsize \(=0\) must be positive"),
        (b"xstepsize: 3e-09", b"xstepsize: -3e-9", "must be positive"),
        (b"xstepsize: 3e-09", b"xstepsize: nan", "must be a finite number"),
        (b"xstepsize: 3e-09", b"xstepsize: three", "must be a finite number"),
        (b"# xstepsize: 3e-09\n", b"", "has no xstepsize"),
        (b"# valuedim", b"# valuemultiplier: 0\n# valuedim", "valuemultiplier"),
        (b"Begin: Data Binary 4", b"Begin: Data Binary 2", "'binary2'; must be text, binary 4"),
        (b"\x38\xb4\x96\x49", b"\x38\xb4\x96\x48", "check value before the data is .* damaged"),
        (b"\x38\xb4\x96\x49", b"\x49\x96\xb4\x38", "OVF 2.0 is little-endian"),
        (b"# OOMMF OVF 2.0", b"# OOMMF: rectangular mesh v1.0", "OVF 1.0 is big-endian"),
    ],
)
def test_a_bad_header_is_one_sentence(tmp_path, old, new, message):
    path = damaged(written(tmp_path, unit="A/m"), old, new)
    with pytest.raises(SpinscopeError, match=message) as error:
        read_ovf(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_word_among_the_numbers_is_an_error(tmp_path):
    path = damaged(written(tmp_path, form="text", m=np.full((1, 2, 2, 3), 0.5)), b"0.5\n", b"x\n")
    with pytest.raises(SpinscopeError, match=r"value 3 of node 1 \(='x'\) must be a number"):
        read_ovf(path)


def test_other_files_are_errors(tmp_path):
    with pytest.raises(SpinscopeError, match="no such file"):
        read_ovf(tmp_path / "none.ovf")
    with pytest.raises(SpinscopeError, match="no such file"):
        read_ovf(tmp_path)
    (tmp_path / "empty.ovf").touch()
    with pytest.raises(SpinscopeError, match="not an OVF file"):
        read_ovf(tmp_path / "empty.ovf")
    (tmp_path / "endless.ovf").write_bytes(b"# OOMMF OVF 2.0\n" + b"# Desc: a\n" * 200000)
    with pytest.raises(SpinscopeError, match="no data block in its first"):
        read_ovf(tmp_path / "endless.ovf")


@pytest.mark.parametrize(("version", "form"), FORMS)
def test_damage_is_an_error_or_a_finite_field(tmp_path, version, form):
    """Reading any bytes raises SpinscopeError or gives a finite field of the header's size."""
    path = written(tmp_path, version, form)
    data = path.read_bytes()
    rng = np.random.default_rng(version)
    refused = 0
    for _ in range(200):
        bad = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            at, value = int(rng.integers(len(bad))), int(rng.integers(256))
            if rng.random() < 0.5:
                bad[at] = value
            else:
                del bad[at]
        path.write_bytes(bytes(bad))
        try:
            read = read_ovf(path)
        except SpinscopeError:
            refused += 1
            continue
        assert np.isfinite(read.m).all()
        assert min(read.cell) > 0
    assert refused > 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"m": np.ones((2, 3))}, r"shape \(2, 3\)"),
        ({"m": np.ones((1, 2, 2, 2))}, r"must be \(Z, H, W, 3\) or"),
        ({"m": np.ones((1, 2, 2, 1)), "version": 1}, r"must be \(Z, H, W, 3\)$"),
        ({"m": np.ones((1, 0, 2, 3))}, r"shape \(1, 0, 2, 3\)"),
        ({"m": np.ones((1, 2, 2, 3), complex)}, "complex128 must be real"),
        ({"m": np.full((1, 1, 1, 3), 1e39)}, "beyond float32"),
        ({"cell": (1e-9, 0, 1e-9)}, "three positive lengths"),
        ({"cell": (1e-9, np.nan, 1e-9)}, "three positive lengths"),
        ({"cell": (1e-9, 1e-9)}, "three positive lengths"),
        ({"version": 3}, r"version \(=3\)"),
        ({"form": "binary"}, "form"),
        ({"title": "a\n# xnodes: 9"}, "one line"),
        ({"title": "a ## b"}, "one line"),
        ({"desc": ["a\rb"]}, "one line"),
        ({"unit": "A / m"}, "one word"),
    ],
)
def test_a_field_that_cannot_be_written_leaves_the_file_unchanged(tmp_path, change, message):
    path = tmp_path / "m.ovf"
    path.write_text("before")
    arguments = {"m": field(), "cell": CELL} | change
    with pytest.raises(SpinscopeError, match=message):
        write_ovf(path, **arguments)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["before"]


def test_a_map_of_regions_has_one_value_per_node(tmp_path):
    regions = np.arange(256, dtype=np.uint8).reshape(16, 16)
    path = write_ovf(tmp_path / "r.ovf", regions[..., np.newaxis], CELL, title="regions")
    assert b"# valuedim: 1\n# valuelabels: regions\n# valueunits: 1\n" in path.read_bytes()
    np.testing.assert_array_equal(read_ovf(path, components=1).m[0, ..., 0], regions)
    with pytest.raises(SpinscopeError, match="1 values a node"):
        read_ovf(path)


def test_film_of_one_layer():
    m = field((1, 5, 7))
    m[0, 1, 2] = 0
    film = film_of(Ovf(4 * m, CELL))
    np.testing.assert_allclose(film.m, m[0], atol=1e-6)
    assert film.m.dtype == np.float32
    assert np.argwhere(film.outside).tolist() == [[1, 2]]
    assert (film.cell, film.thickness, film.ms) == (3e-9, 27.5e-9, None)


def test_film_of_layers_keeps_the_moment_of_a_column():
    m = np.zeros((4, 2, 2, 3), np.float32)
    m[:, 0, 0] = (0, 0, 250)
    m[:2, 0, 1] = (100, 0, 0)
    m[:2, 1, 0] = (200, 0, 0)
    m[2:, 1, 0] = (0, 200, 0)
    film = film_of(Ovf(m, CELL, unit="kA/m"))
    np.testing.assert_allclose(film.m[0], [(0, 0, 1), (1, 0, 0)])
    np.testing.assert_allclose(film.m[1], [(0.5, 0.5, 0), (0, 0, 0)])
    np.testing.assert_allclose(film.ms, [(250e3, 50e3), (200e3, 0)])
    assert film.outside.tolist() == [[False, False], [False, True]]
    assert film.thickness == pytest.approx(110e-9)
    thickness_integrated = m.sum(axis=0) * 1e3 * CELL[0]
    np.testing.assert_allclose(
        film.m * film.ms[..., None] * film.thickness, thickness_integrated, rtol=1e-6
    )


def test_fields_that_are_no_film_are_errors():
    m = field()
    with pytest.raises(SpinscopeError, match=r"a\.ovf: cells are 3x4 nm .* must be square"):
        film_of(Ovf(m, (1e-9, 4e-9, 3e-9), name="a.ovf"))
    with pytest.raises(SpinscopeError, match="values are in T"):
        film_of(Ovf(m, CELL, unit="T"))
    with pytest.raises(SpinscopeError, match="every vector is zero"):
        film_of(Ovf(np.zeros_like(m), CELL))


def test_a_real_file_of_mumax3(mumax_file, tmp_path):
    ovf = read_ovf(mumax_file)
    assert ovf.m.shape == (1, 500, 500, 3)
    assert (ovf.version, ovf.form, ovf.unit, ovf.title) == (1, "text", "", "m")
    assert ovf.cell == (5e-9, 5e-9, 5e-9)
    assert ovf.desc == ("Time (s) :  0",)
    film = film_of(ovf)
    assert film.thickness == 5e-9
    np.testing.assert_array_equal(film.outside, ovf.outside[0])
    # A device within its grid: corners are empty, what there is has unit vectors.
    assert film.outside[[0, 0, -1, -1], [0, -1, 0, -1]].all()
    lengths = np.linalg.norm(film.m, axis=-1)
    np.testing.assert_allclose(lengths[~film.outside], 1, atol=1e-5)
    for version, form in FORMS:
        again = write_ovf(tmp_path / "m.ovf", ovf.m, ovf.cell, version=version, form=form)
        np.testing.assert_array_equal(read_ovf(again).m, ovf.m)
