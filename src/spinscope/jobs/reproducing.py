"""Repetition of the training behind a registered version, from its recorded commit and data.

The commit is checked out into a folder of its own, and its code trains the recorded seeds on the
recorded data with the recorded settings. The mean scores are compared with the spread of the
recorded seeds.
"""

from __future__ import annotations

import ast
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spinscope import families
from spinscope.config import Tracking, moke_path, project_root
from spinscope.datasets import data_hash
from spinscope.errors import SpinscopeError
from spinscope.files import digest, locked, write_json
from spinscope.jobs.cached_data import cached_dataset, dvc_cache

if TYPE_CHECKING:
    from spinscope.tracking import Store, Version

REPRODUCED, NOT_REPRODUCED, NOT_COMPARABLE = "reproduced", "not reproduced", "not comparable"
CONFIDENCE = 0.95
"""Probability that all scores of an equal training lie in their intervals."""
LOCK = "requirements.lock"
_DECISIVE = ("seed", "data", "model", "training", "augmentation", "evaluation", "options")
"""Sections that `Params.digest` is of, besides the family."""
_OWN = "spinscope.errors.SpinscopeError: "
_DIGITS = 1e-6
"""Relative rounding of the numbers in the tags of a version."""


@dataclass(frozen=True)
class Comparison:
    """A score of the repeated training and the interval in which it is expected."""

    metric: str
    recorded: float
    retrained: float
    low: float
    high: float

    @property
    def within(self) -> bool:
        """Whether the score lies in the interval."""
        return self.low <= self.retrained <= self.high


@dataclass(frozen=True)
class Reproduction:
    """Verdict on a version: reproduced, not reproduced, or not comparable, and why."""

    ref: str
    verdict: str
    why: str
    when: str
    environment: str = ""
    scores: tuple[Comparison, ...] = ()


class _NotComparable(SpinscopeError):
    """Reason for which a training cannot be repeated."""


