"""The nightly flows: what they call, and the messages about runs that fail or are killed."""

from __future__ import annotations

import importlib

import pytest

from spinscope.errors import SpinscopeError
from spinscope.reviews.due import Due


@pytest.fixture
def messages(receiver, monkeypatch) -> list[dict]:
    monkeypatch.setenv("SPINSCOPE_NOTIFY_URL", receiver[0])
    return receiver[1]


def test_a_failed_nightly_run_sends_a_message(prefect, messages):
    nightly = importlib.import_module("nightly").nightly
    with pytest.raises(SpinscopeError, match=r"flows\.nightly_folder must name"):
        nightly(profile="demo")
    (message,) = messages
    assert message["event"] == "failure"
    assert message["text"].startswith("nightly (models:/moke-unet@lab): ")
    assert "flows.nightly_folder must name the folder" in message["text"]


def test_the_nightly_flow_uses_the_folder_of_the_settings(prefect, monkeypatch, tmp_path, messages):
    module, calls = importlib.import_module("nightly"), []
    night = {"night": "2026-11-28", "summary": "Intake: 1 new recordings",
             "recordings": [{"file": "a.tif", "valid": True, "sentence": "out of range: blur"}],
             "out_of_range": ["blur"], "failures": []}  # fmt: skip
    monkeypatch.setattr(module.jobs, "family_of", lambda *_: "moke-unet")
    monkeypatch.setattr(module.jobs, "nightly_check", lambda *given: calls.append(given) or night)
    answer = module.nightly(
        model="models:/a@lab",
        profile="demo",
        out=tmp_path,
        overrides=[f"flows.nightly_folder={tmp_path / 'inbox'}"],
    )
    assert answer == night
    ((params, folder, model, out),) = calls
    assert (params.family, folder, model, out) == (
        "moke-unet", tmp_path / "inbox", "models:/a@lab", tmp_path,
    )  # fmt: skip
    assert "| a.tif | yes | out of range: blur |" in module.markdown(night)
    assert messages == []


@pytest.mark.parametrize(
    ("found", "events", "retrained"),
    [
        (Due(1, 1, ()), [], False),
        (Due(0, 3, ("3 nights in a row were out of range",)), ["drift"], False),
        (Due(20, 0, ("20 frames were corrected since the last training",)), [], True),
    ],
)
def test_a_retraining_starts_only_when_it_is_due_and_there_are_corrections(
    prefect, monkeypatch, tmp_path, messages, found, events, retrained
):
    module, calls = importlib.import_module("retrain_when_due"), []
    monkeypatch.setattr(module, "due", lambda *_: found)
    monkeypatch.setattr(module, "review_folders", lambda: [tmp_path / "reviews/a"])

    def retrain(*given, **more):
        calls.append((given, more))
        return {"registered": "models:/moke-unet/2", "summary": "better"}

    monkeypatch.setattr(module, "retrain", retrain)
    answer = module.retrain_when_due(profile="demo", out=tmp_path / "out")
    assert [one["event"] for one in messages] == events
    assert bool(calls) == retrained
    assert ("registered" in answer) == retrained
    assert (tmp_path / "out/retrained.json").is_file() == retrained
