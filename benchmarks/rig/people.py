"""The table that backfills are measured on, and what a step costs its server."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg2
from psycopg2 import sql

from pgops.errors import PgOpsError
from pgops.postgres import Dsn
from sandbox.postgres import PostgresServer

DATABASE = "people"
# The same for every strategy. All of it fits into shared_buffers, no checkpoint falls into a step, and autovacuum does
# not come to some and not to others.
SETTINGS = {
    "shared_buffers": "2GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
}
_TEMPLATE, _COPY, _INDEXES, _VACUUM, _WARM, _CHECKPOINT = (
    Path(__file__).with_suffix(".sql").read_text(encoding="utf-8").split("\n\n")
)


@dataclass(frozen=True)
class Meters:
    """Sums since the server began."""

    buffers: int
    cpu_seconds: float
    wal_bytes: int

    def since(self, earlier: Meters) -> Meters:
        """What was used between two readings."""
        return Meters(
            self.buffers - earlier.buffers,
            self.cpu_seconds - earlier.cpu_seconds,
            self.wal_bytes - earlier.wal_bytes,
        )


class People:
    """The table `people` in a database of its own on `server`."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self.dsn = Dsn("127.0.0.1", server.port, DATABASE, "postgres", server.password)

    def make(self, rows: int) -> None:
        """Make the template of all copies."""
        self.server.execute(f"create database {DATABASE}")
        self._run(_TEMPLATE, rows)

    def fresh(self, rows: int, *, indexes: bool = False) -> None:
        """A new copy, of which no row is done; two secondary indexes if wanted."""
        self.execute("drop table if exists people")
        for text in (_COPY, *([_INDEXES] if indexes else []), _VACUUM, _WARM, _CHECKPOINT):
            self._run(text, rows)

    def left(self) -> int:
        """Rows that are still to do."""
        return self._number("select count(*) from people where tier is null")

    def megabytes(self) -> float:
        """Of the table with its indexes."""
        return self._number("select pg_total_relation_size('people')") / 1e6

    def meters(self) -> Meters:
        """Read when no session is left in the database: only then everything has been added up.

        The processor time is that of all backends that ended, whoever began them: a vacuum's session counts too.
        """
        self.wait_until_alone()
        ((buffers, wal),) = self.server.execute(
            "select blks_hit + blks_read, pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"
            f" from pg_stat_database where datname = '{DATABASE}'"
        )
        times = self._postmaster().cpu_times()
        assert isinstance(buffers, int) and isinstance(wal, int)
        return Meters(buffers, times.children_user + times.children_system, wal)

    def wait_until_alone(self, seconds: float = 30) -> None:
        """Until every backend of the database is gone, also from the list of processes."""
        deadline = time.monotonic() + seconds
        while any(map(self._is_ours, self._postmaster().children())):
            if time.monotonic() > deadline:
                raise PgOpsError(
                    "Somebody stays connected", where=f"database {DATABASE}", remedy="Look into pg_stat_activity"
                )
            time.sleep(0.02)

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """Run SQL in the database."""
        return self.server.execute(statement, DATABASE)

    def _number(self, question: str) -> int:
        ((value,),) = self.execute(question)
        assert isinstance(value, int)
        return value

    def _run(self, text: str, rows: int) -> None:
        with closing(psycopg2.connect(self.server.dsn(DATABASE))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql.SQL(text).format(rows=sql.Literal(rows)))

    def _postmaster(self) -> psutil.Process:
        return psutil.Process(int((self.server.data / "postmaster.pid").read_text().split()[0]))

    @staticmethod
    def _is_ours(child: psutil.Process) -> bool:
        try:
            title = " ".join(child.cmdline())
        except psutil.NoSuchProcess:
            return False
        except psutil.ZombieProcess:
            title = ""
        return not title or f" {DATABASE} " in title  # without a title it is ending
