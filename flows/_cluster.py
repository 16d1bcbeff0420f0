"""Units of a flow on Dask workers: of this machine, or of a cluster with SLURM."""

from __future__ import annotations

import importlib
import inspect
import logging
import math
import os
import shlex
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import Task
from prefect.futures import PrefectFuture

from spinscope.config import Cluster, project_root
from spinscope.errors import SpinscopeError
from spinscope.extras import explained

if TYPE_CHECKING:
    from dask_jobqueue import SLURMCluster
    from prefect_dask import DaskTaskRunner

FOLDER = Path(__file__).parent
_TLS = {"protocol": "tls://", "security": True}
"""Certificates of one cluster alone: whoever reaches a scheduler of Dask can run code on it."""


def run_units(
    task: Task, units: Sequence[Mapping[str, Any]], cluster: Cluster | None, at_once: int
) -> list[Any]:
    """Results of a task for every unit, in order.

    A unit fails after the retries of its task. The others are finished before its error is raised,
    so that the next call only repeats the failed ones.

    Parameters
    ----------
    task : Task
        Task of one unit, in a module of this folder.
    units : sequence of mappings
        Arguments of the task.
    cluster : Cluster, optional
        Workers of the units; without any, they are tasks of this process.
    at_once : int
        Units that run at a time without workers.
    """
    if cluster is None or cluster.kind == "none" or not units:
        return bounded(lambda unit: task.submit(**unit), units, at_once)
    task = importable(task)
    with runner(cluster, len(units)) as workers:
        return bounded(lambda unit: workers.submit(task, dict(unit)), units, len(units))


def bounded(
    submit: Callable[[Any], PrefectFuture], units: Sequence[Any], at_once: int
) -> list[Any]:
    """Results of `submit(unit)` in order, with at most `at_once` units under way.

    A deployment loads the flow from its file, which loses the bound of a task runner.

    Parameters
    ----------
    submit : callable
        Starts one unit and returns its future.
    units : sequence
        Units, in order.
    at_once : int
        Largest number of units under way.

    Raises
    ------
    Exception
        The first error of a unit, after the units under way have ended.
    """
    under_way: deque[PrefectFuture] = deque()
    results = []
    try:
        for unit in units:
            if len(under_way) == at_once:
                results.append(under_way.popleft().result())
            under_way.append(submit(unit))
        while under_way:
            results.append(under_way.popleft().result())
    finally:
        for future in under_way:
            future.wait()
    return results


def importable(task: Task) -> Task:
    """The same task, of a module that a worker can import.

    A worker receives the name of a task's module. That of a script is ``__main__``, and that of a
    deployment is known to one process only.

    Parameters
    ----------
    task : Task
        Task of a file in this folder, with its options.
    """
    file = Path(inspect.getfile(task.fn))
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))
    found = getattr(importlib.import_module(file.stem), task.fn.__name__)
    return found.with_options(name=task.name, retries=task.retries)


def runner(cluster: Cluster, units: int) -> DaskTaskRunner:
    """Task runner with the workers of a cluster, which end with it.

    Parameters
    ----------
    cluster : Cluster
        Kind, number and size of the workers.
    units : int
        Number of units; no more workers are started.

    Raises
    ------
    SpinscopeError
        If the extra ``cluster`` is missing, or the nodes cannot reach the server of Prefect.
    """
    _prepare_dask()
    from distributed import LocalCluster
    from prefect_dask import DaskTaskRunner

    number = min(cluster.workers, units)
    if cluster.kind == "slurm":
        from prefect.settings import PREFECT_API_URL

        if not PREFECT_API_URL.value():
            raise SpinscopeError(
                "cluster.kind (=slurm) needs a Prefect server that the nodes reach: start one, and "
                "set PREFECT_API_URL to its address"
            )
        return DaskTaskRunner(
            cluster_class=slurm_cluster,
            cluster_kwargs={"cluster": cluster},
            # As many jobs as units are left; one that ends too early is submitted again.
            adapt_kwargs={"minimum": 0, "maximum": number, "target_duration": "1ms"},
        )
    given = {
        "n_workers": number,
        "threads_per_worker": 1,
        "memory_limit": f"{cluster.memory_gb}GB",
        "host": "127.0.0.1",
        "dashboard_address": "127.0.0.1:0",
        "silence_logs": "ERROR",
        "env": _threads(cluster),
        **_TLS,
    }
    return DaskTaskRunner(cluster_class=LocalCluster, cluster_kwargs=given)


def slurm_cluster(cluster: Cluster, **given: Any) -> SLURMCluster:
    """Dask cluster whose workers are jobs of SLURM, one process each; none is submitted yet.

    Parameters
    ----------
    cluster : Cluster
        Partition, account, size and limits of the jobs.
    **given
        Further arguments of `dask_jobqueue.SLURMCluster`.

    Raises
    ------
    SpinscopeError
        If the extra ``cluster`` is missing.
    """
    _prepare_dask()
    from dask_jobqueue import SLURMCluster

    folder = project_root() / "build/slurm"
    folder.mkdir(parents=True, exist_ok=True)
    variables = _threads(cluster) | {
        "DASK_DISTRIBUTED__WORKER__DAEMON": "False",
        "SPINSCOPE_ROOT": str(project_root()),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(FOLDER), os.environ.get("PYTHONPATH")])),
    }
    minutes = math.ceil(60 * cluster.walltime_h)
    exports = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    return SLURMCluster(
        job_name="spinscope",
        cores=1,  # threads of Dask, which run one unit each
        job_cpu=cluster.cores,
        processes=1,
        memory=f"{cluster.memory_gb}GB",
        queue=cluster.queue,
        account=cluster.account,
        walltime=f"{minutes // 60:02d}:{minutes % 60:02d}:00",
        interface=cluster.interface,
        job_extra_directives=list(cluster.directives),
        job_script_prologue=[*exports, *cluster.prologue],
        worker_extra_args=["--no-dashboard"],
        scheduler_options={"dashboard_address": "127.0.0.1:0"},
        log_directory=str(folder),
        shared_temp_directory=str(folder),  # certificates, readable by their owner only
        **_TLS,
        **given,
    )


def job_script(cluster: Cluster) -> str:
    """Script of a worker that `sbatch` receives.

    Parameters
    ----------
    cluster : Cluster
        Settings, of the kind ``slurm``.

    Raises
    ------
    SpinscopeError
        If the workers are no jobs of SLURM.
    """
    if cluster.kind != "slurm":
        raise SpinscopeError(
            f"cluster.kind (={cluster.kind}) starts processes of this machine, without a job "
            "script; --set cluster.kind=slurm starts jobs of SLURM"
        )
    with slurm_cluster(cluster) as found:
        return found.job_script()


def _threads(cluster: Cluster) -> dict[str, str]:
    """Environment variables that bound the threads of a worker."""
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    return dict.fromkeys(names, str(cluster.cores))


def _prepare_dask() -> None:
    """Settings of Dask: units may start processes, and no page of a scheduler is served."""
    with explained("cluster.kind"):
        import dask
        import dask_jobqueue
        import distributed  # reads its own settings first
        import prefect_dask

    assert distributed and prefect_dask and dask_jobqueue
    dask.config.set(
        {
            "distributed.worker.daemon": False,
            "distributed.scheduler.http.routes": [],
            "distributed.worker.http.routes": [],
        }
    )
    logging.getLogger("distributed").setLevel(logging.ERROR)
    logging.getLogger("prefect.task_runner.dask").setLevel(logging.WARNING)
