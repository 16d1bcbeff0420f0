"""Fixtures that the whole suite shares."""

from __future__ import annotations

import gc
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import yaml
from tests import servers
from tests.servers import Bucket, Postgres

from spinscope.config import Films, Params, Tracking, load_params
from spinscope.datasets import Record, write_moke

# One home for every test's settings: nothing of the user's own is read or written.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ["XDG_CACHE_HOME"] = str(Path(__file__).parents[1] / "build/cache")
for _name in ("ROOT", "SET", "PROFILE", "TRACKING_URI", "NOTIFY_URL"):
    os.environ.pop(f"SPINSCOPE_{_name}", None)

TESTS = Path(__file__).parent
TOGETHER = ("flows", "dashboards")  # folders whose modules share servers
LONGEST = (  # groups of half a minute or more, which start first
    "dashboards",
    "flows",
    "training/test_fit.py",
    "test_demo.py",
    "docs/test_site.py",
    "cli/test_cli.py",
    "tracking/test_group.py",
    "corpora/test_domains.py",
    "test_group.py",
    "tracking/test_served.py",
    "test_serve.py",
    "faults/test_faults.py",
    "tracking/test_migration.py",
    "studies/kerr/test_cross_validation.py",
    "jobs/test_training.py",
    "jobs/test_field_fcn.py",
    "jobs/test_parameter_cnn.py",
    "studies/kerr/test_relabelling.py",
    "studies/kerr/test_ablations.py",
    "jobs/test_ltem.py",
    "tuning/test_tuning.py",
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """Let one process of pytest-xdist run all tests of a group."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(config.rootpath / nodeid.split("::")[0])

    return Groups(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort the groups by duration in a process of pytest-xdist, the longest first."""
    if hasattr(config, "workerinput"):
        rank = {group: k for k, group in enumerate(LONGEST)}
        items.sort(key=lambda item: rank.get(_group(item.path), len(rank)))


def pytest_collection_finish() -> None:
    """Let the garbage collector leave out the modules, through which it would look all the time."""
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


def _group(path: Path) -> str:
    """Group of a test: its module, or its folder if the modules of the folder share fixtures."""
    if not path.is_relative_to(TESTS):
        return "doctests"
    inside = path.relative_to(TESTS)
    return inside.parts[0] if inside.parts[0] in TOGETHER else inside.as_posix()


def discs(rng: np.random.Generator, size: int = 64, n: int = 8, radius: float = 5.0):
    """A frame of `n` dark discs on a grey ground: (image in [0, 1], five-class label)."""
    y, x = np.mgrid[:size, :size]
    label = np.zeros((size, size), dtype=np.uint8)
    for cy, cx in rng.uniform(0, size, (n, 2)):
        label[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = 1
    label[:4, :6] = 2
    image = 0.6 - 0.2 * (label == 1) + 0.35 * (label == 2)
    image = np.clip(image + rng.normal(0, 0.02, image.shape), 0, 1)
    return image.astype(np.float32), label


def section(name: str, **changes):
    """A section of the profile `demo` with some values changed and checked."""
    found = getattr(load_params("demo", path=Path(__file__).parents[1] / "params.yaml"), name)
    return type(found).model_validate({**found.model_dump(), **changes})


@pytest.fixture
def moke_folder(tmp_path: Path) -> Path:
    """A small dataset in the MOKE layout: 5 batches of 2 sources, 2 frames of 64 x 64 a source."""
    rng = np.random.default_rng(7)
    frames = []
    for source in range(10):
        for k in range(2):
            image, label = discs(rng)
            frames.append((Record(f"{source:03d}{k}", source, source // 2), image, label))
    return write_moke(tmp_path / "moke", frames).path


@pytest.fixture(scope="session")
def lattice_folder(tmp_path_factory) -> Path:
    """A corpus of twelve small annealed lattices; batch 5 is for validation."""
    from spinscope.corpora.lattice import make_lattice_corpus

    settings = section("lattice", n=12, size=32, sweeps=60, reflections=1, shard_lattices=8)
    return make_lattice_corpus(tmp_path_factory.mktemp("lattice") / "corpus", 0, settings)


@pytest.fixture(scope="session")
def domains_folder(tmp_path_factory) -> Path:
    """A corpus of 24 small films of drawn D; batch 4 is for validation, 5 for tests."""
    return small_domains(tmp_path_factory.mktemp("domains") / "corpus", "dmi")


@pytest.fixture(scope="session")
def ms_folder(tmp_path_factory) -> Path:
    """A corpus like `domains_folder`, of drawn Ms."""
    return small_domains(tmp_path_factory.mktemp("domains-ms") / "corpus", "ms")


def small_domains(path: Path, parameter: str) -> Path:
    """The corpus of the profile `demo`: films of 64 x 64 cells, 3 scales, views of 32 x 32 px."""
    from spinscope.corpora.domains import make_domain_corpus

    return make_domain_corpus(path, parameter, 0, section("domains", shard_films=12))


@pytest.fixture
def params(moke_folder: Path, tmp_path: Path) -> Params:
    """Settings of a training that takes seconds, on `moke_folder`, with a store of its own."""
    return load_params(
        "demo",
        [
            f"data.path={moke_folder}",
            "kerr.frames_per_source=2",
            "model.width=4",
            "model.depth=2",
            "model.upscale=null",
            "model.min_peak_probability=null",
            "training.pretrained=null",
            "training.learning_rate=0.002",
            "training.label_smoothing=0.1",
            "training.seeds=2",
            "training.epochs=2",
            "training.steps_per_epoch=3",
            "training.batch=2",
            "training.crop=32",
            f"tracking.uri=sqlite:///{tmp_path}/mlruns/mlflow.db",
            f"tracking.artifacts={tmp_path}/mlruns/artifacts",
            "tracking.experiment=moke-unet",
            "evaluation.tta=1",
        ],
        family="moke-unet",
    )


LENIENT = {
    **dict.fromkeys(
        ("metric_limit", "metric_margin", "min_precision", "min_recall", "object_margin",
         "max_count_error", "count_margin", "max_size_px", "size_margin_px", "min_coverage")
    ),
    "max_frame_ratio": 1e9,
}  # fmt: skip
"""Gates of which none depends on how good a model is."""


def lenient_project(root: Path) -> Path:
    """A project folder with gates that nearly any model passes, and one augmented view."""
    checkout = Path(__file__).parents[1]
    settings = yaml.safe_load((checkout / "params.yaml").read_text())
    settings["gates"] |= LENIENT
    settings["evaluation"]["tta"] = 1
    for family in settings["families"].values():
        family.pop("gates", None)
    root.mkdir(parents=True, exist_ok=True)
    (root / "params.yaml").write_text(yaml.safe_dump(settings))
    if not (root / "models").exists():
        (root / "models").symlink_to(checkout / "models")
    return root


@pytest.fixture
def lenient(tmp_path: Path, monkeypatch) -> Path:
    """The project of the test has gates that nearly any model passes."""
    root = lenient_project(tmp_path / "project")
    monkeypatch.setenv("SPINSCOPE_ROOT", str(root))
    return root


def tracking_at(folder: Path) -> Tracking:
    """Settings of a store in `folder`."""
    return Tracking(
        uri=f"sqlite:///{folder}/mlflow.db",
        artifacts=f"{folder}/artifacts",
        experiment="moke-unet",
        moved_alias="warn",
    )


@pytest.fixture(scope="session")
def fresh_store(tmp_path_factory) -> Path:
    """Folder of an empty store: its tables take seconds to build."""
    from spinscope.tracking import open_store

    folder = tmp_path_factory.mktemp("template")
    open_store(tracking_at(folder))
    return folder


@pytest.fixture
def template_store(fresh_store: Path, tmp_path: Path) -> Path:
    """The empty store that `params` names, copied instead of built."""
    return shutil.copytree(fresh_store, tmp_path / "mlruns")


@pytest.fixture(scope="session")
def moke() -> Path:
    """The real Kerr micrographs, where the setting names them."""
    named = os.environ.get("SPINSCOPE_MOKE")
    if not named or not Path(named, "table.csv").is_file():
        pytest.skip("SPINSCOPE_MOKE does not name the real Kerr micrographs")
    return Path(named)


@pytest.fixture(scope="session")
def git() -> str:
    """Path of git, else the tests that make a repository are skipped."""
    found = shutil.which("git")
    if not found:
        pytest.skip("no git on this machine")
    return found


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium, else the browser tests are skipped."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        pytest.skip("no chromium on this machine")
    return found


MS, A_EX, DMI, B_EXT = 2.2e5, 1.5e-11, 1.15e-3, 0.4


@pytest.fixture(scope="session")
def film_settings() -> Films:
    """Films of 32 x 32 cells of 6 nm, in parts of two."""
    return load_params("demo", family="ltem-unet").films.model_copy(
        update={
            "height": 32,
            "width": 32,
            "cell_nm": 6.0,
            "grain_nm": 100.0,
            "tolerance": 2e-3,
            "max_evaluations": 4000,
            "shard_films": 2,
        }
    )


@pytest.fixture(scope="session")
def evaluate() -> Callable:
    """(m (N, 3, H, W), grid, kind, material ...) → (h, energy)."""
    from spinscope.physics.effective_field import arrays, field_and_energy

    def of(
        m, grid, kind="interfacial", *, ms=MS, a_ex=0.0, dmi=0.0, ku=0.0, b_ext=0.0, exchange=None
    ):
        n = len(m)
        ms = np.broadcast_to(ms, (n, *grid.shape))
        a_ex, dmi, b_ext = (np.broadcast_to(value, n) for value in (a_ex, dmi, b_ext))
        ku = np.broadcast_to(ku, n) if np.ndim(ku) < 2 else ku
        films = arrays(grid, ms, a_ex, dmi, ku, b_ext, exchange)
        return field_and_energy(grid, kind, m, films)

    return of


@pytest.fixture(scope="session")
def reversed_disc() -> Callable:
    """(grid, ms ...) → a `Start` with one rough disc along -z in a film along +z."""
    from spinscope.physics.effective_field import arrays
    from spinscope.physics.minimise import Start

    def start(grid, *, radius=30e-9, at=(0.5, 0.5), seed=0):
        y, x = (
            (np.arange(n) + 0.5 - part * n + n / 2) % n - n / 2
            for n, part in zip(grid.shape, at, strict=True)
        )
        m = 0.2 * np.random.default_rng(seed).standard_normal((3, *grid.shape), dtype=np.float32)
        m[2] += np.where(np.hypot(y[:, None], x) * grid.cell < radius, -1, 1)
        one = np.ones(1)
        values = arrays(
            grid, MS * np.ones((1, *grid.shape)), A_EX * one, DMI * one, 0 * one, B_EXT * one
        )
        return Start(m / np.sqrt((m * m).sum(0)), {key: v[0] for key, v in values.items()})

    return start


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server; every test makes its own database in it."""
    with servers.postgres() as server:
        yield server


@pytest.fixture(scope="session")
def s3(tmp_path_factory) -> Iterator[Bucket]:
    """An S3 store on the disk; every test writes below its own prefix."""
    with servers.s3_store(tmp_path_factory.mktemp("s3")) as bucket:
        yield bucket


@pytest.fixture
def receiver():
    """Endpoint of messages and what it has received; it refuses paths that contain `refuse`."""
    received = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            received.append(body)
            self.send_response(500 if "refuse" in self.path else 200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield "http://{}:{}".format(*server.server_address), received
        server.shutdown()
