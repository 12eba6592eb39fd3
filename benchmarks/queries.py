"""`./dev bench queries`: what snapshots of pg_stat_statements cost the server and the ledger; how long a review takes.

The ledger lies on a server of its own, so that the CPU of the one that is looked at is its own. pgbench runs alone and
beside snapshots in turns: they are taken once a second then, hundreds of times as often as by default.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import time
from datetime import UTC, datetime
from typing import Any

from benchmarks.rig import queries as rig
from benchmarks.rig.command import Say, clocked, command
from benchmarks.rig.ground import Ground, ground
from benchmarks.rig.measure import print_header, print_row, wait_until_idle
from pgops.errors import PgOpsError
from pgops.ledger import Ledger
from pgops.queries.review import review
from pgops.queries.snapshot import take_snapshot
from sandbox.postgres import PostgresServer

INTERVAL = 600  # seconds between snapshots, by default
GOALS = {"snapshot_s": 1.0, "ledger_mb_per_day": 5.0, "review_s": 2.0, "snapshot_cpu_share": 0.5}
RAW_DAYS = 35


@command
def main() -> int:
    """Measure, print the tables and the line of JSON."""
    arguments = _arguments()
    with ground(0.5, arguments.postgres, rig.SETTINGS) as place:
        ledger = rig.ledger_server(place)
        try:
            return _measure(place, ledger, arguments)
        finally:
            ledger.destroy()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench queries", description=__doc__)
    parser.add_argument("--statements", type=int, default=5000, help="that the server knows (default 5000)")
    parser.add_argument("--active", type=int, default=200, help="of them that move between snapshots (default 200)")
    parser.add_argument("--snapshots", type=int, default=144, help="taken for the growth of the ledger (default 144)")
    parser.add_argument("--days", type=int, default=90, help="of history that a review has behind it (default 90)")
    parser.add_argument("--pairs", type=int, default=5, help="rounds of pgbench and of reviews (default 5)")
    parser.add_argument("--seconds", type=int, default=10, help="of each pgbench (default 10)")
    parser.add_argument("--postgres", type=int, metavar="MAJOR", help="PostgreSQL version (15 if installed, else 18)")
    arguments = parser.parse_args()
    if arguments.pairs < 1 or not 1 <= arguments.active <= arguments.statements <= 10_000 or arguments.snapshots < 2:
        parser.error("--pairs and --snapshots must be greater than 0 and 1, --active <= --statements <= 10000")
    return arguments


def _measure(place: Ground, server: PostgresServer, arguments: argparse.Namespace) -> int:
    say = clocked()
    say(f"{place.described}: {place.folder.parent}")
    rig.make(place.server, arguments.statements)
    say(f"{arguments.statements} statements have run")
    ledger = Ledger(rig.dsn(server, "ledger"))
    figures = _snapshots(place, server, ledger, arguments, say)
    figures |= _beside_pgbench(place, ledger, arguments, say)
    figures |= _reviews(server, arguments, say)
    print(json.dumps({**figures, "pairs": arguments.pairs, "server": place.described}))
    return 0


def _snapshots(
    place: Ground, server: PostgresServer, ledger: Ledger, arguments: argparse.Namespace, say: Say
) -> dict[str, float]:
    target = rig.dsn(place.server, rig.DATABASE)
    ledger.rows("has_version")
    wait_until_idle()
    first = take_snapshot(ledger, rig.DATABASE, target)
    say(f"the first snapshot, with {first.new} texts: {first.seconds:.2f} s")
    active = rig.statements(arguments.active)
    seconds, cpu, before = [], [], 0
    for number in range(arguments.snapshots):
        if number == 1:
            before = rig.ledger_bytes(server)  # from then on only what every snapshot adds
        rig.run(place.server, active)
        used = rig.cpu_seconds(place.server)
        taken = take_snapshot(ledger, rig.DATABASE, target)
        cpu.append(rig.cpu_seconds(place.server) - used)
        seconds.append(taken.seconds)
        if taken.moved < arguments.active:
            raise PgOpsError(f"Only {taken.moved} statements moved", where=rig.DATABASE, remedy="Look at the server")
    grown = (rig.ledger_bytes(server) - before) / 1e6 / (arguments.snapshots - 1) * 86400 / INTERVAL
    share = 100 * statistics.mean(cpu) / INTERVAL  # a clock tick is 10 ms: only many of them tell
    print_header(f"snapshots of {arguments.statements} statements")
    print_row("seconds", seconds, f"   goal {GOALS['snapshot_s']}")
    print_row("CPU of the server, ms", [1000 * one for one in cpu])
    print_row("CPU share at ten minutes, %", [share], f"   goal {GOALS['snapshot_cpu_share']}")
    print_row("ledger, MB a day", [grown], f"   goal {GOALS['ledger_mb_per_day']}")
    return {
        "snapshot_s": round(statistics.median(seconds), 3),
        "snapshot_first_s": round(first.seconds, 3),
        "ledger_mb_per_day": round(grown, 2),
        "snapshot_cpu_share": round(share, 4),
    }


def _beside_pgbench(place: Ground, ledger: Ledger, arguments: argparse.Namespace, say: Say) -> dict[str, float]:
    rig.prepare_pgbench(place.server)
    alone, beside = [], []
    for number in range(arguments.pairs):
        for with_snapshots in (False, True) if number % 2 == 0 else (True, False):
            if with_snapshots:
                beside.append(_with_snapshots(place, ledger, arguments.seconds))
            else:
                alone.append(rig.pgbench(place.server, arguments.seconds))
        say(f"pair {number + 1}: pgbench alone {alone[-1]:.0f} tps, beside a snapshot a second {beside[-1]:.0f} tps")
    ratios = [with_it / without for with_it, without in zip(beside, alone, strict=True)]
    print_header("pgbench -S beside a snapshot a second")
    print_row("tps alone", alone)
    print_row("tps beside", beside)
    print_row("ratio", ratios)
    return {"pgbench_ratio_every_second": round(statistics.median(ratios), 3)}


def _with_snapshots(place: Ground, ledger: Ledger, seconds: int) -> float:
    done = threading.Event()

    def look() -> None:
        while not done.wait(1):
            take_snapshot(ledger, rig.DATABASE, rig.dsn(place.server, rig.DATABASE))

    looker = threading.Thread(target=look)
    looker.start()
    try:
        return rig.pgbench(place.server, seconds)
    finally:
        done.set()
        looker.join()


def _reviews(server: PostgresServer, arguments: argparse.Namespace, say: Say) -> dict[str, Any]:
    server.execute("create database history")
    ledger = Ledger(rig.dsn(server, "history"))
    rig.fill(ledger, arguments.active, arguments.days, min(RAW_DAYS, arguments.days))
    say(f"a ledger of {arguments.active} queries and {arguments.days} days")
    seconds = []
    for _ in range(arguments.pairs):
        wait_until_idle()
        begun = time.monotonic()
        found = review(ledger, rig.DATABASE, datetime.now(UTC))
        seconds.append(time.monotonic() - begun)
    if found.past_windows < min(4, arguments.days // 7) or len(found.regressions) == 0:
        raise PgOpsError("The review found nothing", where="history", remedy="Look at benchmarks/rig/queries.sql")
    print_header(f"a review over {arguments.days} days")
    print_row("seconds", seconds, f"   goal {GOALS['review_s']}")
    return {"review_s": round(statistics.median(seconds), 3)}


if __name__ == "__main__":
    sys.exit(main())
