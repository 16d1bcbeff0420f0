"""A part is declared once: its verb, its flow and its functions follow from the declaration."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from spinscope import cli
from spinscope.config import load_params
from spinscope.errors import SpinscopeError
from spinscope.studies import PARTS
from spinscope.studies.base import MODELS, WORKERS, Job, Option, Part, Stage


@pytest.fixture
def part(monkeypatch) -> Part:
    """A part of two units whose module notes what it is asked for."""
    module = ModuleType("a_part")
    module.asked = []

    def square(job, unit):
        module.asked.append(unit)
        return unit**2

    module.STAGES = (
        Stage("square", square, lambda job: range(job.options["workers"])),
        Stage("skipped", square, lambda job: ["never"], in_report=True),
    )
    module.report = lambda job: {"track": job.track, "out": str(job.out)}
    module.lines = lambda report: [str(report)]
    monkeypatch.setitem(sys.modules, "a_part", module)
    given = {"out": "squares", "family": "moke-unet", "options": (WORKERS,)}
    return Part("squares", "Square.", "a_part", flow="squares", **given)


def test_a_part_runs_its_stages_before_its_report(part, tmp_path):
    params = load_params(family="moke-unet")
    assert part(params, tmp_path, workers=3) == {"track": False, "out": str(tmp_path)}
    assert sys.modules["a_part"].asked == [0, 1, 2]
    assert part(params, track=True)["out"].endswith("build/squares")


@pytest.mark.parametrize("workers", [1, 2])
def test_units_come_in_order_from_other_processes(workers, tmp_path):
    stage = Stage("raise", partial(pow_of, 2), lambda job: [3, 1, 2], isolated=True)
    job = Job(load_params(family="moke-unet"), tmp_path)
    assert stage.run_all(job, workers) == [8, 2, 4]
    assert stage.run_one(job, 5) == 32


def pow_of(base: int, job: Job, unit: int) -> int:
    return base**unit


def test_values_of_a_flow_are_parsed():
    assert MODELS.parse("a=x, b") == ["a=x", "b"]
    assert Option("films", "Films.", Path).parse("build/films") == Path("build/films")
    assert Option("n", "Films.", int, minimum=1).parse("") is None
    assert Option("models", "Models.", list[str]).parse(" , ") is None
    assert WORKERS.parse("2") == 2
    final = Option("final", "Final.", bool, False)
    assert [final.parse(value) for value in ("yes", True, "false", "")] == [
        True,
        True,
        False,
        False,
    ]
    for value in ("two", "0", "-1"):
        with pytest.raises(SpinscopeError, match=rf"--workers \(={value}\) must be a whole number"):
            WORKERS.parse(value)
    with pytest.raises(SpinscopeError, match="--models must name at least one model"):
        MODELS.parse(" , ")


def test_every_part_has_a_module_with_report_and_lines():
    for one in PARTS.values():
        module = one.load()
        assert callable(module.report) and callable(module.lines), one.name
    assert len({one.flow for one in PARTS.values()}) == len(PARTS)


def test_a_former_flag_works_with_a_hint(monkeypatch, capsys, tmp_path):
    from spinscope.studies.lorentz import study

    options = {}
    monkeypatch.setattr(study, "report", lambda job: options.update(job.options) or {"rows": []})
    words = ["study", "ltem", "--model", "a", "--zoom", "2.5", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["spinscope", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    assert options["scale"] == 2.5
    assert "hint: --zoom is now --scale" in capsys.readouterr().err
