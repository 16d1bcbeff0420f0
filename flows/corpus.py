"""Make a simulated corpus of films, lattices or domain films, on a cluster chunk by chunk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from _arguments import (
    DEFAULT_PROFILE,
    Overrides,
    Profile,
    begin,
    described,
    run_flow,
)
from _cluster import run_units
from spinscope import jobs
from spinscope.config import Params, dataset_path, load_params
from spinscope.files import locked

Kind = Annotated[
    Literal[tuple(jobs.CHUNKED)],
    "films, lattice, or dmi or ms: domain films of which that constant varies.",
]


@task(name="chunk", task_run_name="{kind}-{chunk}", cache_policy=NO_CACHE)
def make_chunk(kind: str, chunk: int, profile: str | None, overrides: list[str], out: str) -> None:
    """Make one chunk of a corpus."""
    params = load_params(profile, overrides, family=jobs.CHUNKED[kind])
    jobs.make_chunk(params, kind, Path(out), chunk)


@task(name="complete", cache_policy=NO_CACHE)
def complete(kind: str, profile: str | None, overrides: list[str], out: str) -> str:
    """Make what is still missing on this machine, and complete the corpus."""
    params = load_params(profile, overrides, family=jobs.CHUNKED[kind])
    return str(jobs.chunked_corpus(params, kind, Path(out)))


def chunks_on_cluster(
    params: Params, kind: str, profile: str | None, overrides: list[str], out: Path
) -> int:
    """Make the missing chunks of a corpus on the workers of the section ``cluster``, if any.

    Parameters
    ----------
    params : Params
        Settings of the family of the corpus.
    kind : str
        Of `jobs.CHUNKED`.
    profile, overrides
        Profile and overrides of `params`, from which another process loads them.
    out : Path
        Folder of the corpus.

    Returns
    -------
    int
        Number of chunks; 0 without workers.
    """
    if params.cluster.kind == "none":
        return 0
    again = make_chunk.with_options(retries=params.flows.retries)
    given = {"kind": kind, "profile": profile, "overrides": overrides, "out": str(out)}
    units = [{"chunk": chunk, **given} for chunk in jobs.missing_chunks(params, kind, out)]
    run_units(again, units, params.cluster, 1)
    return len(units)


@flow(name="corpus", flow_run_name="{kind} {profile}")
@described
def corpus(
    kind: Kind = "films",
    profile: Profile = DEFAULT_PROFILE,
    out: Annotated[Path | None, "Folder of the corpus; None: that of the command."] = None,
    overrides: Overrides = [],  # noqa: B006
) -> str:
    """Make a corpus of films, lattices or domain films; a partial one is resumed."""
    waiting = begin()
    overrides = list(overrides)
    params = load_params(profile, overrides, family=jobs.CHUNKED[kind])
    given = jobs.out_folder("corpus/films") if kind == "films" else dataset_path(params)
    folder = Path(out).resolve() if out else given
    with locked(folder, waiting=waiting):
        chunks = chunks_on_cluster(params, kind, profile, overrides, folder)
        made = complete.with_options(retries=params.flows.retries)(
            kind, profile, overrides, str(folder)
        )
    create_markdown_artifact(f"{kind} in `{made}`, {chunks} chunks on workers", key="corpus")
    return made


if __name__ == "__main__":
    run_flow(corpus, None, "corpus")
