"""`./dev run DAG --load`: pgbench on the run's table beside the run, and what its requests had to wait, as a table."""

from __future__ import annotations

import math
import re
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg2
from psycopg2 import sql

from pgops.errors import PgOpsError, Refused
from sandbox.postgres import PostgresServer

REQUESTS_PER_SECOND = 200
CLIENTS = 8
BEFORE_SECONDS = 10.0  # without a run, for comparison
AFTER_SECONDS = 2.0  # what pgbench has not written to its log when it is stopped is from here
# The scripts by their number in pgbench's log: 0 reads a row, 1 writes one; and their shares.
_WRITE = 1
_SHARES = (7, 3)
_KEY_AND_COLUMN = """
select format('%%I.%%I', n.nspname, c.relname), key.attname, any_column.attname
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_index i on i.indrelid = c.oid and i.indisprimary and i.indnatts = 1
join pg_attribute key on key.attrelid = c.oid and key.attnum = i.indkey[0]
     and key.atttypid in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
join pg_attribute any_column on any_column.attrelid = c.oid and any_column.attnum > 0
     and not any_column.attisdropped and any_column.attgenerated = '' and any_column.attnum <> key.attnum
where c.oid = to_regclass(%s)
order by any_column.attnum limit 1
"""


@dataclass(frozen=True)
class Request:
    """One transaction of the load: when it ended, and how long its client waited for it since it was due."""

    written: bool
    ended: float
    ms: float

    @property
    def due(self) -> float:
        """When it should have begun, whether its client was free or not."""
        return self.ended - self.ms / 1000


@dataclass(frozen=True)
class Latency:
    """Milliseconds of some requests."""

    count: int
    p50: float
    p95: float
    p99: float
    max: float
    max_at: float


