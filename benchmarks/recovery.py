"""`./dev bench recovery`: base backups and WAL archiving of each engine, beside the source document's way and a copy.

Base backup: against `pg_dump -Z 9` of the same data and a plain copy of the data directory. Archiving: segments a
second against cp, of pgbench's WAL and of WAL that cannot be compressed. Replay: from
each engine's archive against a local directory. Pairs run in turns: read the ratios.
"""

from __future__ import annotations

import argparse
import json
import secrets
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import boto3

from benchmarks.rig.command import Say, clocked, command
from benchmarks.rig.measure import print_header, print_row, wait_until_idle
from benchmarks.rig.replay import replay_rounds
from pgops.errors import PgOpsError
from pgops.physical.engines import BarmanEngine, Source, WalgEngine
from pgops.physical.host import LocalHost
from pgops.physical.state import Place
from pgops.physical.store import Secrets, Store
from pgops.postgres import Dsn
from pgops.storage import Bucket
from sandbox.account import account
from sandbox.objectstore import S3Server
from sandbox.postgres import PostgresServer, free_port, pick

KEYS = ("AKIAOFTHEBENCH", secrets.token_hex(16))
# Only how fast WAL is archived counts here, not how fast it is written.
SETTINGS = {
    "archive_mode": "on",
    "archive_command": "true",
    "shared_buffers": "256MB",
    "max_wal_size": "8GB",
    "synchronous_commit": "off",
}
KINDS = ("pgbench", "incompressible")


@dataclass(frozen=True)
class Bench:
    """A server with data, a store, and the engines that this machine has."""

    server: PostgresServer
    host: LocalHost
    engines: dict[str, Any]
    folder: Path
    arguments: argparse.Namespace
    say: Say

    def settle(self) -> None:
        """Wait for a quiet machine."""
        if not self.arguments.no_wait:
            wait_until_idle()

    def timed(self, work: Callable[[], object]) -> float:
        """Seconds that something takes, on a quiet machine."""
        self.server.execute("checkpoint")
        self.settle()
        begun = time.monotonic()
        work()
        return time.monotonic() - begun

    def rounds(self, steps: dict[str, Callable[[], object]]) -> list[dict[str, float]]:
        """Every step once in each round; the order turns from round to round."""
        measured = []
        for number in range(self.arguments.pairs):
            names = list(steps) if number % 2 == 0 else list(reversed(steps))
            one = {name: self.timed(steps[name]) for name in names}
            self.say(f"round {number + 1}: " + ", ".join(f"{name} {one[name]:.2f} s" for name in steps))
            measured.append({name: one[name] for name in steps})
        return measured


def base(bench: Bench) -> list[dict[str, float]]:
    """A base backup with each engine, pg_dump -Z 9, and a plain copy of the data directory, all to this disk."""
    ((size,),) = bench.server.execute("select pg_database_size('postgres')")
    bench.say(f"the database has {int(str(size)) / 1e6:.0f} MB")  # type: ignore[arg-type]
    dump, copy = bench.folder / "dump", bench.folder / "copy"

    def source_dump() -> None:
        """As the source document has it."""
        command = [bench.server.binaries.bindir / "pg_dump", "-Fc", "-Z", "9", "-f", dump, bench.server.dsn()]
        subprocess.run(command, check=True)

    def plain_copy() -> None:
        shutil.rmtree(copy, ignore_errors=True)
        subprocess.run(["cp", "-a", bench.server.data, copy], check=True)

    def push(engine: Any) -> Callable[[], object]:
        if isinstance(engine, WalgEngine):  # always full: a difference would be another thing
            return lambda: engine._walg(bench.host, "backup-push", str(engine.source.directory()), "--full")
        return lambda: engine.push(lambda line: None)

    steps: dict[str, Callable[[], object]] = {"source_dump": source_dump, "copy": plain_copy}
    rounds = bench.rounds(steps | {f"base_{name}": push(engine) for name, engine in bench.engines.items()})
    for one in rounds:
        for name in bench.engines:
            one[f"{name}_base_vs_source_dump"] = one["source_dump"] / one[f"base_{name}"]
            one[f"{name}_base_vs_copy"] = one["copy"] / one[f"base_{name}"]
    return rounds


