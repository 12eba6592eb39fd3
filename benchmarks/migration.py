"""`./dev bench migration`: a rehearsal beside psql, a clone beside pg_dump and pg_restore, and the static gate.

Pairs run in turns in one run, since a shared machine's speed changes from minute to minute: read the ratios.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.rig.command import Say, clocked, command
from benchmarks.rig.data import fill, generate
from benchmarks.rig.ground import Ground, ground
from benchmarks.rig.measure import print_header, print_row, start, wait_until_idle
from benchmarks.rig.migration_worker import SHOP, SOURCE, STEPS, Job
from benchmarks.rig.migrations import PARTS
from pgops.migration.copy import make_golden
from pgops.migration.staging import fill_from_staging
from sandbox import sample

WORKER = "benchmarks.rig.migration_worker"
SAMPLE_SCALE = 20
# What a rehearsal may take beyond twice psql's time: see benchmarks/README.md.
ALLOWANCE = 10.0
GROUPS = (("psql", "rehearsal"), ("pipe", "file", "directory", "clone"), ("gate",))


@dataclass(frozen=True)
class Round:
    """What each step measured in one round; the keys are the worker's steps."""

    steps: dict[str, dict[str, Any]]

    def seconds(self, step: str, part: str = "") -> float:
        """Seconds of a step, or of one part of it."""
        return float(self.steps[step]["parts"][part] if part else self.steps[step]["seconds"])


def figures(one: Round) -> dict[str, float]:
    """What one round came to."""
    ours, psql = one.seconds("rehearsal"), one.seconds("psql")
    by_hand = min(one.seconds(way) for way in ("pipe", "file", "directory"))
    return {
        "overhead": (ours - ALLOWANCE) / psql,
        "rehearsal_to_psql": ours / psql,
        "overhead_seconds": ours - psql,
        "clone_ratio": by_hand / one.seconds("clone"),
        "static_gate_s": one.seconds("gate", "check"),
    }


@command
def main() -> int:
    """Run the pairs and print the table and the line of JSON."""
    arguments = _arguments()
    with ground(arguments.scale + arguments.beside, arguments.postgres) as place:
        return _measure(place, arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench migration", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="GB of the database that is cloned (default 1)")
    parser.add_argument(
        "--beside", type=float, default=0.0, help="GB in the migrated database that nobody touches (default 0)"
    )
    parser.add_argument("--files", type=int, default=500, help="migrations for the gate, up and down (default 500)")
    parser.add_argument("--pairs", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--postgres", type=int, metavar="MAJOR", help="PostgreSQL version (15 if installed, else 18)")
    arguments = parser.parse_args()
    if arguments.scale <= 0 or arguments.pairs < 1 or arguments.files < 1 or arguments.beside < 0:
        parser.error("--scale, --files and --pairs must be greater than 0, --beside at least 0")
    return arguments


def _measure(place: Ground, arguments: argparse.Namespace) -> int:
    say = clocked()
    say(f"{place.described}: {place.folder.parent}")
    job = Job(
        step="",
        port=place.server.port,
        password=place.server.password,
        version=place.version,
        folder=str(place.folder / "tmp"),
        files=arguments.files,
    )
    shop = _make_shop(place, arguments.beside, say)
    say(f"{shop / 1e6:.0f} MB are there to migrate")
    size = generate(place.server, SOURCE, arguments.scale, say)
    make_golden(job.dsn("postgres"), SOURCE, fill_from_staging(job.dsn(SOURCE)))
    say(f"{size / 1e9:.2f} GB are there to clone; {arguments.pairs} rounds")
    rounds = [_round(place, job, number, say) for number in range(arguments.pairs)]
    _print_table(rounds)
    _print_json(rounds, arguments, {"shop_bytes": shop, "database_bytes": size}, place.described)
    return 0


def _make_shop(place: Ground, beside: float, say: Say) -> int:
    """The sample database and thirty tables, and rows beside them; its bytes."""
    sample.load(place.server, SAMPLE_SCALE)
    place.server.execute(f"alter database app rename to {SHOP}")
    place.server.execute(PARTS.read_text(encoding="utf-8"), SHOP)
    if beside:
        return fill(place.server, SHOP, beside, say)
    place.server.execute("vacuum (analyze, freeze)", SHOP)
    ((size,),) = place.server.execute(f"select pg_database_size('{SHOP}')")
    assert isinstance(size, int)
    return size


def _round(place: Ground, job: Job, number: int, say: Say) -> Round:
    """Every step once; the order within a group turns from round to round."""
    steps: dict[str, dict[str, Any]] = {}
    for group in GROUPS:
        for step in group if number % 2 == 0 else reversed(group):
            place.server.execute("checkpoint")
            wait_until_idle()
            steps[step] = start(WORKER, replace(job, step=step), place.folder / "tmp")
            parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in steps[step]["parts"].items())
            say(f"round {number + 1}: {step:<10} {steps[step]['seconds']:6.2f} s   {parts}")
    return Round(steps)


def _print_table(rounds: list[Round]) -> None:
    print_header("seconds")
    for step in STEPS:
        print_row(step, (one.seconds(step) for one in rounds))
        for part in rounds[0].steps[step]["parts"]:
            print_row(f"    {part}", (one.seconds(step, part) for one in rounds))
    print_header("figures", "   round by round")
    for name in figures(rounds[0]):
        values = [figures(one)[name] for one in rounds]
        print_row(name, values, "   " + " ".join(f"{value:.2f}" for value in values))


def _print_json(rounds: list[Round], arguments: argparse.Namespace, sizes: dict[str, int], server: str) -> None:
    medians = {name: statistics.median(figures(one)[name] for one in rounds) for name in figures(rounds[0])}
    line = {
        **{name: round(value, 3) for name, value in medians.items()},
        "pairs": arguments.pairs,
        "statements": rounds[0].steps["rehearsal"]["statements"],
        "gate_migrations": arguments.files,
        "scale": arguments.scale,
        **sizes,
        "server": server,
    }
    print(json.dumps(line))


if __name__ == "__main__":
    sys.exit(main())
