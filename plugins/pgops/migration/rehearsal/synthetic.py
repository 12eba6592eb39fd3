"""Writes of an application that already uses the migrated schema, so that a rollback has something to lose.

Only what is new is written: new columns of existing rows, and a row in each new table. What was there before stays as
it is, so that it can be compared after the rollback; triggers, which might change it, do not fire.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

import psycopg2
from psycopg2 import sql

from pgops.include import query, sql_text
from pgops.postgres import Dsn, Limits, connect

log = logging.getLogger(__name__)

APPLICATION = "pgops.migration.rehearsal.synthetic"
_NUMBERS = ("int2", "int4", "int8", "float4", "float8", "numeric", "money", "oid")
_STRINGS = ("text", "varchar", "bpchar", "name", "citext")


@dataclass(frozen=True)
class Shape:
    """Tables and their columns at one instant, by number and by name.

    By number a renamed column or table is no new one; by name a table is no new one that the migration copied and
    replaced.
    """

    by_oid: Mapping[int, frozenset[int]]
    by_name: Mapping[str, frozenset[str]]


def shape(dsn: Dsn) -> Shape:
    """The tables as they are now: to be taken before the migration."""
    with connect(dsn, APPLICATION, readonly=True) as connection, connection.cursor() as cursor:
        tables = _tables(cursor)
    return Shape(
        by_oid={table.oid: frozenset(column.number for column in table.columns) for table in tables},
        by_name={table.name: frozenset(column.name for column in table.columns) for table in tables},
    )


def write_rows(dsn: Dsn, before: Shape, rows: int = 3) -> list[str]:
    """Fill new columns of some rows and put a row into each new table.

    Args:
        dsn: the migrated copy.
        before: its shape before the migration.
        rows: how many existing rows of a table get values in its new columns.

    Returns:
        What could not be written, and why.
    """
    with connect(dsn, APPLICATION, Limits(statement=60, lock=10)) as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        writer = _Writer(cursor, rows)
        new_tables = []
        for table in _tables(cursor):
            old = before.by_oid.get(table.oid)
            if old is None and table.name not in before.by_name:
                new_tables.append(table)
                continue
            writer.fill(table, [column for column in table.columns if _is_new(column, table, old, before)])
        writer.insert_into_all(new_tables)
        cursor.execute("COMMIT")
    for note in writer.notes:
        log.info("not written: %s", note)
    return writer.notes


@dataclass(frozen=True)
class _Column:
    number: int
    name: str
    type: str
    base: str
    label: str | None
    length: int | None
    required: bool
    has_default: bool
    is_computed: bool
    foreign_key: int | None
    parent: sql.Identifier | None
    parent_column: str | None


@dataclass(frozen=True)
class _Table:
    oid: int
    name: str
    identifier: sql.Identifier
    columns: tuple[_Column, ...]
    has_triggers: bool
    has_replica_triggers: bool


def _tables(cursor: Any) -> list[_Table]:
    cursor.execute(sql_text("migration/rehearsal/columns.sql"))
    tables = []
    for (oid, name, schema, table, triggers, replica_triggers), rows in groupby(cursor.fetchall(), lambda row: row[:6]):
        columns = []
        for row in rows:
            *plain, parent_schema, parent, parent_column = row[6:]
            target = None if parent is None else sql.Identifier(parent_schema, parent)
            if plain[0] is not None:
                columns.append(_Column(*[*plain, target, parent_column]))
        tables.append(_Table(oid, name, sql.Identifier(schema, table), tuple(columns), triggers, replica_triggers))
    return tables


def _is_new(column: _Column, table: _Table, old: frozenset[int] | None, before: Shape) -> bool:
    return column.number not in old if old is not None else column.name not in before.by_name[table.name]


class _Impossible(Exception):
    """There is no value for a column."""


class _Writer:
    """Writes in one transaction, each write in a savepoint."""

    def __init__(self, cursor: Any, rows: int) -> None:
        self._cursor = cursor
        self._rows = rows
        self.notes: list[str] = []
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        self._triggers_are_off = self._switch_triggers_off()

    def _switch_triggers_off(self) -> bool:
        try:
            with self._savepoint():
                self._cursor.execute("SET LOCAL session_replication_role = replica")
        except psycopg2.Error:  # a superuser's, or GRANT SET ON PARAMETER
            return False
        return True

    @contextmanager
    def _savepoint(self) -> Iterator[None]:
        self._cursor.execute("SAVEPOINT one")
        try:
            yield
        except (psycopg2.Error, _Impossible):
            self._cursor.execute("ROLLBACK TO SAVEPOINT one")
            raise
        self._cursor.execute("RELEASE SAVEPOINT one")

    def _triggers_would_fire(self, table: _Table) -> bool:
        fire = table.has_replica_triggers if self._triggers_are_off else table.has_triggers
        if fire:
            self.notes.append(
                f"{table.name}: its triggers might change other rows, and the role may not switch them off"
                " (GRANT SET ON PARAMETER session_replication_role)"
                if not self._triggers_are_off
                else f"{table.name}: its triggers fire always and might change other rows"
            )
        return fire

    # --- new columns ---

    def fill(self, table: _Table, columns: Sequence[_Column]) -> None:
        """Give new columns of some existing rows a value."""
        writable = [column for column in columns if not column.is_computed]
        if not writable or self._triggers_would_fire(table):
            return
        try:
            with self._savepoint():
                self._cursor.execute(
                    query("migration/rehearsal/some_rows.sql", table=table.identifier, rows=sql.Literal(self._rows))
                )
                places = self._cursor.fetchall()
        except psycopg2.Error as error:
            self._note(table.name, error)
            return
        refused: dict[str, Exception] = {}
        for number, place in enumerate(places, 1):
            if self._fill_row(table, writable, place, number) is None:
                continue
            for together in _by_foreign_key(writable):  # one by one: what cannot be written must not stop the rest
                outcome = self._fill_row(table, together, place, number)
                if isinstance(outcome, Exception):
                    refused.setdefault(", ".join(column.name for column in together), outcome)
                place = self._place or place
        for names, why in refused.items():
            self._note(f"{table.name} ({names})", why)

    def _fill_row(
        self, table: _Table, columns: Sequence[_Column], place: tuple[int, str], number: int
    ) -> Exception | None:
        self._place: tuple[int, str] | None = None
        try:
            with self._savepoint():
                values = self._values(table, columns, number)
                assignments = [sql.SQL("{} = {}").format(sql.Identifier(name), value) for name, value in values.items()]
                self._cursor.execute(
                    query(
                        "migration/rehearsal/fill_row.sql",
                        table=table.identifier,
                        assignments=sql.SQL(", ").join(assignments),
                        partition=sql.Literal(place[0]),
                        place=sql.Literal(place[1]),
                    )
                )
                self._place = self._cursor.fetchone()
        except (psycopg2.Error, _Impossible) as error:
            return error
        return None

    # --- new tables ---

    def insert_into_all(self, tables: Sequence[_Table]) -> None:
        """Put a row into each table; those that others refer to come first by themselves, in repeated passes."""
        waiting = [table for table in tables if not self._triggers_would_fire(table)]
        while waiting:
            refused = {table.oid: error for table in waiting if (error := self._insert(table)) is not None}
            if len(refused) == len(waiting):
                for table in waiting:
                    self._note(table.name, refused[table.oid])
                return
            waiting = [table for table in waiting if table.oid in refused]

    def _insert(self, table: _Table) -> Exception | None:
        """Insert a row with as much in it as there is a value for; failing that, with no more than it must have."""
        given = [column for column in table.columns if not column.is_computed and not column.has_default]
        required = [column for column in given if column.required]
        error = self._insert_row(table, self._that_have_values(table, given))
        return None if error is None else self._insert_row(table, required)

    def _that_have_values(self, table: _Table, columns: Sequence[_Column]) -> list[_Column]:
        found: list[_Column] = []
        for together in _by_foreign_key(columns):
            try:
                with self._savepoint():
                    self._values(table, together, 1)
            except (psycopg2.Error, _Impossible):
                found += [column for column in together if column.required]
            else:
                found += together
        return found

    def _insert_row(self, table: _Table, columns: Sequence[_Column]) -> Exception | None:
        try:
            with self._savepoint():
                values = self._values(table, columns, 1)
                row: sql.Composable = sql.SQL("DEFAULT VALUES")
                if values:
                    names = sql.SQL(", ").join(map(sql.Identifier, values))
                    row = sql.SQL("({}) VALUES ({})").format(names, sql.SQL(", ").join(values.values()))
                self._cursor.execute(query("migration/rehearsal/insert_row.sql", table=table.identifier, values=row))
        except (psycopg2.Error, _Impossible) as error:
            return error
        return None

    # --- values ---

    def _values(self, table: _Table, columns: Sequence[_Column], number: int) -> dict[str, sql.Composable]:
        """A literal for each column; a literal without a type takes the column's."""
        values: dict[str, sql.Composable] = {}
        for together in _by_foreign_key(columns):
            if together[0].foreign_key is None:
                values[together[0].name] = sql.Literal(_example(together[0], number))
                continue
            whole = [column for column in table.columns if column.foreign_key == together[0].foreign_key]
            if len(whole) != len(together):
                raise _Impossible("a part of its foreign key was there before")
            key = self._parent_key(together, number)
            values |= {column.name: sql.Literal(part) for column, part in zip(together, key, strict=True)}
        return values

    def _parent_key(self, columns: Sequence[_Column], number: int) -> tuple[str, ...]:
        parts = [sql.Identifier(column.parent_column or "") for column in columns]
        for skip in (number - 1, 0):
            self._cursor.execute(
                query(
                    "migration/rehearsal/parent_key.sql",
                    table=columns[0].parent or sql.SQL(""),
                    columns=sql.SQL(", ").join(sql.SQL("{}::text").format(part) for part in parts),
                    not_null=sql.SQL(" AND ").join(sql.SQL("{} IS NOT NULL").format(part) for part in parts),
                    skip=sql.Literal(skip),
                )
            )
            key: tuple[str, ...] | None = self._cursor.fetchone()
            if key is not None:
                return key
        raise _Impossible("the table that it refers to has no row")

    def _note(self, what: str, error: Exception) -> None:
        said = getattr(getattr(error, "diag", None), "message_primary", None) or " ".join(str(error).split())
        self.notes.append(f"{what}: {said}")