def archive(bench: Bench) -> list[dict[str, float]]:
    """Segments a second: the server's archiver empties its queue with each engine's archive_command, and with cp."""
    target = bench.folder / "wal"
    target.mkdir(exist_ok=True)
    found: list[dict[str, float]] = []
    for number in range(bench.arguments.pairs):
        one: dict[str, float] = {}
        for kind in KINDS:
            commands = {"cp": f"cp %p {target}/%f"}
            commands |= {name: engine.archive_command(bench.host) for name, engine in bench.engines.items()}
            for name in commands if number % 2 == 0 else reversed(commands):
                one[f"{name}_{kind}_segments_per_s"] = _archived_per_second(bench, kind, commands[name])
            shutil.rmtree(target)
            target.mkdir()
        bench.say(f"round {number + 1}: " + ", ".join(f"{name} {value:.1f}" for name, value in one.items()))
        found.append(one)
    return found


def replay(bench: Bench) -> list[dict[str, float]]:
    """Seconds that PostgreSQL replays from each engine's archive, and from a local directory."""
    found: list[dict[str, float]] = [{} for _ in range(bench.arguments.pairs)]
    folder = account().folder(bench.folder / "recoveries")
    bindir = bench.server.identity.reachable(bench.server.binaries.bindir)
    place = Place(bench.host, PurePosixPath(folder), PurePosixPath(bindir), (15500, 15520))
    for name, engine in bench.engines.items():
        _archive_with(bench.server, engine.archive_command(bench.host))
        engine.push(lambda line: None)
        _write_segments(bench, "pgbench")
        _wait_until_archived(bench.server, name)
        local = PurePosixPath(folder / f"local-{name}")
        rounds = replay_rounds(engine, place, local, bench.arguments.pairs, bench.settle)
        for one, measured in zip(found, rounds, strict=True):
            one |= {f"{name}_{figure}": value for figure, value in measured.items()}
        bench.say(f"{name}: replay_vs_local " + ", ".join(f"{one[f'{name}_replay_vs_local']:.2f}" for one in found))
    return found


PARTS: dict[str, Callable[[Bench], list[dict[str, float]]]] = {"base": base, "archive": archive, "replay": replay}
_WAITING = "select count(*) from pg_ls_archive_statusdir() where name like '%.ready'"


def _archived_per_second(bench: Bench, kind: str, command: str) -> float:
    """Fill the archiver's queue while it cannot work, then let it work with `command`."""
    server = bench.server
    _archive_with(server, "false")
    _write_segments(bench, kind)
    ((before,),) = server.execute(_WAITING)
    bench.settle()
    _archive_with(server, command)
    started = time.monotonic()
    server.execute("select pg_switch_wal()")  # wakes the archiver up
    _wait_until_archived(server, command)
    return int(str(before)) / (time.monotonic() - started)


def _write_segments(bench: Bench, kind: str) -> None:
    """As many as were asked for; the last one is complete."""
    ((begun,),) = bench.server.execute("select pg_current_wal_insert_lsn()")
    enough = f"select pg_current_wal_insert_lsn() - '{begun}' >= {bench.arguments.segments} * 16777216"
    while bench.server.execute(enough) != [(True,)]:
        _write_wal(bench.server, kind)
    bench.server.execute("select pg_switch_wal()")


def _wait_until_archived(server: PostgresServer, where: str) -> None:
    started = time.monotonic()
    while server.execute(_WAITING) != [(0,)]:
        if time.monotonic() - started > 600:
            raise PgOpsError(
                "The archiver does not empty its queue", where=where, remedy=f"It says: {server.last_words()}"
            )
        time.sleep(0.02)


def _write_wal(server: PostgresServer, kind: str) -> None:
    if kind == "incompressible":
        server.execute(
            "insert into noise select string_agg(uuid_send(gen_random_uuid()), '') from generate_series(1, 90000) g"
            " group by g % 800"
        )
    else:
        server.execute("checkpoint")  # so that pages are written whole again, as after every checkpoint in use
        program = server.binaries.bindir / "pgbench"
        subprocess.run(
            [program, "--no-vacuum", "--client=2", "--transactions=1000", server.dsn()],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def _archive_with(server: PostgresServer, command: str) -> None:
    escaped = command.replace("'", "''")
    server.execute(f"alter system set archive_command = '{escaped}'")
    server.execute("select pg_reload_conf()")


@contextmanager
def _ground(arguments: argparse.Namespace, say: Say) -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="pgops-bench-", dir=arguments.folder) as name:
        folder = Path(name)
        s3 = S3Server(folder / "s3", free_port(), *KEYS)
        server = PostgresServer(
            "bench", pick(arguments.postgres), folder / "server", free_port(), secrets.token_hex(8), SETTINGS
        )
        try:
            s3.start()
            server.create()
            server.start()
            client = boto3.client(
                "s3",
                endpoint_url=s3.endpoint,
                aws_access_key_id=KEYS[0],
                aws_secret_access_key=KEYS[1],
                region_name="us-east-1",
            )
            client.create_bucket(Bucket="bench")
            yield Bench(
                server, LocalHost(run_as=account().prefix), _engines(server, s3, client, folder), folder, arguments, say
            )
        finally:
            server.destroy()
            s3.stop()


