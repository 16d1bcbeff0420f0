"""Try every reader with changed inputs: `python -m tests.fuzz [--n 10000] [NAME ...]`.

The table goes to docs/results/fuzz.json. A row is bad where an input ended the process, gave an
error that is no sentence of the package, took over 1 s or over 1 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from tests.fuzz.readers import READERS
from tests.fuzz.trying import CHECKOUT, Tried, try_reader

TABLE = CHECKOUT / "docs/results/fuzz.json"
PAGE, BEGIN, END = CHECKOUT / "docs/security.md", "<!-- fuzz -->", "<!-- end of fuzz -->"


def printed(rows: list[dict]) -> str:
    """Table of the page."""
    lines = [f"| `{row['name']}` | {row['tried']} | {row['bad']} |" for row in rows]
    return "\n".join(["| reader | inputs | bad |", "|---|---|---|", *lines])


def main() -> int:
    """Try the readers that the command line names, by default all; 1 if an input was bad."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *READERS], default=[])
    parser.add_argument("--n", type=int, default=10_000, help="inputs of each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    given = parser.parse_args()
    names = given.names or list(READERS)

    def tried(name: str) -> Tried:
        start = time.monotonic()
        outcome = try_reader(name, given.n, given.seed, given.first)
        print(
            f"{name:<20}{outcome.tried:>7}{len(outcome.bad):>5}  {time.monotonic() - start:.0f} s"
        )
        for number, problem in outcome.bad[:20]:
            print(f"    --seed {given.seed} --first {number} --n 1 {name}: {problem}")
        sys.stdout.flush()
        return outcome

    with ThreadPoolExecutor(given.workers) as pool:
        rows = {one.name: one.row for one in pool.map(tried, names)}
    if given.n > 1:
        kept = (
            {row["name"]: row for row in json.loads(TABLE.read_text())} if TABLE.is_file() else {}
        )
        table = [row for name in READERS if (row := rows.get(name) or kept.get(name))]
        TABLE.write_text(json.dumps(table, indent=1) + "\n")
        before, _, rest = PAGE.read_text().partition(BEGIN)
        after = rest.partition(END)[2]
        PAGE.write_text(f"{before}{BEGIN}\n{printed(table)}\n{END}{after}")
    return int(any(row["bad"] for row in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
