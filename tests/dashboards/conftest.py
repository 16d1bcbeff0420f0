"""A project with frames, two trained seeds and two registered versions, made once; its dashboard,
opened in a real browser.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import httpx
import numpy as np
import pytest
import tifffile
import yaml
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest
from tests.conftest import LENIENT, discs
from tests.intake.conftest import raw

from spinscope import families, jobs, serve
from spinscope.config import Params, Serve, load_params, project_root
from spinscope.datasets import Record, data_hash, write_moke
from spinscope.datasets.shards import write_corpus
from spinscope.files import write_json
from spinscope.tracking import lineage, open_store, register, rollback

DASHBOARDS = project_root() / "dashboards"
PAGES = {
    "predictions.py": "Predictions",
    "intake.py": "Intake",
    "review.py": "Review",
    "results.py": "Results",
    "compare.py": "Comparison",
    "sizes.py": "Sizes",
    "seeds.py": "Seeds",
    "registry.py": "Registry",
    "drift.py": "Drift",
    "likeness.py": "Simulated and real",
    "lorentz.py": "Lorentz",
    "field.py": "Effective field",
    "estimate.py": "Parameters",
    "probes.py": "Probes",
}
SHOTS = project_root() / "build/test-output/screenshots"
WIDTH = 1440  # px, of a small screen
PATIENCE = 120_000  # ms: the first page loads TensorFlow
REASON = "sharper edges on the June films"


def _frames(n: int, seed: int):
    rng = np.random.default_rng(seed)
    for k in range(n):
        image, label = discs(rng, size=96, n=9, radius=rng.uniform(4, 7))
        yield Record(f"f{k:02d}", k // 2, k // 4), image, label


@pytest.fixture(autouse=True)
def own_main(monkeypatch):
    """AppTest leaves its page as `__main__`, which a spawned process would then run again."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture(autouse=True, scope="session")
def components():
    """Streamlit reads the metadata of all installed packages once, and not for every page."""
    with pytest.MonkeyPatch.context() as patch:
        found = functools.cache(manifest_scanner.scan_component_manifests)
        patch.setattr(manifest_scanner, "scan_component_manifests", found)
        yield


@pytest.fixture(scope="session")
def project(tmp_path_factory) -> tuple[Path, Params]:
    """(root, settings) of a project in which everything has happened once."""
    root = tmp_path_factory.mktemp("project")
    return root, make_project(root)


def make_project(root: Path) -> Params:
    """Frames, a corpus, a training of two seeds, two versions, two promotions and a rollback."""
    (root / "models").mkdir()
    for name in ("field-fcn", "parameter-cnn", "parameter-cnn-ms"):
        (root / "models" / name).symlink_to(project_root() / "models" / name)
    write_moke(root / "data/moke", _frames(20, 7))
    corpus = (
        ({"name": r.name, "source": r.source, "batch": r.batch}, np.uint8(255 * image), label)
        for r, image, label in _frames(6, 8)
    )
    write_corpus(root / "build/corpus/kerr", corpus, header={"kind": "kerr", "seed": 8})
    params = load_params(
        "demo",
        [
            f"data.path={root}/data/moke",
            "model.width=4",
            "model.depth=2",
            "model.upscale=null",
            "model.min_peak_probability=null",
            "training.pretrained=null",
            "training.label_smoothing=0.1",
            "training.seeds=2",
            "training.epochs=3",
            "training.steps_per_epoch=20",
            "training.learning_rate=0.01",
            "training.ema=0",
            "training.batch=4",
            "training.crop=48",
            f"tracking.uri=sqlite:///{root}/mlruns/mlflow.db",
            f"tracking.artifacts={root}/mlruns/artifacts",
            "tracking.experiment=moke-unet",
            "evaluation.tta=3",
            *(f"gates.{key}={json.dumps(value)}" for key, value in LENIENT.items()),
        ],
        family="moke-unet",
    )
    _make_nights(root / "build/nightly")
    (root / "build/raw").mkdir()
    tifffile.imwrite(root / "build/raw/loop.tif", raw(12).frames)
    report = jobs.train(params, root / "build/train")
    write_params(root, params)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPINSCOPE_ROOT", str(root))  # whose params.yaml holds these gates
        jobs.promote(params, "moke-unet", 1, "the first model", who="Ada")
        _register_again(params, report)
        jobs.promote(params, "moke-unet", 2, REASON, who="Ada")
    rollback(open_store(params.tracking), "moke-unet", reason="counts drift", who="Emmy")
    return params


def _make_nights(folder: Path) -> None:
    """Intakes of three nights; the frames of the last are blurred."""
    for day, (width, out) in enumerate(((1.9, False), (2.1, False), (5.2, True)), 1):
        measures = [
            {"name": "noise", "unit": "% of full scale", "value": 6.0, "low": None, "high": 19.0,
             "distance": 0.2, "limit": 2.6, "out": False},
            {"name": "blur", "unit": "px", "value": width, "low": None, "high": 3.9,
             "distance": (width - 2) * 3, "limit": 5.7, "out": out},
            {"name": "scale", "unit": "", "value": None, "low": 0.4, "high": 1.8,
             "distance": None, "limit": None, "out": False},
        ]  # fmt: skip
        causes = ["blur"] if out else []
        good = {"file": f"film{day}.tif", "fingerprint": f"a{day}", "valid": True, "objects": 40.0,
                "sentence": "out of range: blur" if out else "in range", "frames": 8,
                "out_of_range": causes, "measures": measures}  # fmt: skip
        flat = {"file": f"flat{day}.png", "fingerprint": f"b{day}", "valid": False}
        rule = {"file": flat["file"], "rule": "image not constant", "detail": "its SD is 0"}
        night = {"night": f"2026-11-0{day}", "started_utc": f"2026-11-0{day}T02:00:00+00:00",
                 "folder": "/data/inbox", "model": "models:/moke-unet@lab", "failures": [rule],
                 "recordings": [good, flat], "out_of_range": causes, "summary": ""}  # fmt: skip
        write_json(folder / night["night"] / "night.json", night)