def _engines(server: PostgresServer, s3: S3Server, client: Any, folder: Path) -> dict[str, Any]:
    """The engines that are installed here."""
    dsn = Dsn("127.0.0.1", server.port, "postgres", "postgres", server.password)
    store = Store("bench", "", s3.endpoint, "us-east-1", *KEYS, path_style=True)
    source = Source(
        "bench",
        dsn,
        LocalHost(run_as=account().prefix),
        programs=PurePosixPath(sys.executable).parent,
        secrets=Secrets(PurePosixPath(folder / "secrets")),
    )
    engines: dict[str, Any] = {"barman": BarmanEngine(source, store, Bucket(client, "bench"))}
    if program := shutil.which("wal-g"):
        at_hand = Source(**{**vars(source), "programs": PurePosixPath(program).parent})
        engines["walg"] = WalgEngine(at_hand, store, Bucket(client, "bench"))
    return engines


def _fill(bench: Bench) -> None:
    program = bench.server.binaries.bindir / "pgbench"
    scale = max(1, round(bench.arguments.gigabytes * 64))  # 16 MB each
    subprocess.run([program, "-i", "-q", "-s", str(scale), bench.server.dsn()], check=True, capture_output=True)
    bench.server.execute("create table noise (body bytea)")
    bench.server.execute("alter table noise alter body set storage external")


@command
def main() -> int:
    """Run the parts and print their tables and the line of JSON."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # its servers end with it
    say = clocked()
    with _ground(arguments, say) as bench:
        say(f"PostgreSQL {bench.server.binaries.major}; engines: {', '.join(bench.engines)}; {bench.folder.parent}")
        _fill(bench)
        return _measure(bench)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench recovery", description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=1, help="of data (default 1)")
    parser.add_argument("--segments", type=int, default=40, help="of WAL for each measurement (default 40)")
    parser.add_argument("--pairs", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--postgres", type=int, metavar="MAJOR", help="PostgreSQL version (15 if installed, else 18)")
    parser.add_argument("--folder", type=Path, help="where servers and store lie (default: the temporary folder)")
    parser.add_argument("--only", choices=PARTS, help="one part")
    parser.add_argument("--no-wait", action="store_true", help="do not wait for a quiet machine: a trial, no figures")
    arguments = parser.parse_args()
    if min(arguments.gigabytes, arguments.segments, arguments.pairs) <= 0:
        parser.error("--gigabytes, --segments and --pairs must be greater than 0")
    return arguments


def _measure(bench: Bench) -> int:
    figures: dict[str, list[float]] = {}
    for name, part in PARTS.items():
        if bench.arguments.only in (None, name):
            for one in part(bench):
                for figure, value in one.items():
                    figures.setdefault(figure, []).append(value)
    print_header("figures", "   round by round")
    for figure, values in figures.items():
        print_row(figure, values, "   " + " ".join(f"{value:.2f}" for value in values))
    medians = {name: round(statistics.median(values), 3) for name, values in figures.items()}
    print(json.dumps(_headline(medians, list(bench.engines)) | medians | {"gigabytes": bench.arguments.gigabytes}))
    return 0


def _headline(medians: dict[str, float], engines: list[str]) -> dict[str, Any]:
    """The figures of the fastest engine, which is named: by archiving, and where that was not measured by the rest."""
    by = ("pgbench_segments_per_s", "replay_vs_local", "base_vs_copy")
    fastest = max(engines, key=lambda name: [medians.get(f"{name}_{figure}", 0.0) for figure in by])
    names = {
        "base_vs_source_dump": f"{fastest}_base_vs_source_dump",
        "base_vs_copy": f"{fastest}_base_vs_copy",
        "archive_segments_per_s": f"{fastest}_pgbench_segments_per_s",
        "replay_vs_local": f"{fastest}_replay_vs_local",
    }
    return {"engine": fastest} | {name: medians[figure] for name, figure in names.items() if figure in medians}


if __name__ == "__main__":
    sys.exit(main())
