"""Settings: every shipped profile loads, misspelt keys fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from spinscope import config
from spinscope.config import (
    Params,
    bundled_models,
    dataset_path,
    load_params,
    moke_path,
    overridden,
    project_root,
    settings_environment,
)
from spinscope.errors import SpinscopeError

SHIPPED = Path(__file__).resolve().parents[1] / "params.yaml"
PROFILES = yaml.safe_load(SHIPPED.read_text())["profiles"]
FAMILIES = yaml.safe_load(SHIPPED.read_text())["families"]


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in ("SET", "PROFILE", "TRACKING_URI", "ROOT", "MOKE"):
        monkeypatch.delenv(f"SPINSCOPE_{name}", raising=False)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_and_family_loads_and_lays_over_the_rest(profile, family):
    params = load_params(profile, family=family)
    base = yaml.safe_load(SHIPPED.read_text())
    own = (PROFILES[profile].get("families") or {}).get(family) or {}
    layers = [base, PROFILES[profile], FAMILIES[family], own]
    assert (params.profile, params.family) == (profile, family)
    for section, values in params.model_dump(mode="json").items():
        if isinstance(values, dict):
            expected = {}
            for layer in layers:
                expected = laid_over(expected, layer.get(section) or {})
            assert values == expected


def laid_over(base, layer):
    out = dict(base)
    for key, value in layer.items():
        nested = isinstance(value, dict) and isinstance(base.get(key), dict)
        out[key] = laid_over(base[key], value) if nested else value
    return out


def test_profiles_are_the_promised_three():
    assert set(PROFILES) == {"demo", "laptop", "paper"}


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("training.epoch=3", r"training\.epoch \(=3\) is not valid"),
        ("segment.pixelsize_nm=120", r"no such setting; did you mean 'pixel_size_nm'\?"),
        (
            "pixel_size_nm=120",
            r"no such setting; did you mean 'intake\.pixel_size_nm' or 'segment\.pixel_size_nm'\?",
        ),
        ("segment.pixel_size_nm=0.12", r"0\.12 nm must be .* if 0\.12 µm is meant, give 120$"),
        ("segment.pixel_size_nm=120000", r"120000 nm must be a pixel size from 0\.5 to 10000 nm$"),
        ("segment.pixel_size_nm=.nan", r"nan nm must be a pixel size"),
        ("nonsense=3", "nonsense"),
        ("training.epochs=0", r"training\.epochs \(=0\)"),
        ("training.epochs=many", r"training\.epochs \(='many'\)"),
        ("data.scheme=4", r"data\.scheme \(=4\)"),
        ("evaluation.iou=0.3", r"evaluation\.iou \(=0\.3\)"),
        ("training.crop=100", r"training\.crop \(=100\) must be a multiple of 32"),
        ("training.class_weights=[1, 2]", r"class_weights \(=\[1\.0, 2\.0\]\) must hold 3 numbers"),
        ("cluster.kind=pbs", r"cluster\.kind \(='pbs'\)"),
        ("cluster.workers=0", r"cluster\.workers \(=0\)"),
        ("cluster.walltime_h=0", r"cluster\.walltime_h \(=0\)"),
        ("profile=demo", "chosen with --profile"),
        ("training.epochs", "must read section.key=value"),
        ("training.epochs=[1", "the value must be YAML"),
        ("train.epochs=3", "there is no section 'train'"),
        ("seed.x=3", "there is no section 'seed'"),
        ("family=ltem-unet", "a family is chosen by"),
        ("films.ms=[3e5, 1e5]", r"films\.ms \(=\['3e5', '1e5'\]\) is not valid.*low at most high"),
        ("films.ms=[0, 1e5]", r"films\.ms .*must be above 0"),
        ("films.dmi=[.nan, .nan]", r"films\.dmi"),
        ("ltem.voltage_kv=0", r"ltem\.voltage_kv \(=0\)"),
        ("ltem.voltage_kv=null", r"ltem\.voltage_kv \(=None\)"),
        ("ltem.tilt_deg=[0, 90]", r"ltem\.tilt_deg \(=\[0, 90\]\).*below 90 degrees"),
        ("ltem.film_states=[vortex]", r"ltem\.film_states\.0 \(='vortex'\)"),
        ("augmentation.symmetry=round", r"augmentation\.symmetry \(='round'\)"),
        ("augmentation.salt=0.1", r"augmentation\.salt \(=0\.1\) needs .*restandardise"),
        ("flows.work_pool=''", r"flows\.work_pool \(=''\)"),
        ("tuning.storage=sqlite:///x.db", r"tuning\.storage \(='sqlite:///x\.db'\)"),
        ("tuning.storage=postgresql://lab", r"must be postgresql://USER@HOST/NAME or null"),
        (
            "tuning.storage=postgresql://lab:secret@host/trials",
            r"\(='postgresql://host/trials'\) is not valid.*PGPASSWORD",
        ),
        ("segment.scale=0", r"segment\.scale \(=0\)"),
        ("segment.scale=large", r"segment\.scale \(='large'\) .* a factor, auto or null"),
        ("segment.polarity=grey", r"segment\.polarity \(='grey'\)"),
        ("notify.url=lab", r"notify\.url \(='lab'\) .*must be an address such as"),
        ("notify.url=mailtos://a:b@host", r"a password belongs in \$SPINSCOPE_NOTIFY_URL"),
        ("flows.retrain_corrections=0", r"flows\.retrain_corrections \(=0\)"),
    ],
)
def test_a_wrong_override_is_named(override, says):
    with pytest.raises(SpinscopeError, match=says):
        load_params(overrides=[override], family="moke-unet")


def test_a_family_is_laid_over_the_profile_and_the_profiles_own_over_the_family(tmp_path):
    path = tmp_path / "params.yaml"
    more = """  night:
    training: {epochs: 3, batch: 2, pretrained: "bundled:moke-unet"}
    families: {ltem-unet: {training: {epochs: 4}}}