def _by_foreign_key(columns: Sequence[_Column]) -> list[list[_Column]]:
    """Columns of one foreign key together, since its key is one row's; all others one by one."""
    groups: dict[tuple[str, int], list[_Column]] = {}
    for column in columns:
        group = ("column", column.number) if column.foreign_key is None else ("key", column.foreign_key)
        groups.setdefault(group, []).append(column)
    return list(groups.values())


def _example(column: _Column, number: int) -> str:
    """A value of a column's type as text, another one for every number."""
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0) + timedelta(seconds=number)
    length = column.length
    match column.base:
        case "enum" if column.label is not None:
            return column.label
        case base if base == "array" or base.startswith("_"):
            return "{}"
        case "range":
            return "empty"
        case "bit":
            return format(number, "b").zfill(length or 1)[-(length or 1) :]
        case base if base in _NUMBERS:
            return str(number)
        case base if base in _STRINGS:
            return f"pgops {number}" if length is None or length >= 8 else str(number)[:length]
        case "date":
            return now.date().isoformat()
        case "timestamp" | "timestamptz":
            return now.isoformat()
    examples = {
        "bool": "true",
        "time": f"00:00:{number:02}",
        "timetz": f"00:00:{number:02}+00",
        "interval": f"{number} seconds",
        "uuid": f"00000000-0000-4000-8000-{number:012}",
        "json": f'{{"pgops": {number}}}',
        "jsonb": f'{{"pgops": {number}}}',
        "bytea": f"\\x{number:02x}",
        "inet": f"192.0.2.{number}",
        "cidr": f"192.0.2.{number}/32",
        "macaddr": f"02:00:00:00:00:{number:02x}",
        "varbit": format(number, "b"),
        "xml": f"<pgops>{number}</pgops>",
        "tsvector": f"pgops {number}",
        "point": f"({number},0)",
        "hstore": f'"pgops"=>"{number}"',
    }
    if column.base not in examples:
        raise _Impossible(f"no example is known of type {column.type}")
    return examples[column.base]
