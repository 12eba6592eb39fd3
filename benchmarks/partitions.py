"""`./dev bench partitions`: making partitions beside bare PARTITION OF and pg_partman, the plan, an insert beside it,
and an archive beside COPY.

Pairs run in turns in one run, since a shared machine's speed changes from minute to minute: read the ratios.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.rig import partition_archive
from benchmarks.rig import partitions as rig
from benchmarks.rig.command import Say, clocked, command
from benchmarks.rig.ground import Ground, ground
from benchmarks.rig.measure import print_header, print_row, wait_until_idle


@dataclass(frozen=True)
class Bench:
    """What every part is given."""

    place: Ground
    arguments: argparse.Namespace
    say: Say

    def rounds(self, *steps: Callable[[], dict[str, float]]) -> list[dict[str, float]]:
        """Every step once in each round, on a quiet machine; the order turns from round to round."""
        measured = []
        for number in range(self.arguments.pairs):
            one: dict[str, float] = {}
            for step in steps if number % 2 == 0 else reversed(steps):
                self.place.server.execute("checkpoint")
                wait_until_idle()
                one |= step()
            self.say(f"round {number + 1}: " + ", ".join(f"{name} {value:.2f}" for name, value in one.items()))
            measured.append(one)
        return measured


def premake(bench: Bench) -> list[dict[str, float]]:
    """One partition more for every parent: seconds of the database's own work, and on the clock."""
    server, parents = bench.place.server, bench.arguments.parents
    rig.make_parents(server, parents, partitions=1)
    bench.say(f"{parents} parents are there: primary key, two indexes, a foreign key")
    steps = [rig.step(server, "bare", rig.bare), rig.step(server, "ours", rig.ours)]
    if rig.make_partman_parents(server, parents):
        bench.say("and as many for pg_partman, with a DEFAULT each, as it makes them")
        steps += [rig.step(server, "partman", rig.partman), rig.step(server, "ours_with_default", rig.ours)]
    rounds = bench.rounds(*steps)
    for one in rounds:
        one["premake_vs_bare"] = one["ours"] / one["bare"]
        if "partman" in one:
            one["partman_vs_premake"] = one["partman"] / one["ours_with_default"]
    return rounds


def plan(bench: Bench) -> list[dict[str, float]]:
    """A plan when nothing is missing, at four partitions a parent."""
    rig.make_parents(bench.place.server, bench.arguments.parents, partitions=4)
    bench.say(f"{4 * bench.arguments.parents} partitions are there")
    return bench.rounds(rig.step(bench.place.server, "plan_s", rig.planned, copies=False))


def stall(bench: Bench) -> list[dict[str, float]]:
    """The longest insert beside a long reader, while partitions are made; milliseconds."""
    return bench.rounds(*rig.stalls(bench.place.server))


def archive(bench: Bench) -> list[dict[str, float]]:
    """A partition's archive, proven, beside COPY alone; seconds."""
    partition_archive.make_history(bench.place, bench.arguments.rows)
    bench.say(f"{bench.arguments.rows} rows are there to be archived")
    rounds = bench.rounds(*partition_archive.ways(bench.place))
    for one in rounds:
        one["archive_vs_copy"] = one["archive"] / one["copy"]
    return rounds


PARTS: dict[str, Callable[[Bench], list[dict[str, float]]]] = {
    "premake": premake,
    "plan": plan,
    "stall": stall,
    "archive": archive,
}


@command
def main() -> int:
    """Run the parts and print their tables and the line of JSON."""
    arguments = _arguments()
    with ground(0.5 + arguments.rows / 2e6, arguments.postgres) as place:
        return _measure(place, arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench partitions", description=__doc__)
    parser.add_argument("--parents", type=int, default=1000, help="partitioned tables (default 1000)")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the partition to archive (default 1000000)")
    parser.add_argument("--pairs", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--postgres", type=int, metavar="MAJOR", help="PostgreSQL version (15 if installed, else 18)")
    parser.add_argument("--only", choices=PARTS, help="one part")
    arguments = parser.parse_args()
    if min(arguments.parents, arguments.rows, arguments.pairs) < 1:
        parser.error("--parents, --rows and --pairs must be greater than 0")
    return arguments


def _measure(place: Ground, arguments: argparse.Namespace) -> int:
    say = clocked()
    say(f"{place.described}: {place.folder.parent}")
    bench = Bench(place, arguments, say)
    figures: dict[str, list[float]] = {}
    for name, part in PARTS.items():
        if arguments.only in (None, name):
            for one in part(bench):
                for figure, value in one.items():
                    figures.setdefault(figure, []).append(value)
    print_header("figures", "   round by round")
    for figure, values in figures.items():
        print_row(figure, values, "   " + " ".join(f"{value:.2f}" for value in values))
    _print_json(figures, arguments, place.described)
    return 0


def _print_json(figures: dict[str, list[float]], arguments: argparse.Namespace, server: str) -> None:
    # Of a stall the worst counts, of everything else the median.
    medians = {
        name: max(values) if name.endswith("_ms") else statistics.median(values) for name, values in figures.items()
    }
    line = {
        **{name: round(value, 3) for name, value in medians.items()},
        "parents": arguments.parents,
        "rows": arguments.rows,
        "pairs": arguments.pairs,
        "server": server,
    }
    print(json.dumps(line))


if __name__ == "__main__":
    sys.exit(main())
