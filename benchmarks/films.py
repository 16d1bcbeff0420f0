"""Films relaxed per hour, and the speedup over NeuralMag's LLG relaxation of the same film.

`films.per_hour`: films of 256 x 256 cells relaxed from disorder to a torque below the tolerance, as
in a corpus: with a full batch, without the compilation (`compile_s`).

`films.speedup_vs_llg`: one film, without a batch, from the same initial state to the same torque.
Peer: `LLGSolver.relax` with NeuralMag's terms as in its guide (2D mesh, m on the nodes, float32),
compiled beforehand. With m in the cells, the skyrmions of such a film unwind: exchange between
averages does not see a chequerboard. If the peer is stopped before it reaches the torque, the
speedup is a lower bound (`bound`), and `peer_torque` is the torque that it reached. `..._128`: the
same on 128 x 128 cells.

`films.energy_difference`: relative change of NeuralMag's energy when its solver relaxes our relaxed
film further. Peer: the limit.
"""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from _rows import row, seconds_of
from spinscope.config import Films, load_params
from spinscope.corpora.films import Draw, draw_film, grid_of, relaxed_films
from spinscope.physics.effective_field import require_jax
from spinscope.physics.film import MU_0
from spinscope.physics.minimise import Relaxed, relax
from spinscope.physics.topology import state

FILMS = 16
SIZE, SMALL = 256, 128
PATIENCE = {SIZE: 45.0, SMALL: 15.0}
"""Time limit of the peer from disorder, s."""

SETTLING = 60.0
"""Time limit of the peer from our relaxed film, s."""

LIMIT = 1e-4
"""Limit on the relative energy difference."""

GAMMA = 221276.14725379366
"""Gyromagnetic ratio of NeuralMag, m/(A s)."""


def main() -> dict[str, dict]:
    """Measure; returns name → {value, unit, peer, ratio}."""
    corpus = settings(SIZE)
    compiling = seconds_of(lambda: relax_uniform(corpus))
    per_hour = films_per_hour(corpus)
    large, _ = against_llg(SIZE)
    small, (draw, ours, peer) = against_llg(SMALL)
    extra = {"compile_s": round(compiling, 1), "bound": large["bound"]}
    return {
        "films.per_hour": row(per_hour, "1/h", 3600 / large["peer_s"], **extra),
        "films.speedup_vs_llg": large,
        "films.speedup_vs_llg_128": small,
        "films.energy_difference": energy_difference(draw, ours[0], peer),
    }


def settings(size: int, **changes) -> Films:
    """Films of the profile `laptop` with `size` cells along an edge."""
    films = load_params("laptop", family="ltem-unet").films
    return films.model_copy(update={"height": size, "width": size} | changes)


def relax_uniform(films: Films) -> None:
    """Relax a film that is relaxed already: compiles the steps and does little else."""
    start = draw_film(0, 0, films).start(grid_of(films))
    start.m[:] = np.array([0, 0, 1])[:, None, None]
    list(relax(grid_of(films), films.dmi_kind, [start], tolerance=films.tolerance))


def films_per_hour(corpus: Films) -> float:
    """Rate after the first films, when those that are relaxed together are in different stages."""
    films = relaxed_films(list(range(100 * FILMS)), 0, corpus)
    next(islice(films, 3, None))
    return 3600 * FILMS / seconds_of(lambda: list(islice(films, FILMS)))


def against_llg(size: int) -> tuple[dict, tuple[Draw, tuple[Relaxed, float], Peer]]:
    """Measure a film without grains: row of the speedup, and (film, (result, seconds), peer).

    NeuralMag has no weak exchange between single cells.
    """
    films = settings(size, grained_fraction=0.0)
    draw, grid = draw_film(0, 0, films), grid_of(films)
    relax_uniform(films)
    options = {"tolerance": films.tolerance}
    results = []
    seconds = seconds_of(
        lambda: results.extend(relax(grid, films.dmi_kind, [draw.start(grid)], **options))
    )
    ours = results[0][1], seconds
    peer = Peer(draw, size)
    return speedup(draw, ours, peer), (draw, ours, peer)


def speedup(draw: Draw, ours: tuple[Relaxed, float], peer: Peer) -> dict:
    """Row of the peer's time over ours, to the torque of our relaxed film."""
    result, seconds = ours
    theirs = peer.relax(draw.m, PATIENCE[draw.m.shape[-1]])
    ratio = theirs.seconds / seconds
    return row(
        ratio,
        "times",
        1,
        bound=not theirs.done,
        s=round(seconds, 3),
        peer_s=round(theirs.seconds, 2),
        torque=float(f"{result.torque:.3g}"),
        peer_torque=float(f"{theirs.torque:.3g}"),
    )


