"""COPY through psql: out of a table as a stream, and from a stream into a table.

Not through psycopg2, whose COPY cannot run under the callback that makes a task killable.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from pgops.errors import PgOpsError
from pgops.include import query, sql_text
from pgops.postgres import Dsn, cancel_all, client_program
from pgops.processes import Program
from pgops.progress import Progress
from pgops.storage import Reader, read_all
from pgops.storage.streams import CHUNK

APPLICATION = "pgops.partitions"
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Copied:
    """What is copied: a table's columns in a format. `connection` only quotes names as its server wants them."""

    connection: Connection
    schema: str
    table: str
    columns: Sequence[str]
    format: Literal["binary", "text", "csv"]
    encoding: str

    def statement(self, name: str) -> str:
        """The COPY of a query file."""
        options: list[sql.Composable] = [
            sql.SQL("FORMAT {}").format(sql.SQL(self.format)),
            sql.SQL("ENCODING {}").format(self._encoding),
        ]
        if self.format == "csv":
            options.append(sql.SQL("HEADER MATCH") if name.endswith("in.sql") else sql.SQL("HEADER"))
        composed = query(
            name,
            table=sql.Identifier(self.schema, self.table),
            columns=sql.SQL(", ").join(map(sql.Identifier, self.columns)),
            options=sql.SQL(", ").join(options),
        )
        return str(composed.as_string(self.connection))

    @property
    def _encoding(self) -> Any:
        return sql.Literal(self.encoding)


@contextmanager
def copying_out(
    dsn: Dsn, copied: Copied, snapshot: str, progress: Progress, stopped: threading.Event
) -> Iterator[Reader]:
    """The rows as a stream that ends only when psql ended well."""
    begin = query("partitions/archive/begin_snapshot.sql", snapshot=sql.Literal(snapshot)).as_string(copied.connection)
    argv = [*_psql(dsn, copied.connection), "-c", str(begin)]
    argv += ["-c", copied.statement("partitions/archive/copy_out.sql")]
    environment = dsn.environment(f"{APPLICATION}.copy")
    with Program(argv, where=dsn.where, env=environment, stdout=subprocess.PIPE) as program:
        yield _Output(program, progress, stopped)


def copy_in(dsn: Dsn, copied: Copied, source: Reader, progress: Progress, stopped: threading.Event) -> int:
    """Load a stream into a table, in one transaction; how many bytes that were.

    Raises:
        ProgramFailed: psql did not understand it, or could not go on.
    """
    argv = [*_psql(dsn, copied.connection), "-c", copied.statement("partitions/archive/copy_in.sql")]
    fed = 0
    environment = dsn.environment(f"{APPLICATION}.copy")
    with Program(argv, where=dsn.where, env=environment, stdin=subprocess.PIPE) as program:
        try:
            for data in read_all(source):
                if stopped.is_set():
                    raise _Stopped()
                program.stdin.write(data)
                fed += len(data)
                progress.add(len(data))
            program.stdin.close()
        except BrokenPipeError:
            program.wait()
            raise
        except BaseException:
            # It must not take the end of its input for the end of the data, and commit a part.
            program.stop(grace=0)
            raise
        program.wait()
    return fed


def _psql(dsn: Dsn, connection: Connection) -> list[str]:
    return [
        str(client_program("psql", connection.server_version)),
        *("--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1"),
        f"--dbname={dsn.conninfo()}",
        *("-c", sql_text("fingerprint/settings.sql")),
        *("-c", sql_text("partitions/archive/session.sql")),
    ]


class _Stopped(PgOpsError):
    def __init__(self) -> None:
        super().__init__("Stopped", where="another step beside this one", remedy="Look at that step's error")


class _Output:
    def __init__(self, program: Program, progress: Progress, stopped: threading.Event) -> None:
        self._program, self._progress, self._stopped = program, progress, stopped

    def read(self, size: int = -1, /) -> bytes:
        """As Reader.read."""
        # In pieces: an upload may ask for as much as an object can hold.
        found = bytearray()
        while size < 0 or len(found) < size:
            if self._stopped.is_set():
                raise _Stopped()
            data = self._program.stdout.read(CHUNK if size < 0 else min(size - len(found), CHUNK))
            self._progress.add(len(data))
            if not data:
                self._program.wait()
                break
            found += data
        return bytes(found)


def side_by_side(jobs: Sequence[Callable[[], _Result]], stopped: threading.Event) -> list[_Result]:
    """Do several things at once; when one fails the others are stopped, and its error is raised.

    Args:
        jobs: each in a thread.
        stopped: set when one has failed; the others look at it.
    """
    with ThreadPoolExecutor(len(jobs), "partitions") as pool:
        futures = [pool.submit(job) for job in jobs]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            failed = [error for future in done if (error := future.exception()) is not None]
        except BaseException:  # the task is being killed
            stopped.set()
            raise
        if failed:
            stopped.set()
            with contextlib.suppress(PgOpsError):
                cancel_all()
    if failed:
        raise next((error for error in failed if not isinstance(error, _Stopped)), failed[0])
    return [future.result() for future in futures]
