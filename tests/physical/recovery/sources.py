"""A server that archives its WAL, with rows in it whose state at an instant is known; and a place for recoveries."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

from pgops.physical import plan, recover, state
from pgops.physical.host import LocalHost
from pgops.physical.model import BaseBackup
from pgops.physical.plan import RecoveryPlan
from pgops.physical.recoverability import WalReader, survey
from pgops.physical.state import Place, Recovery
from sandbox.account import Account, account
from sandbox.postgres import PostgresServer, Standby
from tests import servers
from tests.physical.plain_engine import PlainEngine, archive_command

CONTENT = "select count(*)::text || ' ' || coalesce(sum(hashtext(t::text)), 0)::text from public.items t"


def run_as(identity: Account) -> tuple[str, ...]:
    """As whom programs run that touch a server's files."""
    if identity.prefix or identity.uid is None:
        return identity.prefix
    return ("setpriv", f"--reuid={identity.uid}", f"--regid={identity.gid}", "--clear-groups")


def some_ports() -> tuple[int, int]:
    """Below those that the system gives to connections, and likely nobody else's."""
    first = random.randrange(12000, 31000)
    return first, first + 20


@dataclass
class Source:
    """The server, its engine, and where its copies are recovered."""

    server: PostgresServer
    engine: PlainEngine
    place: Place
    folder: Path

    def sql(self, statement: str) -> list[tuple]:
        return self.server.execute(statement, "postgres")

    def now(self) -> datetime:
        """The server's clock, between two transactions: none commits at the same instant."""
        time.sleep(0.002)
        [(at,)] = self.sql("select clock_timestamp()")
        time.sleep(0.002)
        return at.astimezone(UTC)

    def content(self) -> str:
        return str(self.sql(CONTENT)[0][0])

    def lsn(self) -> str:
        return str(self.sql("select pg_current_wal_insert_lsn()::text")[0][0])

    def commit_later(self) -> None:
        """Something after the target, for recovery to see that it is past it."""
        self.sql("create table if not exists later (at timestamptz); insert into later values (clock_timestamp())")

    def archived(self) -> str:
        """Have all WAL archived; return the last segment's name."""
        [(name,)] = self.sql("select pg_walfile_name(pg_switch_wal())")
        assert servers.eventually(lambda: str(name) in self.engine.archive().segments, 30), name
        return str(name)

    def reader(self) -> WalReader:
        place = self.place
        command = self.engine.restore_command(place.host)
        return WalReader(place.host, place.bindir, command, place.base / ".wal")

    def plan(self, target: str, **options) -> RecoveryPlan:
        found = survey(self.engine, self.reader())
        wanted = plan.parse_target(target)
        return plan.plan("primary", wanted, found.backups, found.archive, found.possible, **options)

    def prepared(self, target: str | RecoveryPlan, name: str = "one", **options) -> Recovery:
        made = target if isinstance(target, RecoveryPlan) else self.plan(target, **options)
        return recover.prepare(self.place, name, made, datetime.now(UTC), timedelta(hours=1))

    def recovered(self, target: str | RecoveryPlan, name: str = "one", patience: float = 0, **options) -> Recovery:
        recovery = recover.restore(self.place, self.prepared(target, name, **options), self.engine)
        return recover.recover(self.place, recovery, self.engine, patience_seconds=patience)

    def copy(self, recovery: Recovery) -> Callable[[str], str]:
        """Asks a recovered server."""
        return state.cluster(self.place, recovery).ask

    def archive_files(self) -> dict[str, tuple[int, int]]:
        """Everything in the archive, with size and time of change."""
        files = (file for file in self.engine.folder.rglob("*") if file.is_file())
        return {str(file): (file.stat().st_size, file.stat().st_mtime_ns) for file in files}

    def clean(self) -> None:
        for one in state.recoveries(self.place):
            state.remove(self.place, one.id)


@contextmanager
def archiving_source(major: int, **settings: str) -> Iterator[Source]:
    """A server with WAL archiving and an empty archive."""
    identity = account()
    with servers.memory_folder(f"pitr{major}") as folder:
        archive = identity.folder(folder / "archive")
        (archive / "wal").mkdir()
        identity.give(archive / "wal")
        with servers.running_postgres(
            major,
            wal_level="replica",
            archive_mode="on",
            archive_command=archive_command(archive),
            max_wal_size="2GB",
            **settings,
        ) as server:
            host = LocalHost("this machine", run_as(identity))
            base = identity.folder(folder / "recoveries")
            bindir = PurePosixPath(server.identity.reachable(server.binaries.bindir))
            place = Place(host, PurePosixPath(base), bindir, some_ports())
            source = Source(server, PlainEngine(archive, server, host), place, folder)
            try:
                source.sql("create table items (id int primary key, word text)")
                source.sql("insert into items select n, md5(n::text) from generate_series(1, 2000) n")
                yield source
            finally:
                source.clean()


@contextmanager
def following(source: Source, name: str = "standby") -> Iterator[Standby]:
    """A standby of the server, through a slot."""
    standby = Standby(name, source.server, source.folder / name, servers.free_port())
    try:
        standby.create()
        standby.start()
        yield standby
    finally:
        standby.destroy()


def backed_up(source: Source) -> BaseBackup:
    """A base backup with its WAL archived."""
    return source.engine.push(lambda line: None)