def reproduce(
    tracking: Tracking,
    model_ref: str,
    *,
    fresh: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Reproduction:
    """Repeat the training of a registered version and compare its scores.

    The verdict becomes tags of the version, and `build/reproduce/NAME-VERSION/report.json`. An
    interrupted repetition is resumed.

    Parameters
    ----------
    tracking : Tracking
    model_ref : str
        `models:/NAME@ALIAS` or `models:/NAME/VERSION`.
    fresh : bool, default False
        Install the packages of the recorded commit into a new environment, also where its
        `requirements.lock` is that of this project.
    say : callable, optional
        Receives a line before each step.

    Raises
    ------
    SpinscopeError
        If the version is unknown, or the store cannot record the verdict.
    """
    from spinscope.tracking import open_store
    from spinscope.tracking.registry import VERDICT, find, tag

    store = open_store(tracking)
    version = find(store, model_ref)
    folder = project_root() / "build/reproduce" / f"{version.name}-{version.version}"
    with locked(folder):
        if (folder / "report.json").is_file():  # of an earlier call
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            found = _repeat(store, version, folder, fresh, say)
        except _NotComparable as reason:
            found = _verdict(version, NOT_COMPARABLE, str(reason))
        write_json(folder / "report.json", asdict(found))
        if found.verdict != NOT_REPRODUCED:  # else the networks may explain the difference
            for name in ("code", "train", "data"):
                shutil.rmtree(folder / name, ignore_errors=True)
            (folder / ".train.lock").unlink(missing_ok=True)
    parts = {"": found.verdict, ".why": found.why, ".when": found.when}
    parts |= {".environment": found.environment}
    tag(store, version, {f"{VERDICT}{end}": text for end, text in parts.items()})
    return found


def verdict_text(tags: Mapping[str, str]) -> str:
    """Verdict in the tags of a version with its date and reason; empty without one."""
    from spinscope.tracking.registry import VERDICT

    if VERDICT not in tags:
        return ""
    when, why = tags.get(f"{VERDICT}.when", "")[:10], tags.get(f"{VERDICT}.why", "")
    return f"{tags[VERDICT]} on {when}: {why}"


def spread(mean: float, sd: float | None, seeds: int, repeated: int, n: int) -> tuple[float, float]:
    r"""Interval in which the mean over repeated seeds is expected.

    .. math:: \bar x \pm t_{1 - \alpha / 2n,\; k - 1} \; s \sqrt{1/k + 1/m}

    Parameters
    ----------
    mean, sd : float
        Mean and standard deviation over the recorded seeds; None for the SD of a single one.
    seeds, repeated : int
        Number of recorded seeds k, and of repeated ones m.
    n : int
        Number of scores that are compared; all of them lie in their intervals with a probability
        of at least `CONFIDENCE`.

    Returns
    -------
    tuple of float
        Ends of the interval. Without an SD they differ only by the rounding of the tags.
    """
    from scipy.stats import t

    half = _DIGITS * abs(mean)
    if sd is not None and seeds > 1:
        quantile = float(t.ppf(1 - (1 - CONFIDENCE) / (2 * n), seeds - 1))
        half += quantile * sd * math.sqrt(1 / seeds + 1 / repeated)
    return mean - half, mean + half


def recorded_settings(flat: Mapping[str, str], seed: int) -> dict[str, Any]:
    """Decisive sections of the settings from the parameters that a run has logged.

    Parameters
    ----------
    flat : mapping
        Parameters `section.key` → value as text.
    seed : int
        First seed of the experiment, in place of that of the run.

    >>> recorded_settings({"model.width": "16", "model.upscale": "None", "seed": "2"}, 1)["model"]
    {'width': 16, 'upscale': None}
    """
    nested: dict[str, Any] = {}
    for key, text in flat.items():
        *parents, last = key.split(".")
        inner = nested
        for parent in parents:
            inner = inner.setdefault(parent, {})
        try:
            inner[last] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            inner[last] = text
    return {**{name: nested.get(name, {}) for name in _DECISIVE}, "seed": seed}


def compare(
    tags: Mapping[str, str], scores: Mapping[str, float], metrics: Sequence[str], repeated: int
) -> tuple[Comparison, ...]:
    """Compare the mean scores of repeated seeds with those in the tags of a version.

    Parameters
    ----------
    tags : mapping
        `KEY.mean`, `KEY.sd` and `seeds` of the version.
    scores : mapping
        `KEY.mean` of the repeated training.
    metrics : sequence of str
        Keys of the scores; those that one side lacks are left out.
    repeated : int
        Number of repeated seeds.
    """
    known = [key for key in metrics if f"{key}.mean" in tags and f"{key}.mean" in scores]
    seeds, rows = len(tags["seeds"].split(",")), []
    for key in known:
        mean, sd = float(tags[f"{key}.mean"]), tags.get(f"{key}.sd")
        ends = spread(mean, None if sd is None else float(sd), seeds, repeated, len(known))
        rows.append(Comparison(key, mean, float(scores[f"{key}.mean"]), *ends))
    return tuple(rows)


def _repeat(
    store: Store, version: Version, folder: Path, fresh: bool, say: Callable[[str], None]
) -> Reproduction:
    """Check out, train and compare; raises `_NotComparable` with the reason."""
    tags = version.tags
    _check_origin(version)
    family, commit = families.of_model(tags), tags["git.commit"]
    code = _checked_out(commit, folder / "code")
    python, environment = _python(code, folder, fresh, say)
    settings = _settings(store, version)
    call = _Call(python, code, tags.get("params.profile", ""), family.name, folder)
    rebuilt = call.digest(settings)
    if rebuilt != tags.get("params.digest"):
        raise _NotComparable(
            f"the settings that the run recorded have the digest {rebuilt} at commit "
            f"{commit[:10]}, the version {tags.get('params.digest')}"
        )
    settings["data"]["path"] = str(_data(family, settings, tags["data.hash"], folder))
    settings["training"]["pretrained"] = _first_weights(store, settings)
    say(
        f"train {settings['training']['seeds']} seeds with the code of {commit[:10]} in "
        f"{environment}"
    )
    report = call.train(settings)
    metrics = (family.metric.name, *family.summarised)
    scores = compare(tags, report["validation"], metrics, len(report["seeds"]))
    if not scores or scores[0].metric != family.metric.name:
        raise _NotComparable(f"the version has no mean {family.metric.title} in its tags")
    changed = _changed_packages(tags) if python == sys.executable else ""
    seeds, first = len(tags["seeds"].split(",")), scores[0]
    outside = [row for row in scores if not row.within]
    shown = outside[0] if outside else first
    title = family.metric.title if shown is first else shown.metric
    text = (
        f"mean {title} {shown.retrained:.4f} of {len(report['seeds'])} retrained seeds is "
        f"{'outside' if outside else 'within'} {shown.low:.4f} to {shown.high:.4f}, the range of "
        f"{seeds} recorded seeds"
    )
    if outside and seeds == 1:
        raise _NotComparable(
            f"mean {title} is {shown.retrained:.4f}, recorded was {shown.recorded:.4f}; "
            "the version has one seed, so that the spread is unknown"
        )
    verdict = NOT_REPRODUCED if outside else REPRODUCED
    return _verdict(version, verdict, f"{text}{changed}", environment, scores)


def _verdict(
    version: Version,
    verdict: str,
    why: str,
    environment: str = "",
    scores: tuple[Comparison, ...] = (),
) -> Reproduction:
    when = datetime.now(UTC).isoformat(timespec="seconds")
    return Reproduction(version.ref, verdict, why[:2000], when, environment, scores)


def _check_origin(version: Version) -> None:
    """Refuse a version whose training was not recorded in full."""
    tags = version.tags
    if "added.from" in tags:
        raise _NotComparable(f"the model was trained elsewhere and added from {tags['added.from']}")
    if missing := [key for key in ("data.hash", "params.digest", "seeds") if key not in tags]:
        raise _NotComparable(f"the version has no tag {missing[0]}")
    if tags.get("git.commit", "unknown") == "unknown":
        raise _NotComparable("the training ran outside a git checkout, so its code is unknown")
    if tags.get("git.dirty") != "false":
        raise _NotComparable(
            f"the code of the training differed from commit {tags['git.commit'][:10]}: it had "
            "changes that were not committed"
        )


def _git(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    command = ["git", "-c", "core.hooksPath=/dev/null", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def _checked_out(commit: str, target: Path) -> Path:
    """Project folder of a commit in a clone of this repository."""
    root = project_root()
    place = _git("-C", root, "rev-parse", "--show-toplevel", "--show-prefix")
    if place.returncode:
        raise _NotComparable(f"{root} is no git checkout, so that the commit cannot be read")
    top, prefix = place.stdout.split("\n")[:2]
    if _git("-C", root, "cat-file", "-e", f"{commit}^{{commit}}").returncode:
        raise _NotComparable(f"commit {commit[:10]} is not in the repository {top}")
    if not (target / ".git").is_dir():
        shutil.rmtree(target, ignore_errors=True)
        _checked(_git("clone", "--quiet", "--shared", "--no-checkout", top, target))
    _checked(_git("-C", target, "checkout", "--quiet", "--force", "--detach", commit))
    return target / prefix


def _checked(done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode:
        raise SpinscopeError(f"git failed: {' '.join(done.stderr.split())[-300:]}")


def _python(code: Path, folder: Path, fresh: bool, say: Callable[[str], None]) -> tuple[str, str]:
    """Python that runs the recorded code, and its environment in words."""
    lock, own = code / LOCK, project_root() / LOCK
    text = lock.read_bytes() if lock.is_file() else None
    if not fresh and text is not None and own.is_file() and text == own.read_bytes():
        return sys.executable, f"this environment, whose {LOCK} has not changed since"
    if text is None:
        raise _NotComparable(f"the recorded commit has no {LOCK}, so its packages are unknown")
    place = folder.parent / f"environment-{digest(text.decode())}"
    python, words = place / "bin/python", f"a new environment of the {LOCK} of that commit"
    if not (place / "complete").is_file():
        say(f"install the packages of the recorded {LOCK} into {place}")
        options = ["--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps"]
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(place)],
            [str(python), "-m", "pip", "install", *options, "-r", str(lock)],
        ):
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                last = (done.stderr.strip() or "no message").splitlines()[-1]
                raise _NotComparable(f"the recorded packages cannot be installed: {last[:300]}")
        (place / "complete").touch()
    return str(python), words


def _settings(store: Store, version: Version) -> dict[str, Any]:
    """Decisive settings of the training, from the parameters of its run."""
    from spinscope.tracking.store import reachable

    with reachable(store.uri):
        flat = store.client.get_run(version.run_id).data.params
    if "training.epochs" not in flat:
        raise _NotComparable(f"the run {version.run_id} recorded no settings of a training")
    return recorded_settings(flat, min(map(int, version.tags["seeds"].split(","))))


def _data(family: families.Family, settings: dict, wanted: str, folder: Path) -> Path:
    """Folder of the recorded data: where they were, or copied from the DVC cache."""
    named = settings["data"]["path"]
    place = moke_path() if named == "auto" else project_root() / named
    try:
        found = data_hash(family.open(place))
    except (SpinscopeError, OSError) as error:
        found, here = None, f"the data cannot be opened ({error})"
    else:
        here = f"the data in {place} have changed: their hash is {found}"
    if found == wanted:
        return place.resolve()
    problem = cached_dataset(dvc_cache(project_root()), wanted, folder / "data")
    if problem is not None:
        raise _NotComparable(f"{here}, the version was trained on {wanted}, and {problem}")
    return folder / "data"


def _first_weights(store: Store, settings: dict) -> str | None:
    """First weights of the training, as the recorded code finds them in its own folder."""
    from spinscope.tracking import resolve

    ref = settings["training"]["pretrained"]
    if ref is None or ref.startswith("bundled:"):
        return ref
    if ref.startswith("models:") and "@" in ref:
        raise _NotComparable(f"the training started from {ref}, an alias that may have moved since")
    try:
        return str(resolve(store, ref).resolve())
    except SpinscopeError as error:
        raise _NotComparable(f"the first weights of the training are missing: {error}") from error


def _changed_packages(tags: Mapping[str, str]) -> str:
    """End of a sentence with the packages whose version is not the recorded one."""
    from spinscope.tracking.lineage import package_versions

    changed = [
        f"{key.removeprefix('version.')} {tags[key]} is now {value}"
        for key, value in package_versions().items()
        if tags.get(key, value) != value and key != "version.spinscope"
    ]
    return f"; {', '.join(changed)}" if changed else ""


@dataclass(frozen=True)
class _Call:
    """Calls of the recorded code in its own processes."""

    python: str
    code: Path
    profile: str
    family: str
    folder: Path

    def digest(self, settings: dict) -> str:
        """Digest of settings, as the recorded code computes it."""
        text = (
            "from spinscope.config import load_params; "
            f"print(load_params({self.profile!r}, family={self.family!r}).digest())"
        )
        return self._run(["-c", text], settings).strip().rpartition("\n")[2]

    def train(self, settings: dict) -> dict[str, Any]:
        """Train and evaluate; the report of the training."""
        out = self.folder / "train"
        words = ["-m", "spinscope", "train", self.family, "--out", str(out)]
        self._run([*words, "--steps", "train,evaluate"], settings)
        return json.loads((out / "report.json").read_text())

    def _run(self, words: list[str], settings: dict) -> str:
        """Standard output of a call; its standard error is passed on."""
        local = {"uri": "sqlite:///mlruns/mlflow.db", "artifacts": "mlruns/artifacts"}
        overrides = [f"{name}={json.dumps(value)}" for name, value in settings.items()]
        overrides += [f"tracking.{key}={value}" for key, value in local.items()]
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SPINSCOPE_", "PYTHON"))}
        environment = {
            **kept,
            "PYTHONPATH": str(self.code / "src"),
            "SPINSCOPE_ROOT": str(self.code),
            "SPINSCOPE_PROFILE": self.profile,
            "SPINSCOPE_SET": json.dumps(overrides),
        }
        process = subprocess.Popen(
            [self.python, *words], cwd=self.code, env=environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        last = "no message"
        for line in process.stderr:
            last = line.strip() or last
            if words[0] == "-m" and not line.startswith("hint:"):
                print(line, end="", file=sys.stderr, flush=True)
        output = process.stdout.read()
        if process.wait():
            if process.returncode < 0:
                raise SpinscopeError(f"the training was killed by signal {-process.returncode}")
            reason = last.removeprefix(_OWN).removeprefix("error: ")
            raise _NotComparable(f"the recorded code stops with: {reason[:500]}")
        return output