"""
    path.write_text(SHIPPED.read_text() + more)
    of = load_params("night", path=path, family="ltem-unet")
    assert (of.training.epochs, of.training.batch, of.training.pretrained) == (4, 2, None)
    moke = load_params("night", path=path, family="moke-unet")
    assert (moke.training.epochs, moke.training.pretrained) == (3, "bundled:moke-unet")
    last = load_params("night", ["training.epochs=5"], path, family="ltem-unet")
    assert last.training.epochs == 5
    path.write_text(SHIPPED.read_text() + "  night: {families: {ltem: {}}}\n")
    with pytest.raises(SpinscopeError, match="family 'ltem' must be one of moke-unet, ltem-unet"):
        load_params("night", path=path)


def test_a_family_starts_from_no_network_of_another():
    for profile in PROFILES:
        assert load_params(profile, family="ltem-unet").training.pretrained is None
        experiments = {load_params(profile, family=name).tracking.experiment for name in FAMILIES}
        assert len(experiments) == len(FAMILIES)


def test_shared_settings_are_known_before_the_family():
    fits_one = ["training.class_weights=[1, 2]", "tracking.uri=sqlite:///x.db"]
    with pytest.raises(SpinscopeError, match="class_weights"):
        load_params(overrides=fits_one, family="moke-unet")
    assert load_params(overrides=fits_one).tracking.uri == "sqlite:///x.db"
    with pytest.raises(SpinscopeError, match=r"gates\.min_mc"):
        load_params(overrides=["gates.min_mc=1"])


OLD = {
    "model": {"magnify": {"below_px": 5, "zoom": 3}, "peak": 0.5},
    "ltem": {"views": 3, "kinds": ["stripes"], "roll": False, "turn": False,
             "coherence_mrad": 0.02, "spread_nm": 70},
    "films": {"images": 2, "evaluations": 7, "grained": 0.1},
    "kerr": {"bright": 0.25},
    "measure": {"reach_px": 9, "drift": True},
    "segment": {"part": 8, "zoom": 2},
    "augmentation": {"noise_chance": 0.25},
    "gates": {"min_mcc": 0.1},
}  # fmt: skip


def former(nested: dict, prefix: str = "") -> dict:
    """Keys joined by dots → value."""
    flat = {}
    for key, value in nested.items():
        flat |= (
            former(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return flat


def test_former_names_of_settings_still_work_with_a_hint(tmp_path, monkeypatch, capsys):
    renamed_count = sum(map(len, config.RENAMED.values()))
    assert len(former(OLD)) == renamed_count  # model.magnify counts as model.magnify.below_px
    config._hint.cache_clear()
    shipped = yaml.safe_load(SHIPPED.read_text())
    for section, values in OLD.items():
        for key in config.RENAMED.get(section, {}).values():
            shipped[section].pop(key)
        shipped[section] |= values
    for name in ("model", "gates"):  # their other keys are in the profiles and families, too
        for layer in (*shipped["profiles"].values(), *shipped["families"].values()):
            layer.pop(name, None)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(shipped))
    params = load_params("demo", path=tmp_path / "params.yaml")
    said = capsys.readouterr().err.splitlines()
    assert len(said) == len(set(said)) == renamed_count
    assert "hint: the setting model.magnify is now model.upscale; the old name will go" in said
    assert (params.model.upscale.scale, params.model.min_peak_probability) == (3, 0.5)
    assert (params.films.max_evaluations, params.ltem.film_states) == (7, ("stripes",))
    assert (params.segment.chunk_frames, params.gates.metric_limit) == (8, 0.1)

    given = [f"{key}={json.dumps(value)}" for key, value in former(OLD).items()]
    assert load_params("laptop", given).measure.search_range_px == 9
    assert overridden(params, ["segment.part=5"]).segment.chunk_frames == 5
    monkeypatch.setenv("SPINSCOPE_SET", json.dumps(["segment.part=6"]))
    assert load_params("demo").segment.chunk_frames == 6
    assert capsys.readouterr().err == ""  # each hint is printed once


def test_settings_that_became_constants_are_ignored_with_a_hint(capsys):
    config._hint.cache_clear()
    assert load_params(overrides=["training.weight_decay=0.1"]) == load_params()
    assert "training.weight_decay is gone" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("training.epoch=3", "did you mean 'epochs'"),
        ("model.upscale.scal=2", "did you mean 'scale'"),
        ("trainin.epochs=3", "did you mean 'training'"),
    ],
)
def test_a_misspelt_key_gets_a_suggestion(override, says):
    with pytest.raises(SpinscopeError, match=says):
        load_params(overrides=[override])


def test_params_yaml_holds_the_only_defaults():
    sections = [field.annotation for field in Params.model_fields.values()]
    models = [kind for kind in sections if hasattr(kind, "model_fields")]
    assert len(models) > 15
    for model in (Params, *models):
        assert all(field.is_required() for field in model.model_fields.values()), model


def test_an_unknown_family_is_named():
    with pytest.raises(SpinscopeError, match="family 'resnet' must be one of moke-unet, ltem-unet"):
        load_params(family="resnet")


def test_overrides_go_before_the_profile():
    params = load_params("demo", ["training.epochs=9", "data.train_batches=[1, 2]"])
    assert params.training.epochs == 9
    assert params.data.train_batches == (1, 2)


def test_overrides_of_the_environment_go_before_the_callers(monkeypatch):
    params = load_params("demo", ["seed=5"])
    for key, value in settings_environment(params, ["seed=5"]).items():
        monkeypatch.setenv(key, value)
    assert load_params() == params
    paper = load_params("paper", ["training.epochs=9"])
    assert (paper.profile, paper.seed, paper.training.epochs) == ("paper", 5, 9)
    assert load_params(overrides=["seed=6"]).seed == 6
    assert json.loads(settings_environment(params, ["seed=6"])["SPINSCOPE_SET"])[-1] == "seed=6"


@pytest.mark.parametrize("text", ["seed=5", '{"seed": 5}', "[5]"])
def test_overrides_of_the_environment_that_are_none(monkeypatch, text):
    monkeypatch.setenv("SPINSCOPE_SET", text)
    with pytest.raises(SpinscopeError, match="SPINSCOPE_SET must be a JSON list"):
        load_params()


def test_an_unknown_profile_is_named():
    with pytest.raises(SpinscopeError, match="profile 'night' must be one of demo, laptop, paper"):
        load_params("night")


@pytest.mark.parametrize(
    ("change", "says"),
    [("typo: 1\n", "typo"), ("model: {widht: 3}\n", "widht"), ("seed: [\n", "readable YAML")],
)
def test_an_unknown_key_of_the_file_is_an_error(tmp_path, change, says):
    path = tmp_path / "params.yaml"
    path.write_text(SHIPPED.read_text() + change)
    with pytest.raises(SpinscopeError, match=says):
        load_params(path=path)


@pytest.mark.parametrize("text", ["", "[]\n", "just text\n", "seed: 1\n"])
def test_a_file_that_holds_no_settings_is_named(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(SpinscopeError):
        load_params(path=tmp_path / "params.yaml")


def test_a_profile_may_change_a_value_outside_the_sections(tmp_path):
    (tmp_path / "params.yaml").write_text(SHIPPED.read_text() + "  night: {seed: 7}\n  day:\n")
    assert load_params("night", path=tmp_path / "params.yaml").seed == 7
    assert load_params("day", path=tmp_path / "params.yaml").seed == load_params().seed


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SpinscopeError, match=r"none\.yaml must be a readable"):
        load_params(path=tmp_path / "none.yaml")


def test_settings_are_frozen_and_named_by_their_values():
    params = load_params()
    with pytest.raises(ValueError, match="frozen"):
        params.seed = 3
    assert params.digest() == load_params().digest()
    assert params.digest() != load_params(overrides=["seed=3"]).digest()
    assert (
        params.digest() == load_params(overrides=["serve.mlflow_port=1", "segment.tta=8"]).digest()
    )


def test_the_environment_names_profile_data_and_store(monkeypatch, tmp_path):
    monkeypatch.setenv("SPINSCOPE_PROFILE", "paper")
    monkeypatch.setenv("SPINSCOPE_TRACKING_URI", "http://127.0.0.1:5")
    params = load_params()
    assert (params.profile, params.tracking.uri) == ("paper", "http://127.0.0.1:5")
    assert dataset_path(params) == project_root() / "data/moke" == moke_path()
    monkeypatch.setenv("SPINSCOPE_MOKE", str(tmp_path))
    assert dataset_path(params) == tmp_path
    elsewhere = load_params(overrides=["data.path=build/corpus/kerr"])
    assert dataset_path(elsewhere) == project_root() / "build/corpus/kerr"


def test_a_folder_models_of_the_user_holds_no_bundled_models(tmp_path, monkeypatch):
    """They are believed unmeasured, so they must come with the code."""
    (tmp_path / "models").mkdir()
    monkeypatch.setenv("SPINSCOPE_ROOT", str(tmp_path))
    assert not bundled_models().is_relative_to(tmp_path)
    (tmp_path / "params.yaml").touch()
    assert bundled_models() == tmp_path / "models"
