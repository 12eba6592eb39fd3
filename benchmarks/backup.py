"""`./dev bench backup`: this project's backup and drill beside the source document's script and a bare pg_restore.

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
from benchmarks.rig.data import generate
from benchmarks.rig.ground import BUCKET, Ground, ground
from benchmarks.rig.measure import print_header, print_row, start, wait_until_idle
from benchmarks.rig.worker import LEDGER, SOURCE, STEPS, Job

WORKER = "benchmarks.rig.worker"


@dataclass(frozen=True)
class Round:
    """What each step measured in one round; the keys are the worker's steps."""

    steps: dict[str, dict[str, Any]]

    def seconds(self, step: str, part: str = "") -> float:
        """Seconds of a step, or of one part of it."""
        return float(self.steps[step]["parts"][part] if part else self.steps[step]["seconds"])


def ratios(one: Round) -> dict[str, float]:
    """What one round came to."""
    with_prints, without = one.seconds("ours", "dump"), one.seconds("ours_plain", "dump")
    return {
        "speedup": one.seconds("baseline") / one.seconds("ours"),
        "size_ratio": one.steps["ours"]["bytes"] / one.steps["baseline"]["bytes"],
        "drill_vs_restore": one.seconds("drill") / one.seconds("bare_restore"),
        "fingerprint_overhead": (with_prints - without) / without,
        "floor_share": one.seconds("floor") / with_prints,
    }


@command
def main() -> int:
    """Run the pairs and print the table and the line of JSON."""
    arguments = _arguments()
    with ground(arguments.scale, arguments.postgres) as place:
        return _measure(place, arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench backup", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="GB of the database (default 1)")
    parser.add_argument("--pairs", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--postgres", type=int, metavar="MAJOR", help="PostgreSQL version (15 if installed, else 18)")
    arguments = parser.parse_args()
    if arguments.scale <= 0 or arguments.pairs < 1:
        parser.error("--scale and --pairs must be greater than 0")
    return arguments


def _measure(place: Ground, arguments: argparse.Namespace) -> int:
    say = clocked()
    say(f"{place.described}: {place.folder.parent}")
    place.server.execute(f"create database {LEDGER}")
    size = generate(place.server, SOURCE, arguments.scale, say)
    say(f"{size / 1e9:.2f} GB are there; {arguments.pairs} rounds")
    job = Job(
        step="",
        port=place.server.port,
        password=place.server.password,
        version=place.version,
        endpoint=place.s3.endpoint,
        access_key=place.s3.access_key,
        secret_key=place.s3.secret_key,
        bucket=BUCKET,
        archive=str(place.folder / "baseline.dump"),
    )
    rounds = [_round(place, job, number, say) for number in range(arguments.pairs)]
    _print_table(rounds)
    _print_json(rounds, arguments, size, place.described)
    return 0


def _round(place: Ground, job: Job, number: int, say: Say) -> Round:
    """Every step once; the order within a group turns from round to round."""
    steps: dict[str, dict[str, Any]] = {}
    for group in (("baseline", "ours", "ours_plain"), ("floor",), ("drill", "bare_restore")):
        for step in group if number % 2 == 0 else reversed(group):
            ours = steps.get("ours", {}).get("backup_id", "")
            place.server.execute("checkpoint")
            wait_until_idle()
            steps[step] = start(WORKER, replace(job, step=step, backup_id=ours), place.folder / "tmp")
            parts = ", ".join(f"{name} {seconds:.1f}" for name, seconds in steps[step]["parts"].items())
            say(f"round {number + 1}: {step:<13} {steps[step]['seconds']:6.1f} s   {parts}")
    _empty_bucket(place)
    return Round(steps)


def _empty_bucket(place: Ground) -> None:
    client = place.client()
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for entry in page.get("Contents", ()):
            client.delete_object(Bucket=BUCKET, Key=entry["Key"])


def _print_table(rounds: list[Round]) -> None:
    print_header("seconds")
    for step in STEPS:
        print_row(step, (one.seconds(step) for one in rounds))
        for part in rounds[0].steps[step]["parts"]:
            print_row(f"    {part}", (one.seconds(step, part) for one in rounds))
    print_header("MB")
    print_row("size: baseline", (one.steps["baseline"]["bytes"] / 1e6 for one in rounds))
    print_row("size: ours", (one.steps["ours"]["bytes"] / 1e6 for one in rounds))
    for step in ("ours", "drill"):
        print_row(f"memory: {step}, worker alone", (one.steps[step]["own_mb"] for one in rounds))
        print_row(f"memory: {step}, with its programs", (one.steps[step]["tree_mb"] for one in rounds))
    print_header("ratios", "   round by round")
    for name in ratios(rounds[0]):
        values = [ratios(one)[name] for one in rounds]
        print_row(name, values, "   " + " ".join(f"{value:.2f}" for value in values))


def _print_json(rounds: list[Round], arguments: argparse.Namespace, size: int, server: str) -> None:
    medians = {name: statistics.median(ratios(one)[name] for one in rounds) for name in ratios(rounds[0])}
    peak = max(one.steps[step]["tree_mb"] for one in rounds for step in ("ours", "drill"))
    line = {
        **{name: round(value, 3) for name, value in medians.items()},
        "peak_mb": round(peak),
        "pairs": arguments.pairs,
        "scale": arguments.scale,
        "database_bytes": size,
        "server": server,
    }
    print(json.dumps(line))


if __name__ == "__main__":
    sys.exit(main())
