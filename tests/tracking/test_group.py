"""The store of a group on real servers: PostgreSQL, S3, MLflow with logins and roles."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests import servers
from tests.servers import Bucket, Group, Postgres
from tests.tracking.conftest import (
    MEASURES,
    THRESHOLD,
    frames,
    report,
    threshold,
    threshold_folder,
)

from spinscope.config import Tracking
from spinscope.errors import SpinscopeError
from spinscope.tracking import (
    Store,
    Version,
    history,
    lineage,
    open_store,
    parent_run,
    register,
    resolve,
    seed_run,
)
from spinscope.tracking.migration import import_store
from spinscope.tracking.promotion import PromotionRefused, promote
from spinscope.tracking.registry import every, names, stored_predictions, tag
from spinscope.tracking.roles import grant
from spinscope.tracking.runs import log_curves, log_report

ROLE_OF = {"carla": "curator", "tim": "trainer", "rosa": "reader"}
"""Users and their roles; nora has none."""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def group(postgres: Postgres, s3: Bucket, tmp_path_factory) -> Iterator[Group]:
    with servers.group(tmp_path_factory.mktemp("group"), postgres, s3) as found:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in found.login("admin").items():
                patch.setenv(name, value)
            for user, role in ROLE_OF.items():
                grant(tracking_of(found), user, role)
        yield found


def tracking_of(group: Group, experiment: str = "moke-unet") -> Tracking:
    return Tracking(uri=group.url, artifacts="unused", experiment=experiment, moved_alias="refuse")


@pytest.fixture
def login(group: Group, monkeypatch) -> Callable[[str], Tracking]:
    """Log in as a user; settings of the server."""

    def use(user: str) -> Tracking:
        for name, value in group.login(user).items():
            monkeypatch.setenv(name, value)
        return tracking_of(group)

    return use


@pytest.fixture
def trained(params, tmp_path, monkeypatch) -> Callable[..., Version]:
    """Train and register on the server as the user who is logged in."""
    # After `params` are read: what is fetched lands in build/ of this root.
    monkeypatch.setenv("SPINSCOPE_ROOT", str(tmp_path))

    def train(tracking: Tracking, level: float = 0.5) -> Version:
        store = open_store(tracking)
        tags = lineage(params, f"md5:{level}", seed=1)
        with parent_run(store, params, tags) as parent, seed_run(parent, tags) as run:
            log_curves(run, {"loss": [1.0, 0.5]})
            log_report(run, report(0.9))
        return register(
            store, THRESHOLD, run.run_id, threshold_folder(tmp_path / f"model-{level}", level),
            "moke-unet", seed=1, reports={1: report(0.9), 2: report(0.92)}, lineage=tags,
            validated=True, examples=frames(),
        )  # fmt: skip

    return train


@pytest.fixture
def version(group, login, trained) -> Version:
    """A version that the curator registered, for all tests."""
    tracking = login("carla")
    return next(iter(versions_of(open_store(tracking))), None) or trained(tracking)


def versions_of(store: Store) -> list[Version]:
    return every(store, "moke-unet") if "moke-unet" in names(store) else []


def test_the_life_of_a_model_on_the_store_of_a_group(group, login, version, params, tmp_path):
    store = open_store(login("carla"))
    assert [v.version for v in every(store, "moke-unet")] == [1]
    strict = params.model_copy(
        update={"gates": params.gates.model_copy(update={"metric_limit": 0.99})}
    )
    with pytest.raises(PromotionRefused):
        promote(store, THRESHOLD, "moke-unet", reason="good", params=strict, **MEASURES)
    assert history(store, "moke-unet") == []
    step = promote(
        store, THRESHOLD, "moke-unet", 1, reason="good", params=params, override="x", **MEASURES
    )
    # Everyone with a role uses it; the files come from the S3 store through the server.
    for user in ("rosa", "tim"):
        folder = resolve(login(user), "models:/moke-unet@lab")
        image, mask = stored_predictions(store, version)[0]
        assert (threshold(folder, [image])[0] == mask).all()
    assert folder.is_relative_to(tmp_path / "build/models")
    inside = group.bucket.folder / group.prefix
    assert len(list(inside.rglob("model.keras"))) == 1
    assert not (tmp_path / "unused").exists()
    assert history(store, "moke-unet") == [step]
    with group.client("rosa") as rosa:
        address = "/api/2.0/mlflow/registered-models/alias"
        found = rosa.get(address, params={"name": "moke-unet", "alias": "lab"}).json()
        assert found["model_version"]["version"] == "1"
        foreign = rosa.get("/api/2.0/mlflow/experiments/search", headers={"Host": "lab.attacker"})
        assert foreign.status_code == 403


def test_who_may_only_write_runs_cannot_pass_the_gates(group, login, trained, version):
    """Every request of MLflow's own interface that changes a registered model is refused."""
    name, number = version.name, str(version.version)
    store = open_store(login("tim"))
    with pytest.raises(SpinscopeError, match=r"does not permit this to user 'tim'.*grant"):
        trained(login("tim"), 0.55)
    with pytest.raises(SpinscopeError, match="does not permit this to user 'tim'"):
        tag(store, version, {"network.sha256": "0"})
    # The run itself was recorded.
    runs = store.client.search_runs([store.experiment_id], "tags.`data.hash` = 'md5:0.55'")
    assert {run.info.status for run in runs} == {"FINISHED"}
    own = runs[0].info.run_id
    model = store.client.get_model_version(name, number)
    place = store.client.get_model_version_download_uri(name, number)
    model_id = place.split("/")[-2]
    assert model_id.startswith("m-")
    files = "/api/2.0/mlflow-artifacts/artifacts/" + place.split(":/", 1)[1].lstrip("/")
    before = [(one.version, one.aliases, one.tags, one.card) for one in every(store, name)]
    inside = group.bucket.folder / group.prefix
    stored = {path: path.read_bytes() for path in inside.rglob("*") if path.is_file()}
    mlflow, models, of = "/api/2.0/mlflow", "/api/2.0/mlflow/registered-models", {"name": name}
    one = {**of, "version": number}
    with group.client("tim") as tim:
        requests = [
            ("POST", f"{models}/create", {"name": "moke-unet-2"}),
            ("PATCH", f"{models}/update", {**of, "description": "better"}),
            ("POST", f"{models}/rename", {**of, "new_name": "other"}),
            ("DELETE", f"{models}/delete", of),
            ("POST", f"{models}/set-tag", {**of, "key": "promotion.1", "value": "{}"}),
            ("DELETE", f"{models}/delete-tag", {**of, "key": "promotion.1"}),
            ("POST", f"{models}/alias", {**one, "alias": "lab"}),
            ("DELETE", f"{models}/alias", {**of, "alias": "lab"}),
            ("POST", f"{mlflow}/model-versions/create",
             {**of, "source": model.source, "run_id": model.run_id}),
            ("POST", f"{mlflow}/model-versions/create",
             {**of, "source": runs[0].info.artifact_uri, "run_id": own}),
            ("PATCH", f"{mlflow}/model-versions/update", {**one, "description": "better"}),
            ("DELETE", f"{mlflow}/model-versions/delete", one),
            ("POST", f"{mlflow}/model-versions/transition-stage",
             {**one, "stage": "Production", "archive_existing_versions": False}),
            ("POST", f"{mlflow}/model-versions/set-tag",
             {**one, "key": "network.sha256", "value": "0"}),
            ("DELETE", f"{mlflow}/model-versions/delete-tag", {**one, "key": "files.sha256"}),
            ("PATCH", f"{mlflow}/logged-models/{model_id}/tags",
             {"tags": [{"key": "a", "value": "b"}]}),
            ("DELETE", f"{mlflow}/logged-models/{model_id}", {}),
            ("PATCH", f"{mlflow}/logged-models/{model_id}",
             {"model_id": model_id, "status": "LOGGED_MODEL_UPLOAD_FAILED"}),
            ("POST", f"{mlflow}/runs/log-batch", {"run_id": own, "metrics": [
                {"key": "validation.mcc", "value": 1, "timestamp": 9, "step": 0,
                 "model_id": model_id}]}),
            ("PUT", f"{files}/artifacts/model/model.keras", None),
            ("PUT", f"{files}/MLmodel", None),
            ("PUT", f"{files.replace('/models/', '/%256dodels/')}/MLmodel", None),
            ("PUT", f"{files.replace('/models/', '/x/../models/')}/MLmodel", None),
            ("DELETE", files, None),
            ("POST", f"{files.replace('artifacts/', 'mpu/create/', 1)}/MLmodel",
             {"path": f"{place.split(':/', 1)[1].lstrip('/')}/MLmodel", "num_parts": 1}),
            ("POST", f"{mlflow}/runs/delete", {"run_id": model.run_id}),
            ("POST", f"{mlflow}/experiments/delete", {"experiment_id": store.experiment_id}),
            ("POST", "/api/3.0/mlflow/roles/assign", {"username": "tim", "role_id": 1}),
            ("PATCH", f"{mlflow}/users/update-admin", {"username": "tim", "is_admin": True}),
            ("POST", f"{mlflow}/users/create", {"username": "tim2", "password": "0" * 16}),
        ]  # fmt: skip
        answers = {}
        for method, path, body in requests:
            given = {"content": b"changed"} if body is None else {"json": body}
            answers[f"{method} {path}"] = tim.request(method, path, **given).status_code
    assert {k: v for k, v in answers.items() if v != 403} == {}
    assert [(one.version, one.aliases, one.tags, one.card) for one in every(store, name)] == before
    assert {p: p.read_bytes() for p in inside.rglob("*") if p.is_file()} == stored
    assert resolve(store, version.ref).is_dir()  # the files are the registered ones


