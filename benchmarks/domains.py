"""Domain films relaxed per hour, time and memory against the size of a film, period of stripes.

`domains.films_per_hour`: films of 256 x 256 cells at drawn values of D, relaxed from random spins
to the tolerance of the corpus, without the compilation. `ms`: the same at drawn
values of Ms. Peer: the limit.

`domains.seconds_1024`: seconds of one film of 1024 x 1024 cells, without the
compilation. Peer: 64 times those of a film of 128 x 128 cells. `curve`: cells along an edge →
seconds, evaluations of the field on the full grid, and peak memory of the process in GB. Each size
is measured in a process of its own, with the same constants.

`domains.stripe_period`: largest relative deviation, over values of D, of the period of lowest
energy among relaxed stripes from the analytical one. Peer: the limit. `periods_nm`: D in mJ/m² →
relaxed period, analytical one, and that of sharp walls.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from itertools import count, islice

from _rows import row, seconds_of
from spinscope.config import Domains, load_params
from spinscope.corpora.domains import DomainFilm, draw_domain, relaxed_domains
from spinscope.physics.minimise import Relaxed
from spinscope.physics.stripes import relaxed_period, sharp_period, stripe_period

FILMS = 16
SIZE = 256
SIZES = (128, 256, 512, 1024)
LIMIT, LARGEST_DEVIATION = 100, 0.15
STRIPES = (0.2e-3, 0.55e-3, 1e-3)
"""Values of D in J/m²."""


def main() -> dict[str, dict]:
    """Measure; returns name → {value, unit, peer, ratio}."""
    per_hour = {name: films_per_hour(name) for name in ("dmi", "ms")}
    curve = {str(size): measured(size) for size in SIZES}
    small, large = curve[str(SIZES[0])]["s"], curve[str(SIZES[-1])]["s"]
    scaled = small * (SIZES[-1] / SIZES[0]) ** 2
    periods = {f"{1e3 * dmi:g}": stripe_periods(dmi) for dmi in STRIPES}
    deviation = max(abs(relaxed / exact - 1) for relaxed, exact, _ in periods.values())
    return {
        "domains.films_per_hour": row(per_hour["dmi"], "1/h", LIMIT, ms=round(per_hour["ms"])),
        "domains.seconds_1024": row(large, "s", scaled, scaled / large, curve=curve),
        "domains.stripe_period": row(
            deviation, "of P", LARGEST_DEVIATION, LARGEST_DEVIATION / deviation, periods_nm=periods
        ),
    }


def settings(parameter: str, size: int, **changes) -> Domains:
    """Films of the profile `laptop` with `size` cells along an edge."""
    films = load_params("laptop", family="parameter-cnn").domains
    sets = {parameter: films.sets[parameter].model_copy(update={"size": size})}
    return films.model_copy(update={"sets": sets, **changes})


def relaxed(parameter: str, films: Domains) -> Iterator[tuple[DomainFilm, Relaxed]]:
    """Relax films without an end."""
    drawn = (draw_domain(number, 0, parameter, films) for number in count())
    return relaxed_domains(drawn, parameter, films)


def films_per_hour(parameter: str) -> float:
    """Rate after the first films, when those that are relaxed together are in different stages."""
    corpus = settings(parameter, SIZE)
    films = relaxed(parameter, corpus)
    next(islice(films, 3, None))
    return 3600 * FILMS / seconds_of(lambda: list(islice(films, FILMS)))


def measured(size: int) -> dict[str, float]:
    """Seconds, evaluations and memory of a film in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, str(size)], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def one_film(size: int) -> dict[str, float]:
    """Seconds and evaluations of a film, after another one that compiles the loops; peak memory."""
    corpus = settings("dmi", size)
    first, film = (draw_domain(number, 0, "dmi", corpus) for number in range(2))
    list(relaxed_domains([first], "dmi", corpus))
    found: list[tuple[DomainFilm, Relaxed]] = []
    seconds = seconds_of(lambda: found.extend(relaxed_domains([film], "dmi", corpus)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {
        "s": round(seconds, 2),
        "evaluations": round(found[0][1].evaluations),
        "gb": round(peak, 2),
    }


def stripe_periods(dmi: float) -> tuple[float, float, float]:
    """Relaxed period, analytical one and that of sharp walls in nm."""
    film = draw_domain(0, 0, "dmi", settings("dmi", 64), value=dmi).material
    found = (relaxed_period(film), stripe_period(film), sharp_period(film))
    return tuple(round(1e9 * period, 1) for period in found)


if __name__ == "__main__":
    print(json.dumps(one_film(int(sys.argv[1])) if len(sys.argv) > 1 else main()))
