"""`./dev bench preferences`: what ten thousand users wait for their preferences, while partitions are looked after.

The schema is the sample's V001 with its trigger and partitions; clients are connected through pgbouncer, and requests
arrive at a fixed rate whether those before them are answered or not: a wait counts from when a request was due.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.rig.command import Say, clocked, command
from benchmarks.rig.ground import Ground, ground
from benchmarks.rig.measure import wait_until_idle
from benchmarks.rig.pgbouncer import need_open_files, pgbouncer
from pgops.errors import PgOpsError, Refused
from pgops.fleet import PartitionPolicies, PartitionPolicy
from pgops.partitions.create import create
from pgops.partitions.plan import plan
from pgops.postgres import Dsn
from sandbox import sample
from sandbox.load import Request, latency, parsed

DATABASE = "app"
V001 = Path(__file__).parents[1] / "include" / "migrations" / "app" / "V001__create_user_preferences.sql"
FILL = Path(__file__).parent / "rig" / "preferences.sql"
READ = "\\set id random(1, {rows})\nselect preferences from user_preferences where user_id = :id;\n"
WRITE = """\\set id random(1, {rows})
\\set theme random(1, 9)
update user_preferences set preferences = jsonb_set(preferences, '{{theme}}', to_jsonb(:theme)) where user_id = :id;
"""
WRITES_OF_TEN = 2
SESSIONS = 20
LEAVE_OUT_SECONDS = 5.0  # at the start, until every client is connected and caches are warm
READ_GOAL_MS, WRITE_GOAL_MS = 50, 100


@command
def main() -> int:
    """Fill, load, and print what the requests waited."""
    arguments = _arguments()
    need_open_files(arguments.users + 500)
    with ground(arguments.rows * 3e-6, arguments.postgres) as place:
        return _measure(place, arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench preferences", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_200_000, help="preference records (default 1200000)")
    parser.add_argument("--users", type=int, default=10_000, help="clients connected at a time (default 10000)")
    parser.add_argument("--rate", type=int, default=1_000, help="requests a second (default 1000)")
    parser.add_argument("--seconds", type=int, default=60, help="of load (default 60)")
    parser.add_argument("--postgres", type=int, metavar="MAJOR", help="PostgreSQL version (15 if installed, else 18)")
    arguments = parser.parse_args()
    if min(arguments.rows, arguments.users, arguments.rate) < 1 or arguments.seconds < 10:
        parser.error("--rows, --users and --rate must be greater than 0, --seconds at least 10")
    return arguments


def _measure(place: Ground, arguments: argparse.Namespace) -> int:
    say = clocked()
    _fill(place, arguments.rows)
    say(f"{arguments.rows} preference records are there; {arguments.users} users come")
    wait_until_idle()
    with pgbouncer(place.server, DATABASE, arguments.users, SESSIONS, place.folder) as port:
        alone = _load(place, port, arguments, say)
        with _maintenance(place, say) as rounds:
            beside = _load(place, port, arguments, say)
    if not rounds:
        raise PgOpsError("Maintenance has made no partition beside the load", where=DATABASE, remedy="Look above")
    say(f"{len(rounds)} partitions were made beside the load")
    return _print(alone, beside, arguments, len(rounds), place.described)


def _fill(place: Ground, rows: int) -> None:
    sample.load(place.server, 0.01)
    place.server.execute(V001.read_text(encoding="utf-8"), DATABASE)
    place.server.execute(f"select set_config('bench.rows', '{rows}', false);" + FILL.read_text("utf-8"), DATABASE)
    place.server.execute("vacuum (analyze)", DATABASE)
    place.server.execute("checkpoint")


def _load(place: Ground, port: int, arguments: argparse.Namespace, say: Say) -> list[Request]:
    """pgbench through pgbouncer; requests of the first seconds are left out."""
    program = place.server.binaries.bindir / "pgbench"
    if not program.exists():
        raise Refused("There is no pgbench", where=str(program.parent), remedy="Install PostgreSQL 15")
    folder = place.folder / "tmp"
    for name, script in (("read", READ), ("write", WRITE)):
        (folder / name).write_text(script.format(rows=arguments.rows))
    done = subprocess.run(
        [
            *(str(program), "--no-vacuum", f"--client={arguments.users}", "--jobs=2", f"--rate={arguments.rate}"),
            *(f"--time={arguments.seconds}", "--log", f"--log-prefix={folder / 'log'}"),
            *(f"--file={folder / 'read'}@{10 - WRITES_OF_TEN}", f"--file={folder / 'write'}@{WRITES_OF_TEN}"),
            *("--host=127.0.0.1", f"--port={port}", "--username=postgres", DATABASE),
        ],
        env={"PGPASSWORD": place.server.password, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise PgOpsError("pgbench failed", where=f"port {port}", remedy=f"It said: {done.stderr.strip()[-500:]}")
    requests: list[Request] = []
    for file in folder.glob("log.*"):
        requests += parsed(file.read_text().splitlines())
        file.unlink()
    first = min(one.ended for one in requests)
    kept = [one for one in requests if one.ended >= first + LEAVE_OUT_SECONDS]
    say(f"{len(requests)} requests, {len(kept) / (arguments.seconds - LEAVE_OUT_SECONDS):.0f} a second")
    return kept


@contextmanager
def _maintenance(place: Ground, say: Say) -> Iterator[list[str]]:
    """Partition maintenance beside a block: one more month every second."""
    dsn = Dsn("127.0.0.1", place.server.port, DATABASE, "postgres", place.server.password)
    over, made = threading.Event(), list[str]()

    def maintain() -> None:
        premake = 24
        while not over.wait(1.0):
            premake += 1
            table = PartitionPolicy(parent="public.user_preferences_history", interval="month", premake=premake)
            policies = PartitionPolicies(connection="bench", tables=(table,))
            for one in plan(dsn, policies, datetime.now(UTC)).parents:
                create(dsn, one, policies)
                made.extend(new.name for new in one.create)

    thread = threading.Thread(target=maintain)
    thread.start()
    try:
        yield made
    finally:
        over.set()
        thread.join()


def _print(alone: list[Request], beside: list[Request], arguments: argparse.Namespace, made: int, server: str) -> int:
    figures: dict[str, float] = {}
    print(f"\n{'latency, ms':<34}{'requests':>9}{'p50':>8}{'p95':>8}{'p99':>8}{'max':>9}   goal of p95")
    for requests, where in ((alone, "alone"), (beside, "beside maintenance")):
        for written, name, goal in ((False, "read", READ_GOAL_MS), (True, "write", WRITE_GOAL_MS)):
            found = latency([one for one in requests if one.written == written])
            if found is None:
                raise PgOpsError(f"There was no {name}", where=where, remedy="Give it longer: --seconds")
            print(
                f"{f'{name}s, {where}':<34}{found.count:>9}{found.p50:>8.2f}{found.p95:>8.2f}{found.p99:>8.2f}"
                f"{found.max:>9.1f}   {goal}"
            )
            figures[f"{name}_p95_ms"] = round(found.p95, 2)  # the one beside maintenance comes last, and counts
    line = {
        **figures,
        "users": arguments.users,
        "rows": arguments.rows,
        "requests_per_second": round(len(beside) / (arguments.seconds - LEAVE_OUT_SECONDS)),
        "partitions_made": made,
        "server": server,
    }
    print(json.dumps(line))
    return 0


if __name__ == "__main__":
    sys.exit(main())