def test_users_without_a_role_or_login_may_do_nothing(group, login, params):
    store = open_store(login("rosa"))
    with (
        pytest.raises(SpinscopeError, match="does not permit this to user 'rosa'"),
        parent_run(store, params, lineage(params, "md5:1")),
    ):
        pass
    with pytest.raises(SpinscopeError, match="does not permit this to user 'nora'"):
        open_store(login("nora"))
    with pytest.raises(SpinscopeError, match="does not permit this to user 'tim'"):
        grant(login("tim"), "tim", "curator")
    group.users["stranger"] = "no password"
    with pytest.raises(SpinscopeError, match="refuses the login; set MLFLOW_TRACKING_USERNAME"):
        open_store(login("stranger"))
    with pytest.raises(SpinscopeError, match=r"role \(='boss'\) must be one of reader, trainer"):
        grant(login("admin"), "tim", "boss")


def test_a_role_replaces_the_former_one(group, login):
    store = open_store(login("admin"))
    with group.client("nora") as nora:

        def create() -> int:
            body = {"experiment_id": store.experiment_id}
            return nora.post("/api/2.0/mlflow/runs/create", json=body).status_code

        grant(login("admin"), "nora", "trainer")
        assert create() == 200
        grant(login("admin"), "nora", "reader")
        assert create() == 403


def test_the_store_of_a_laptop_moves_to_the_group(
    group, login, tmp_path, registered, store, params
):
    registered()
    promote(
        store, THRESHOLD, "moke-unet", 1, reason="first", params=params, override="x", **MEASURES
    )
    tracking = login("admin")
    counts = import_store(tracking, str(tmp_path / "mlruns"), rename={"moke-unet": "moke-laptop"})
    assert all(count.source == count.target for count in counts)
    there = open_store(tracking)
    moved = [(v.version, v.aliases) for v in every(there, "moke-laptop")]
    assert moved == [(v.version, v.aliases) for v in every(store, "moke-unet")]
    image, mask = stored_predictions(there, every(there, "moke-laptop")[0])[0]
    folder = resolve(login("rosa"), "models:/moke-laptop@lab")
    assert (threshold(folder, [image])[0] == mask).all()
    before = len(there.client.search_runs([there.experiment_id]))
    import_store(tracking, str(tmp_path / "mlruns"), rename={"moke-unet": "moke-laptop"})
    assert len(there.client.search_runs([there.experiment_id])) == before
