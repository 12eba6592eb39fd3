"""Reads pg_stat_statements of one database: numbers first, texts only of statements that nobody has seen yet."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import psycopg2
from psycopg2 import sql

from pgops.errors import Refused
from pgops.include import query, sql_text
from pgops.postgres import DatabaseError, Dsn, Limits, connect
from pgops.queries.counters import Counter, Counts, Key, Origin
from pgops.queries.text import MOST_TEXT, Text, kept

APPLICATION = "pgops.queries"
MAINTENANCE = "postgres"
_LIMITS = Limits(statement=30, lock=1)
_NOT_LOADED = "55000"
_UNDEFINED_DATABASE = "3D000"
_NOT_ALLOWED = ("42501", "28000")


@dataclass
class Reader:
    """A session that reads; the same one for numbers and texts.

    Attributes:
        database: whose statements, as the server names it.
    """

    connection: Any
    dsn: Dsn
    database: str
    schema: str
    columns: frozenset[str]

    def counters(self) -> tuple[Origin, dict[Key, Counter]]:
        """All of them, as they are now.

        Raises:
            Refused: the library is not loaded, or the role may not see other roles' statements.
        """
        with self.connection.cursor() as cursor:
            try:
                cursor.execute(self._query("queries/origin.sql"))
                origin = Origin(*cursor.fetchone())
                cursor.execute(self._query("queries/counters.sql"), {"database": self.database})
                found: dict[Key, Counter] = {}
                for username, queryid, toplevel, since, *counts in cursor:
                    if queryid is None:
                        raise self._blind()
                    found[Key(username, queryid, toplevel)] = Counter(Counts(*counts), since)
            except psycopg2.errors.ObjectNotInPrerequisiteState as error:
                raise Refused(
                    "pg_stat_statements is not in shared_preload_libraries, so nothing is counted",
                    where=self.dsn.where,
                    remedy="Add it there and restart the server at a time that suits",
                ) from error
        return origin, found

    def texts(self, keys: Collection[Key]) -> dict[Key, Text]:
        """Texts as they may be kept; those that the server has forgotten meanwhile are missing."""
        if not keys:
            return {}
        with self.connection.cursor() as cursor:
            cursor.execute(
                query("queries/texts.sql", schema=sql.Identifier(self.schema)),
                {"database": self.database, "ids": list({key.queryid for key in keys}), "most": MOST_TEXT + 1},
            )
            raw: Mapping[tuple[str, int], str] = {(username, id_): text for username, id_, text in cursor}
        by_text = {text: kept(text) for text in set(raw.values())}
        return {key: by_text[raw[key[:2]]] for key in keys if key[:2] in raw}

    def _query(self, name: str) -> sql.Composed:
        """Columns have other names since 17, or are not there: in an older version of the extension, too."""

        def column(*names: str, absent: str) -> sql.Composable:
            there = next((name for name in names if name in self.columns), None)
            return sql.Identifier("s", there) if there else sql.SQL(absent)

        return query(
            name,
            schema=sql.Identifier(self.schema),
            toplevel=column("toplevel", absent="true"),
            since=column("stats_since", absent="NULL::timestamptz"),
            read_ms=column("shared_blk_read_time", "blk_read_time", absent="0::float8"),
        )

    def _blind(self) -> Refused:
        return Refused(
            "The role may not see the statements of others",
            where=f"{self.dsn.user} on {self.dsn.where}",
            remedy="Run include/sql/roles/monitor.sql: it grants pg_monitor",
        )


@contextmanager
def reader(dsn: Dsn) -> Iterator[Reader]:
    """A session on a database with the extension: the one that is asked about, else the server's `postgres`.

    Raises:
        Refused: the extension is in neither.
    """
    with _session(dsn) as here:
        if here is not None:
            yield replace(here, database=dsn.dbname)
            return
    try:
        with _session(dsn.on(MAINTENANCE)) as there:
            if there is not None:
                yield replace(there, database=dsn.dbname)
                return
    except DatabaseError as error:
        if error.sqlstate not in (_UNDEFINED_DATABASE, *_NOT_ALLOWED):
            raise
    raise Refused(
        f"pg_stat_statements is not installed, neither in this database nor in {MAINTENANCE}",
        where=dsn.where,
        remedy="Add it to shared_preload_libraries, restart, and CREATE EXTENSION pg_stat_statements in one of them",
    )


@contextmanager
def _session(dsn: Dsn) -> Iterator[Reader | None]:
    with connect(dsn, APPLICATION, _LIMITS, readonly=True, system_names=True) as connection:
        with connection.cursor() as cursor:
            cursor.execute(sql_text("queries/extension.sql"))
            row = cursor.fetchone()
        yield Reader(connection, dsn, dsn.dbname, row[0], frozenset(row[1])) if row else None