def energy_difference(draw: Draw, ours: Relaxed, peer: Peer) -> dict:
    """Row of the relative energy by which NeuralMag's solver relaxes our film further."""
    before = peer.energy(ours.m)
    theirs = peer.relax(ours.m, SETTLING)
    change = abs(theirs.energy / before - 1)
    return row(
        change,
        "of E",
        LIMIT,
        bound=not theirs.done,
        peer_torque=float(f"{theirs.torque:.3g}"),
        objects=state(np.moveaxis(ours.m, 0, -1)).objects,
        peer_objects=state(np.moveaxis(theirs.m, 0, -1)).objects,
    )


@dataclass(frozen=True)
class Run:
    """Result of NeuralMag's solver."""

    m: np.ndarray
    """Unit magnetisation, (3, H, W)."""
    energy: float
    torque: float
    seconds: float
    done: bool


class Peer:
    """A film in NeuralMag; its arrays are (x, y, component)."""

    def __init__(self, draw: Draw, size: int):
        require_jax()
        import jax
        import neuralmag as nm

        nm.set_log_level(30)
        films, material = settings(size), draw.material
        grid = grid_of(films)
        self.tolerance = films.tolerance
        self.ms = material.ms
        mesh = nm.Mesh(
            (size, size),
            (grid.cell, grid.cell, grid.thickness),
            pbc=(grid.images, grid.images),
        )
        self.state = film = nm.State(mesh)
        film.m = nm.VectorFunction(film).fill((0.0, 0.0, 1.0))
        film.material.Ms, film.material.A = material.ms, material.a_ex
        film.material.Di, film.material.Di_axis = -material.dmi, [0.0, 0.0, 1.0]
        film.material.alpha = 1.0
        nm.ExchangeField().register(film, "exchange")
        nm.InterfaceDMIField().register(film, "dmi")
        nm.DemagField().register(film, "demag")
        external = film.tensor([0.0, 0.0, material.b_ext / MU_0])
        nm.ExternalField(external).register(film, "external")
        nm.TotalField("exchange", "dmi", "demag", "external").register(film)
        self.field = jax.jit(film.resolve("h", ["m"]))
        self.solver = nm.LLGSolver(film)
        self._compile()

    def _compile(self) -> None:
        """Compile the equation once; `relax` would compile it at every call."""
        term = self.solver._setup_term({"material__alpha": self.state.tensor(1.0)})
        self.solver._setup_term = lambda replace=None: term
        tilted = np.zeros((3, *self.state.m.tensor.shape[1::-1]), dtype=np.float32)
        tilted[0], tilted[2] = np.sin(0.1), np.cos(0.1)
        self._set(tilted)
        self.solver.relax(tol=0.9 * self._speed(self._torque()))

    def _set(self, m: np.ndarray) -> None:
        self.state.m.tensor = self.state.tensor(m.transpose(2, 1, 0))

    def _torque(self) -> float:
        """Maximum of |m x h| / Ms."""
        m = np.asarray(self.state.m.tensor)
        return float(np.linalg.norm(np.cross(m, self.field(m)), axis=-1).max() / self.ms)

    def _speed(self, torque: float) -> float:
        """Return |dm/dt| at a torque with a damping of 1, rad/s."""
        return GAMMA / np.sqrt(2) * torque * self.ms

    def energy(self, m: np.ndarray) -> float:
        """Return NeuralMag's energy of m (3, H, W) in J."""
        self._set(m)
        return float(self.state.E)

    def relax(self, m: np.ndarray, patience: float) -> Run:
        """Relax m (3, H, W) until the torque is below the tolerance, or for `patience` seconds."""
        self._set(m)
        done = False

        def work() -> None:
            nonlocal done
            with contextlib.suppress(_OutOfTime), alarm(patience):
                self.solver.relax(tol=self._speed(self.tolerance))
                done = True

        seconds = seconds_of(work)
        m = np.asarray(self.state.m.tensor).transpose(2, 1, 0)
        return Run(m, float(self.state.E), self._torque(), seconds, done)


class _OutOfTime(Exception):
    """The time limit of the peer is reached."""


@contextlib.contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raise _OutOfTime in the block after some seconds."""

    def ring(*_):
        raise _OutOfTime

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1)  # repeated, in case a signal is lost
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


if __name__ == "__main__":
    print(json.dumps(main()))
