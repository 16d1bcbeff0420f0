"""Small films, and their compiled fields, that the tests of the simulation share."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from spinscope.config import Films, load_params

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
            "evaluations": 4000,
            "batch": 2,
            "shard_films": 2,
        }
    )


@pytest.fixture(scope="session")
def evaluate() -> Callable:
    """(m (N, 3, H, W), grid, kind, material ...) → (h, energy), each compiled once."""
    from spinscope.physics.effective_field import arrays, field_and_energy, require_jax

    require_jax()
    import jax

    compiled = cache(lambda grid, kind: jax.jit(field_and_energy(grid, kind)))

    def of(
        m, grid, kind="interfacial", *, ms=MS, a_ex=0.0, dmi=0.0, ku=0.0, b_ext=0.0, exchange=None
    ):
        n = len(m)
        ms = np.broadcast_to(ms, (n, *grid.shape))
        values = (np.broadcast_to(value, n) for value in (a_ex, dmi, ku, b_ext))
        films = arrays(grid, ms, *values, exchange)
        return tuple(map(np.asarray, compiled(grid, kind)(np.float32(m), films)))

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
