"""`./dev bench health`: database time of all checks by the number of tables, the dashboard's first byte, DAG parsing.

Databases of 1,000 and 5,000 tables lie on one server and are looked at in turns, since a shared machine's speed changes
from minute to minute: read the ratio. What a look takes beside the database (Python, round trips) is in `run_s`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.rig import dashboard
from benchmarks.rig import tables as rig
from benchmarks.rig.command import Say, clocked, command
from benchmarks.rig.ground import Ground, ground
from benchmarks.rig.measure import print_header, print_row, wait_until_idle

GOAL_S = 1.5
SLOWEST = 8


@command
def main() -> int:
    """Measure, print the tables and the line of JSON."""
    arguments = _arguments()
    with ground(1, arguments.postgres, rig.SETTINGS) as place:
        return _measure(place, arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench health", description=__doc__)
    parser.add_argument("--tables", type=int, nargs="+", default=[1000, 5000], help="sizes (default 1000 5000)")
    parser.add_argument("--pairs", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--postgres", type=int, metavar="MAJOR", help="PostgreSQL version (15 if installed, else 18)")
    parser.add_argument("--only", choices=("checks", "dashboard"), help="one part")
    arguments = parser.parse_args()
    if arguments.pairs < 1 or min(arguments.tables) < 1:
        parser.error("--tables and --pairs must be greater than 0")
    return arguments


def _measure(place: Ground, arguments: argparse.Namespace) -> int:
    say = clocked()
    say(f"{place.described}: {place.folder.parent}")
    figures: dict[str, Any] = {}
    if arguments.only != "dashboard":
        figures |= _checks(place, sorted(arguments.tables), arguments.pairs, say)
    if arguments.only != "checks":
        say(f"a ledger of {dashboard.DATABASES} databases and {dashboard.DAYS} days, and Airflow's API server")
        figures |= dashboard.measure(place)
    print(json.dumps({**figures, "pairs": arguments.pairs, "server": place.described}))
    return 0


def _checks(place: Ground, sizes: Sequence[int], pairs: int, say: Say) -> dict[str, float]:
    for size in sizes:
        rig.make(place.server, size)
        say(f"{size} tables with {size * rig.INDEXES} indexes, foreign keys, sequences and statistics are there")
    for size in sizes:
        rig.look(place.server, size)  # the first one reads catalogs from disk
    looks: dict[int, list[rig.Look]] = {size: [] for size in sizes}
    for number in range(pairs):
        for size in sizes if number % 2 == 0 else reversed(sizes):
            wait_until_idle()
            looks[size].append(rig.look(place.server, size))
        say(f"round {number + 1}: " + ", ".join(f"{size} tables {looks[size][-1].checks:.2f} s" for size in sizes))
    print_header("seconds")
    for size in sizes:
        print_row(f"checks, {size} tables", [one.checks for one in looks[size]], f"   goal {GOAL_S}" * (size == 1000))
        print_row(f"the whole look, {size} tables", [one.whole for one in looks[size]])
    growth = [large.checks / small.checks for small, large in zip(looks[sizes[0]], looks[sizes[-1]], strict=True)]
    print_row(f"growth {sizes[0]} to {sizes[-1]}", growth, f"   linear is {sizes[-1] / sizes[0]:.1f}")
    print_header(f"the slowest at {sizes[-1]} tables, ms")
    slowest = sorted(looks[sizes[-1]][0].by_check, key=lambda name: -looks[sizes[-1]][0].by_check[name])[:SLOWEST]
    for name in slowest:
        print_row(name, [one.by_check[name] * 1000 for one in looks[sizes[-1]]])
    return {
        **{f"checks_s_{size}_tables": _median([one.checks for one in looks[size]]) for size in sizes},
        **{f"run_s_{size}_tables": _median([one.whole for one in looks[size]]) for size in sizes},
        f"growth_{sizes[0]}_to_{sizes[-1]}": _median(growth),
    }


def _median(values: Sequence[float]) -> float:
    return round(statistics.median(values), 3)


if __name__ == "__main__":
    sys.exit(main())
