"""What a database contains, in numbers that can be compared with what was restored.

A table's fingerprint is its row count and the sum of its rows' 64-bit hashes, taken in the snapshot of the dump. Row
counts alone find none of the damage that an exit code does not find; sums of hashes find it all (measured: see
docs/backups.md).
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from pgops.include import query, sql_text
from pgops.postgres import Dsn, Limits, connect

log = logging.getLogger(__name__)

# Every table, and every index of it that the planner looks at, takes an entry in the lock table until the end of the
# transaction: 5,000 tables in one transaction exhaust a server's default.
TABLES_PER_TRANSACTION = 100
RANGE_BLOCKS = 32_768  # 256 MiB of 8 KiB blocks
_BLOCK_BYTES = 8192


@dataclass(frozen=True)
class Table:
    """A table that pg_dump dumps. `condition` is an extension's "WHERE ..." for its configuration table, or empty.

    The three kinds of columns are those that are dumped, each sorted by name (see tables.sql); `copy_schema` and
    `copy_name` say under which table its rows are dumped and compared: nearly always itself.
    """

    oid: int
    schema: str
    name: str
    bytes: int
    unlogged: bool
    condition: str
    exact_columns: tuple[str, ...]
    string_columns: tuple[str, ...]
    other_columns: tuple[str, ...]
    copy_schema: str
    copy_name: str


@dataclass(frozen=True)
class TableFingerprint:
    """A table's content: `hash` is a decimal number, the sum of the hashes of its rows."""

    schema: str
    name: str
    rows: int
    hash: str


@dataclass(frozen=True)
class LargeObjects:
    """The large objects' number and fingerprint."""

    count: int = 0
    hash: str = "0"


@dataclass(frozen=True)
class _Piece:
    table: Table
    first_block: int
    end_block: int | None


def dumped_tables(connection: Connection) -> list[Table]:
    """The tables whose rows pg_dump dumps from this database."""
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(sql_text("fingerprint/tables.sql"))
        return [_table(row) for row in cursor.fetchall()]


def _table(row: Mapping[str, Any]) -> Table:
    fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
    return Table(**fields)


def large_objects(connection: Connection) -> LargeObjects:
    """The fingerprint of the large objects."""
    with connection.cursor() as cursor:
        cursor.execute(sql_text("fingerprint/has_large_objects.sql"))
        if cursor.fetchone() == (False,):
            return LargeObjects()
        cursor.execute(sql_text("fingerprint/large_objects.sql"))
        count, hash_sum = cursor.fetchone() or (0, "0")
        return LargeObjects(count, hash_sum)


def sequences_behind(connection: Connection) -> list[str]:
    """Sequences of serial and identity columns that would next give a value which their column already passed."""
    behind = []
    with connection.cursor() as cursor:
        cursor.execute(sql_text("fingerprint/owned_sequences.sql"))
        for sequence_schema, sequence, schema, table, column, ascending in cursor.fetchall():
            cursor.execute(
                query(
                    "fingerprint/sequence_is_behind.sql",
                    ascending=sql.Literal(ascending),
                    column=sql.Identifier(column),
                    table=sql.Identifier(schema, table),
                    sequence=sql.Identifier(sequence_schema, sequence),
                )
            )
            if cursor.fetchone() == (True,):
                behind.append(f"the sequence {sequence_schema}.{sequence} is behind {schema}.{table}.{column}")
    return behind