def _register_again(params: Params, report: dict) -> None:
    store = open_store(params.tracking)
    dataset, splits = jobs.split(params)
    folder = Path(report["best"])
    reports = {
        row["seed"]: json.loads(
            (folder.parent / f"seed-{row['seed']}/validation.json").read_text()
        )["value"]
        for row in report["seeds"]
    }
    for one in reports.values():
        one["mcc"] += 0.01
    hash_ = data_hash(dataset)
    register(
        store,
        families.of(params),
        report["seeds"][0]["run_id"],
        folder,
        "moke-unet",
        seed=report["best_seed"],
        reports=reports,
        lineage=lineage(params, hash_, report["best_seed"]),
        validated=True,
        examples=[splits.validation.image(0)],
    )


def write_params(root: Path, params: Params) -> None:
    """Make these the settings of the project."""
    settings = params.model_dump(mode="json", exclude={"family"})
    settings |= {
        "profiles": {params.profile: {}},
        "families": {name: {} for name in families.names()},
    }
    (root / "params.yaml").write_text(yaml.safe_dump(settings))


def settle(root: Path, params: Params, monkeypatch) -> None:
    """Let pages find this project and its settings."""
    write_params(root, params)
    monkeypatch.setenv("SPINSCOPE_ROOT", str(root))
    for name in ("SPINSCOPE_PROFILE", "SPINSCOPE_TRACKING_URI", "SPINSCOPE_MOKE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def opened(project, monkeypatch) -> Callable[[str], AppTest]:
    """Open a page of the project."""
    settle(*project, monkeypatch)
    return open_page


@pytest.fixture
def opened_empty(tmp_path, monkeypatch) -> Callable[[str], AppTest]:
    """Open a page of a project in which nothing has happened yet."""
    params = load_params("laptop", [f"data.path={tmp_path}/data/moke"])
    settle(tmp_path, params, monkeypatch)
    return open_page


def open_page(name: str) -> AppTest:
    return AppTest.from_file(str(DASHBOARDS / name), default_timeout=120).run()


def text(app: AppTest) -> str:
    """All text of a page."""
    kinds = ("title", "subheader", "caption", "markdown", "text", "info", "warning", "error")
    return "\n".join(str(element.value) for kind in kinds for element in app.get(kind))


@pytest.fixture(scope="package")
def address(project) -> Iterator[str]:
    """Address of the dashboard of the project."""
    root, params = project
    if not (root / ".streamlit").exists():
        (root / ".streamlit").symlink_to(project_root() / ".streamlit")
    port = serve.choose_ports(Serve(mlflow_port=0, prefect_port=0, dashboard_port=0))[
        "dashboard_port"
    ]
    url = f"http://{serve.HOST}:{port}"
    environment = {key: value for key, value in os.environ.items() if key != "SPINSCOPE_MOKE"}
    write_params(root, params)
    environment["SPINSCOPE_ROOT"] = str(root)
    command = (sys.executable, "-m", "streamlit", "run", str(DASHBOARDS / "app.py"))
    health = f"{url}/_stcore/health"
    service = serve.Service(
        "dashboard", (*command, "--server.port", str(port)), environment, lambda: answers(health)
    )
    service.start(root)
    try:
        while not service.ready():
            service.check_alive()
            time.sleep(0.2)
        yield url
    finally:
        service.process.terminate()
        service.process.wait()


def answers(address: str) -> bool:
    """Whether a server answers at this address."""
    try:
        return httpx.get(address, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="module")
def browser(chromium):
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def tab(browser, address):
    """A page of the browser with the dashboard in it."""
    tab = browser.new_page(viewport={"width": WIDTH, "height": 1000})
    tab.set_default_timeout(PATIENCE)
    tab.goto(address, wait_until="domcontentloaded")
    return tab


@pytest.fixture
def errors(tab) -> Iterator[list[str]]:
    """Errors of the scripts of the page during a test."""
    raised: list[str] = []
    note = lambda error: raised.append(str(error))  # noqa: E731
    tab.on("pageerror", note)
    yield raised
    tab.remove_listener("pageerror", note)


def open_tab(tab, title: str) -> None:
    tab.get_by_test_id("stSidebarNav").get_by_role("link", name=title).click()
    tab.get_by_role("heading", name=title, level=1).wait_for()
    settled(tab)


def settled(tab) -> None:
    tab.wait_for_selector('[data-test-script-state="notRunning"]')


def shoot(tab, name: str) -> Path:
    """Take a screenshot of the whole page."""
    height = tab.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    tab.set_viewport_size({"width": WIDTH, "height": max(1000, height)})
    SHOTS.mkdir(parents=True, exist_ok=True)
    tab.screenshot(path=str(SHOTS / f"{name}.png"), animations="disabled")
    tab.set_viewport_size({"width": WIDTH, "height": 1000})
    return SHOTS / f"{name}.png"


@pytest.fixture
def load(monkeypatch) -> Callable[[str], ModuleType]:
    """Import a module of `dashboards/components` by its name."""
    monkeypatch.syspath_prepend(str(DASHBOARDS))

    def load_one(name: str) -> ModuleType:
        monkeypatch.delitem(sys.modules, f"components.{name}", raising=False)
        return importlib.import_module(f"components.{name}")

    return load_one
