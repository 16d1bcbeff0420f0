"""Train a model family over seeds: validate, train with retries, evaluate, track, register."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import INPUTS
from prefect.futures import PrefectFuture

from spinscope import families, jobs
from spinscope.config import Params, load_params
from spinscope.datasets import data_hash
from spinscope.processes import end_with_parent


@task(
    name="train-seed",
    task_run_name="seed-{seed}",
    persist_result=True,
    result_serializer="json",
    # The settings' digest and the data's hash are among the inputs: a finished seed is not trained
    # again, one of other settings or data is.
    cache_policy=INPUTS - "profile" - "overrides" - "parent_id",
)
def train_seed(
    seed: int,
    settings: str,
    data: str,
    profile: str | None,
    overrides: list[str],
    out: str,
    parent_id: str | None,
    family: str = "moke-unet",
) -> dict:
    """One seed in a process of its own, so that one that dies takes nothing with it."""
    context = get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=end_with_parent) as pool:
        row = pool.submit(_train_seed, seed, profile, overrides, out, parent_id, family).result()
    metric = families.get(family).metric
    value = row["validation"][metric.name]
    get_run_logger().info("seed %d: validation %s %.4f", seed, metric.title, value)
    return row


def _train_seed(
    seed: int,
    profile: str | None,
    overrides: list[str],
    out: str,
    parent_id: str | None,
    family: str,
) -> dict:
    params = load_params(profile, overrides, family=family)
    return jobs.train_seed(params, seed, Path(out), parent_id=parent_id)


@flow(name="train-seeds")
def train_seeds(
    profile: str | None = None,
    overrides: list[str] | None = None,
    out: str | None = None,
    family: str | None = None,
) -> dict:
    """Train a family, `moke-unet` by default, over the seeds of a profile and register the best."""
    overrides = overrides or []
    params = load_params(profile, overrides, family=family or "moke-unet")
    folder = Path(out) if out else jobs.out_folder(f"train/{params.family}")
    report = jobs.train(params, folder, run_seeds=in_tasks(params, profile, overrides, folder))
    create_markdown_artifact(markdown(report), key="train-seeds")
    return report


def in_tasks(
    params: Params, profile: str | None, overrides: list[str], folder: Path
) -> Callable[[list[int], str], list[dict]]:
    """The `run_seeds` of `jobs.train`: a task with retries each, `flows.concurrency` at a time.

    profile, overrides : give `params` again in another process.
    """
    dataset, _ = jobs.split(params)
    settings, data = params.digest(), data_hash(dataset)

    def run_seeds(seeds: list[int], parent_id: str) -> list[dict]:
        def submit(seed: int):
            return train_seed.with_options(
                retries=params.flows.retries,
                # A result that is kept while another model, or none, lies there is no result.
                refresh_cache=not jobs.holds_seed(folder, seed, settings),
            ).submit(
                seed=seed,
                settings=settings,
                data=data,
                profile=profile,
                overrides=overrides,
                out=str(folder),
                parent_id=parent_id,
                family=params.family,
            )

        return bounded(submit, seeds, params.flows.concurrency)

    return run_seeds


def markdown(report: dict) -> str:
    """Table over the seeds."""
    name = report["metric"]["name"]
    columns = {report["metric"]["title"]: name, "with TTA": f"{name}_tta"}
    columns = {title: key for title, key in columns.items() if key in report["seeds"][0]}
    rows = [
        "| ".join(
            ["", f"{row['seed']} ", *(f"{row[key]:.4f} " for key in columns.values()),
             f"{row['seconds']:.0f} |"]
        )
        for row in report["seeds"]
    ]  # fmt: skip
    titles = ["seed", *columns, "seconds"]
    head = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    return "\n".join([*head, *rows, "", f"Registered as `{report['registered']}`."])


def bounded(submit: Callable[[int], PrefectFuture], seeds: list[int], at_once: int) -> list[dict]:
    """Results of `submit(seed)` in order, with at most `at_once` seeds under way.

    A task runner's own bound would be lost in a deployment, which loads the flow from its file.
    """
    under_way: deque[PrefectFuture] = deque()
    rows = []
    for seed in seeds:
        if len(under_way) == at_once:
            rows.append(under_way.popleft().result())
        under_way.append(submit(seed))
    return rows + [future.result() for future in under_way]


if __name__ == "__main__":
    from _arguments import one_sentence, parse

    with one_sentence():
        train_seeds(**parse(__doc__, family="moke-unet or ltem-unet"))
