"""Clocks that jump, two hosts at once, and a damaged cache."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from multiprocessing.synchronize import Barrier
from pathlib import Path

from tests.faults.base import ROOT, Trials, scenario
from tests.faults.operations import NAME, promoted, registered, tracking_at
from tests.servers import forking, postgres

from spinscope.reviews.folder import Reviews
from spinscope.tracking import MOVED, history, open_store, promotion
from spinscope.tracking.registry import current

_AT = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.faults.operations import promoted, review, tracking_at
from spinscope.processes import dead, this_process
from spinscope.tracking import open_store

folder, version, parent = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
review(folder, version)
promoted(open_store(tracking_at(folder)), version)
sys.exit(dead(parent) or dead(this_process()))
"""


@scenario("clock set by -1 day to +1 day between promotions and reviews", n=6)
def clock_jumps(folder: Path, rng: random.Random, n: int) -> Trials:
    """Each promotion and review is made with another clock; their order stays."""
    from spinscope.processes import this_process

    registered(open_store(tracking_at(folder / "store")), folder, n)
    script = folder / "at.py"
    script.write_text(_AT.format(root=str(ROOT)))
    for version in range(1, n + 1):
        jump = f"{rng.randint(-86400, 86400):+d}s"
        command = ["faketime", "-f", jump, sys.executable, script, folder / "store"]
        done = subprocess.run(
            [*command, str(version), this_process()], capture_output=True, text=True
        )
        store = open_store(tracking_at(folder / "store"))
        steps = [step.to_version for step in history(store, NAME)]
        reviewers = [one.who for one in Reviews.open(folder / "store/reviews").history("7")]
        if done.returncode != 0:
            yield f"{jump}: {done.stderr[-300:]}"
        elif steps != list(range(1, version + 1)):
            yield f"{jump}: the history says {steps}"
        elif reviewers != [f"reviewer {k}" for k in range(1, version + 1)]:
            yield f"{jump}: the reviews are of {reviewers}"
        else:
            yield None


def hosts(uri: str, folder: Path, *tasks: tuple[str, str, list[int]]) -> list[str]:
    """Let several hosts promote at once: (host, "alive" or "killed", versions); their errors."""
    context = forking()
    together = context.Barrier(len(tasks))
    processes = [
        context.Process(target=_promote, args=(*task, uri, folder, together)) for task in tasks
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [(folder / host / "log").read_text() for host, _, _ in tasks]


def _promote(
    host: str, start: str, versions: list[int], uri: str, folder: Path, together: Barrier
) -> None:
    """Promote versions in a process of a host, as soon as those of the other hosts are ready."""
    (folder / host).mkdir(exist_ok=True)
    sys.stderr = (folder / host / "log").open("w", buffering=1)
    socket.gethostname = lambda: host
    tempfile.tempdir = str(folder / host)  # no lock in common with another host
    promotion._MOVE_SECONDS = 3.0
    store = open_store(tracking_at(folder / "store", uri))
    together.wait(120)
    if start == "killed":
        promotion._set_alias = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    for version in versions:
        promoted(store, version)


def chain(store) -> str | None:
    """What is wrong with the history of promotions; None if every step follows the one before."""
    steps = history(store, NAME)
    for before, step in itertools.pairwise(steps):
        if step.from_version != before.to_version or step.action == MOVED:
            return f"the history says {[(s.from_version, s.to_version) for s in steps]}"
    lab = current(store, NAME)
    return None if lab and lab.version == steps[-1].to_version else f"the lab has {lab}"


@scenario("promotions at once on two hosts, one killed at the end", n=3)
def two_hosts(folder: Path, rng: random.Random, n: int) -> Trials:
    """Each of two hosts promotes n versions on one PostgreSQL server; then one is killed."""
    with postgres() as server:
        uri = server.database()
        store = open_store(tracking_at(folder / "store", uri))
        registered(store, folder, 2 * n + 3)
        numbers = list(range(2, 2 * n + 2))
        rng.shuffle(numbers)
        ours, theirs = numbers[:n], numbers[n:]
        errors = hosts(uri, folder, ("one", "alive", ours), ("two", "alive", theirs))
        steps = [step.to_version for step in history(store, NAME)]
        problem = chain(store)
        for number in numbers:
            lost = None if number in steps else f"version {number} is not in {steps}: {errors}"
            yield problem or lost
        hosts(uri, folder, ("one", "killed", [2 * n + 2]))
        (error,) = hosts(uri, folder, ("two", "alive", [2 * n + 3]))
        steps = [step.to_version for step in history(store, NAME)]
        done = 2 * n + 3 == steps[-1] and 2 * n + 2 not in steps
        yield chain(store) or (None if done else f"the history says {steps}: {error[-300:]}")


@scenario("DVC cache with a flipped bit", n=5)
def flipped_bit(folder: Path, rng: random.Random, n: int) -> Trials:
    """The damaged object is found and named, and fetched again from the remote."""
    from dvc.repo import Repo

    from spinscope.jobs.cached_data import damaged_objects, fetch_damaged

    project, remote = folder / "project", folder / "remote"
    data = project / "data"
    data.mkdir(parents=True)
    for k in range(4):
        (data / f"{k}.bin").write_bytes(rng.randbytes(1000))
    subprocess.run(["git", "init", "-q", project], check=True)
    with Repo.init(str(project)) as repo:
        with repo.config.edit() as config:
            config["remote"]["store"] = {"url": str(remote)}
            config["core"] = {"remote": "store", "analytics": False}
        repo.add(str(data))
        repo.push()
    contents = {path.name: path.read_bytes() for path in data.iterdir()}
    for k in range(n):
        objects = [p for p in (project / ".dvc/cache/files/md5").rglob("*") if p.is_file()]
        hit = rng.choice(sorted(objects))
        content = bytearray(hit.read_bytes())
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        hit.chmod(0o644)
        hit.write_bytes(content)
        hit.chmod(0o444)
        found = damaged_objects(project)
        if found != [hit]:
            yield f"flip {k}: found {found}, not {hit}"
            continue
        fetch_damaged(project)
        shutil.rmtree(data)
        with Repo(str(project)) as repo:
            repo.checkout(force=True)
        same = contents == {path.name: path.read_bytes() for path in data.iterdir()}
        yield None if same and not damaged_objects(project) else f"flip {k}: {hit} is not restored"