class Load:
    """pgbench on one table, for as long as a block lasts.

    Args:
        server: the primary.
        dbname: its database.
        table: as SQL names it; it needs a primary key of one whole number.
        rate: requests a second.
    """

    def __init__(self, server: PostgresServer, dbname: str, table: str, rate: int = REQUESTS_PER_SECOND) -> None:
        self._server, self._dbname, self._table, self._rate = server, dbname, table, rate
        self._process: subprocess.Popen[str] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="pgops-load-")
        self.begun = math.inf
        self.requests: list[Request] = []
        self.errors = ""

    def __enter__(self) -> Load:
        try:
            self._start()
            self._idle_stretch()
        except BaseException:
            self._stop()
            raise
        self.begun = time.time()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                time.sleep(AFTER_SECONDS)
        finally:
            self._stop()

    def lines(self) -> list[str]:
        """What the requests had to wait, as a table, before the run and beside it."""
        lines = [f"{'latency, ms':<26}{'requests':>9}{'p50':>8}{'p95':>8}{'p99':>8}{'max':>9}  at"]
        for written, name in ((False, "reads"), (True, "writes")):
            for beside, when in ((False, "before the run"), (True, "beside the run")):
                found = latency(self.of(written=written, beside=beside))
                if found is not None:
                    lines.append(
                        f"{f'{name} {when}':<26}{found.count:>9}{found.p50:>8.1f}{found.p95:>8.1f}{found.p99:>8.1f}"
                        f"{found.max:>9.1f}  {datetime.fromtimestamp(found.max_at):%H:%M:%S}"
                    )
        return [*lines, f"errors: {self.errors or 'none'}"]

    def of(self, *, written: bool, beside: bool) -> list[Request]:
        """The reads or the writes, before the run or beside it."""
        return [one for one in self.requests if one.written == written and (one.ended >= self.begun) == beside]

    # --- parts ---

    def _start(self) -> None:
        program = self._server.binaries.bindir / "pgbench"
        if not program.exists():
            raise Refused(
                "There is no pgbench to make a load with",
                where=str(program.parent),
                remedy="Install PostgreSQL 15 (Debian: apt-get install postgresql-15), or run without --load.",
            )
        folder = Path(self._folder.name)
        for name, script in zip(("read", "write"), _scripts(self._server, self._dbname, self._table), strict=True):
            (folder / name).write_text(script)
        scripts = [f"--file={folder / name}@{share}" for name, share in zip(("read", "write"), _SHARES, strict=True)]
        self._said = (folder / "said").open("w+")
        self._process = subprocess.Popen(
            [
                *(
                    str(program),
                    "--no-vacuum",
                    f"--client={CLIENTS}",
                    "--jobs=1",
                    f"--rate={self._rate}",
                    "--time=86400",
                ),
                *("--log", f"--log-prefix={folder / 'log'}", *scripts),
                *("--host=127.0.0.1", f"--port={self._server.port}", "--username=postgres", self._dbname),
            ],
            env={"PGPASSWORD": self._server.password, "PGAPPNAME": "load", "LC_ALL": "C"},
            stdout=subprocess.DEVNULL,
            stderr=self._said,
            text=True,
        )

    def _idle_stretch(self) -> None:
        """What the requests wait for without a run; a load that does not even begin is an error."""
        end = time.monotonic() + BEFORE_SECONDS
        while time.monotonic() < end:
            if self._process is None or self._process.poll() is not None:
                raise PgOpsError(
                    "pgbench has ended before its time",
                    where=f"{self._dbname}, {self._table}",
                    remedy=f"It said: {' '.join(self._words()) or 'nothing'}",
                )
            time.sleep(0.1)

    def _stop(self) -> None:
        """End pgbench, read its log, and remove it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self.errors = "; ".join(word for word in self._words() if "error" in word.lower())
            for file in Path(self._folder.name).glob("log.*"):
                self.requests += parsed(file.read_text().splitlines())
            self._said.close()
            self._process = None
        self._folder.cleanup()

    def _words(self) -> list[str]:
        self._said.seek(0)
        return [line.strip() for line in self._said if line.strip()]


def load_of(server: PostgresServer, conf: dict[str, Any], database: str) -> Load:
    """The load for a run with these params.

    Args:
        database: where the params name none.

    Raises:
        Refused: the params name no table.
    """
    table = conf.get("table")
    if not isinstance(table, str):
        raise Refused("No table to put a load on", where="--conf", remedy='Name it: {"table": "public.orders", ...}.')
    return Load(server, str(conf.get("database") or database), table)


def parsed(lines: Iterable[str]) -> list[Request]:
    """pgbench's log: client, number, microseconds, script, seconds and microseconds of its end, and more.

    The last line may be half of one; a failed transaction has a word in place of its time.
    """
    found = []
    for line in lines:
        if match := re.fullmatch(r"\d+ \d+ (\d+) ([01]) (\d+) (\d+)(?: .*)?", line):
            took, script, seconds, micros = map(int, match.groups())
            found.append(Request(script == _WRITE, seconds + micros / 1e6, took / 1000))
    return found


def latency(requests: Sequence[Request]) -> Latency | None:
    """Percentiles by nearest rank; None of nothing."""
    if not requests:
        return None
    sorted_ = sorted(requests, key=lambda one: one.ms)

    def rank(share: float) -> float:
        return sorted_[math.ceil(share * len(sorted_)) - 1].ms

    last = sorted_[-1]
    return Latency(len(sorted_), rank(0.5), rank(0.95), rank(0.99), last.ms, last.ended)


def _scripts(server: PostgresServer, dbname: str, table: str) -> tuple[str, str]:
    """A read and a write of one row of the table."""
    with closing(psycopg2.connect(server.dsn(dbname))) as connection, connection.cursor() as cursor:
        cursor.execute(_KEY_AND_COLUMN, [table])
        row = cursor.fetchone()
        if row is None:
            raise Refused(
                f"There is no table {table}, or it has no primary key of one whole number and another column",
                where=f"database {dbname}",
                remedy="Name another table, or run without --load.",
            )
        relation, key, column = sql.SQL(row[0]), sql.Identifier(row[1]), sql.Identifier(row[2])
        bounds = sql.SQL("select coalesce(min({0}), 1), coalesce(max({0}), 1) from {1}").format(key, relation)
        cursor.execute(bounds)
        low, high = cursor.fetchone() or (1, 1)
        pick = f"\\set id random({low}, {high})\n"
        read = sql.SQL("select * from {} where {} = :id;\n").format(relation, key)
        write = sql.SQL("update {0} set {1} = {1} where {2} = :id;\n").format(relation, column, key)
        return pick + read.as_string(connection), pick + write.as_string(connection)
