"""Chunks of a corpus as jobs of a private SLURM of one node; runs with SPINSCOPE_SLURM=1."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.flows.conftest import FLOWS
from tests.servers import HOST, free_port, wait_for

from spinscope.config import load_params

DAEMONS = ("munged", "slurmctld", "slurmd")
PATH = f"{os.environ['PATH']}:/usr/sbin"
PATIENCE_S = 300
CONFIGURATION = """\
ClusterName=lab
SlurmctldHost={host}({address})
SlurmctldPort={port}
SlurmdPort={node_port}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
NodeName={host} NodeAddr={address} CPUs={cores} RealMemory=4000 State=UNKNOWN
PartitionName=lab Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.environ.get("SPINSCOPE_SLURM") != "1", reason="needs SPINSCOPE_SLURM=1"),
    pytest.mark.skipif(
        not all(shutil.which(name, path=PATH) for name in DAEMONS),
        reason=f"needs {', '.join(DAEMONS)}",
    ),
]


@pytest.fixture
def slurm() -> Iterator[Callable[..., str]]:
    """Function that runs a command of SLURM, on a cluster of this machine alone."""
    # Not below pytest's own folder: a socket has a short path, and munged refuses closed folders.
    folder = Path(tempfile.mkdtemp(prefix="spinscope-slurm-"))
    folder.chmod(0o711)
    ports = {"port": free_port(), "node_port": free_port()}
    configuration = folder / "slurm.conf"
    configuration.write_text(
        CONFIGURATION.format(
            host=socket.gethostname().partition(".")[0], address=HOST, folder=folder,
            user=getpass.getuser(), cores=os.cpu_count(), **ports,
        )
    )  # fmt: skip
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(128))
    sockets = [f"--socket={folder}/munge.sock", f"--key-file={key}"]
    files = [f"--{name}-file={folder}/munge.{name}" for name in ("pid", "log", "seed")]

    def ask(*words: str) -> str:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
        return done.stdout.strip() if done.returncode == 0 else ""

    started: list[subprocess.Popen] = []

    def start(ready: Callable[[], bool], name: str, *options: str) -> None:
        program, log = shutil.which(name, path=PATH), folder / f"{name}.log"
        with log.open("w") as file:
            started.append(subprocess.Popen([program, *options], stdout=file, stderr=file))
        wait_for(ready, started[-1], log)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(configuration))
        try:
            start((folder / "munge.sock").exists, "munged", "--foreground", *sockets, *files)
            start(lambda: "UP" in ask("scontrol", "ping"), "slurmctld", "-D")
            start(lambda: ask("sinfo", "-h", "-o", "%T") == "idle", "slurmd", "-D")
            assert {HOST} == {address for port in ports.values() for address in listeners(port)}
            yield ask
        finally:
            try:
                if len(started) == len(DAEMONS):
                    ask("scancel", "--user", getpass.getuser())
                    wait_until(lambda: not ask("squeue", "-h"))
            finally:
                for process in reversed(started):
                    end(process)
                shutil.rmtree(folder)


def listeners(port: int) -> list[str]:
    """Addresses on which a port is open; one of IPv6 stays in hexadecimal digits."""
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            address, _, number = local.partition(":")
            if state == "0A" and int(number, 16) == port:
                four = len(address) == 8
                found.append(socket.inet_ntoa(bytes.fromhex(address)[::-1]) if four else address)
    return found


def wait_until(condition: Callable[[], bool], goes_on: Callable[[], bool] = lambda: True) -> None:
    """Wait for a condition; fail after some minutes, or where nothing goes on any more."""
    stop = time.monotonic() + PATIENCE_S
    while not condition():
        assert goes_on()
        assert time.monotonic() < stop
        time.sleep(0.1)


def end(process: subprocess.Popen) -> None:
    """End a process that was started here."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(30)
    process.kill()
    process.wait()


def test_a_killed_job_costs_no_byte(prefect, slurm, tmp_path):
    from prefect.settings import PREFECT_API_URL

    from spinscope.corpora.lattice import make_lattice_corpus
    from spinscope.corpora.writing import parts_folder

    made, log = tmp_path / "made", tmp_path / "log"
    corpus = [
        "lattice.n=6", "lattice.size=64", "lattice.sweeps=20000", "lattice.shard_lattices=2",
        "lattice.workers=1",
    ]  # fmt: skip
    cluster = [
        "cluster.kind=slurm", "cluster.workers=1", "cluster.memory_gb=2", "cluster.interface=lo",
    ]  # fmt: skip
    words = [word for one in (*corpus, *cluster) for word in ("--set", one)]
    command = [sys.executable, str(FLOWS / "corpus.py"), "--kind", "lattice", "--profile", "demo"]
    command += ["--out", str(made), *words]
    environment = {**os.environ, "PREFECT_API_URL": PREFECT_API_URL.value()}
    with log.open("w") as file:
        flow = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
    try:
        chunks = parts_folder(made)
        wait_until(lambda: any(chunks.glob("m-????.npy")), lambda: flow.poll() is None)
        (killed,) = slurm("squeue", "-h", "-t", "R", "-o", "%i").split()
        slurm("scancel", "--full", "--signal=KILL", killed)
        assert flow.wait(PATIENCE_S) == 0, log.read_text()
    finally:
        end(flow)
    jobs = slurm("squeue", "-h", "-t", "all", "-o", "%i").split()
    assert set(jobs) > {killed}, "no job took the place of the killed one"
    params = load_params("demo", corpus, family="field-fcn")
    here = make_lattice_corpus(tmp_path / "here", params.seed, params.lattice)
    assert {p.name: p.read_bytes() for p in made.iterdir()} == {
        p.name: p.read_bytes() for p in here.iterdir()
    }