def fingerprint_tables(
    dsn: Dsn,
    tables: Sequence[Table],
    *,
    application_name: str,
    jobs: int = 2,
    snapshot: str | None = None,
    on_bytes: Callable[[int], None] = lambda count: None,
    stopped: Callable[[], bool] = lambda: False,
) -> list[TableFingerprint]:
    """Fingerprint tables in `jobs` sessions; large ones in ranges of blocks, so that one table keeps all busy.

    Args:
        dsn: the database.
        tables: from dumped_tables.
        application_name: shown in pg_stat_activity.
        jobs: sessions at a time.
        snapshot: from pg_export_snapshot, so that all see what pg_dump sees; None for a database nobody writes to.
        on_bytes: told how many bytes of tables were read.
        stopped: asked between tables; when it says yes the rest is left out, and the result is of no use.

    Raises:
        DatabaseError: the first failure; the other sessions stop.
    """
    pieces: queue.SimpleQueue[_Piece] = queue.SimpleQueue()
    for piece in sorted(_pieces(tables), key=_piece_bytes, reverse=True):
        pieces.put(piece)
    totals: dict[tuple[str, str], tuple[int, int]] = {(t.copy_schema, t.copy_name): (0, 0) for t in tables}
    guard = threading.Lock()
    failures: list[BaseException] = []

    def add(piece: _Piece, rows: int, hash_sum: int) -> None:
        with guard:
            name = (piece.table.copy_schema, piece.table.copy_name)
            had_rows, had_hash = totals[name]
            totals[name] = (had_rows + rows, had_hash + hash_sum)
        on_bytes(_piece_bytes(piece))

    def work() -> None:
        try:
            limits = Limits(statement=4 * 3600, lock=60, idle_in_transaction=0)
            with connect(dsn, application_name, limits, readonly=True, system_names=True) as connection:
                _work_through(connection, pieces, snapshot, add, lambda: bool(failures) or stopped())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, name=f"fingerprint-{n}", daemon=True) for n in range(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return [TableFingerprint(schema, name, rows, str(total)) for (schema, name), (rows, total) in totals.items()]


def _pieces(tables: Iterable[Table]) -> Iterable[_Piece]:
    for table in tables:
        blocks = table.bytes // _BLOCK_BYTES
        firsts = range(0, max(blocks, 1), RANGE_BLOCKS) if not table.condition else (0,)
        for first in firsts:
            last = first + RANGE_BLOCKS >= blocks or bool(table.condition)
            yield _Piece(table, first, None if last else first + RANGE_BLOCKS)


def _piece_bytes(piece: _Piece) -> int:
    end = piece.end_block * _BLOCK_BYTES if piece.end_block is not None else piece.table.bytes
    return max(end - piece.first_block * _BLOCK_BYTES, 0)


def _work_through(
    connection: Connection,
    pieces: queue.SimpleQueue[_Piece],
    snapshot: str | None,
    add: Callable[[_Piece, int, int], None],
    stopped: Callable[[], bool],
) -> None:
    """Take pieces until there are none, at most TABLES_PER_TRANSACTION in one transaction."""
    with connection.cursor() as cursor:
        cursor.execute(sql_text("fingerprint/settings.sql"))
        more = True
        while more and not stopped():
            cursor.execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            if snapshot is not None:
                cursor.execute("SET TRANSACTION SNAPSHOT %s", [snapshot])
            for _ in range(TABLES_PER_TRANSACTION):
                try:
                    piece = pieces.get_nowait()
                except queue.Empty:
                    more = False
                    break
                cursor.execute(_statement(piece))
                rows, hash_sum = cursor.fetchone() or (0, "0")
                add(piece, rows, int(hash_sum))
                if stopped():
                    break
            cursor.execute("COMMIT")


def _statement(piece: _Piece) -> sql.Composed:
    condition: sql.Composable = sql.SQL(piece.table.condition)
    if piece.first_block > 0 or piece.end_block is not None:
        bounds = [sql.SQL("ctid >= {}").format(sql.Literal(f"({piece.first_block},0)"))]
        if piece.end_block is not None:
            bounds.append(sql.SQL("ctid < {}").format(sql.Literal(f"({piece.end_block},0)")))
        condition = sql.SQL("WHERE ") + sql.SQL(" AND ").join(bounds)
    table = sql.Identifier(piece.table.schema, piece.table.name)
    return query("fingerprint/table.sql", columns=_hashed(piece.table), table=table, condition=condition)


def _hashed(table: Table) -> sql.Composed:
    """The columns as hash_record_extended shall see them.

    Strings in collation "C", because a nondeterministic collation would hash different ones alike. Of other types the
    hash may miss a difference (1.0 and 1.00), be another one in another database (enums) or not exist: their text,
    which comes from ROW(...)::text, since column::text would use a cast that somebody made.
    """
    columns: list[sql.Composable] = [sql.Identifier(name) for name in table.exact_columns]
    columns += [sql.SQL('{} COLLATE "C"').format(sql.Identifier(name)) for name in table.string_columns]
    if table.other_columns:
        others = sql.SQL(", ").join(map(sql.Identifier, table.other_columns))
        columns.append(sql.SQL('ROW({})::text COLLATE "C"').format(others))
    return sql.SQL(", ").join(columns)
