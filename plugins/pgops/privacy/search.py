"""How many rows of a person are where."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import psycopg2
from psycopg2 import sql

from pgops.errors import Refused
from pgops.include import query
from pgops.postgres import Dsn, Limits
from pgops.privacy.model import (
    ArchivedSubject,
    ArchivedTable,
    Archives,
    Found,
    MappedTable,
    Relation,
    SubjectMap,
    TableRows,
)
from pgops.privacy.rows import ROW, condition, identifier, key_columns, key_text, referencing, rows
from pgops.privacy.sessions import subject_session

LIMITS = Limits(statement=3600)
_STORED = sql.SQL("{0}.tableoid, {0}.ctid").format(ROW)


@dataclass(frozen=True)
class Subject:
    """A person, by the key as the server writes it, and as the rows of the person hold it."""

    key: str = field(repr=False)
    spellings: tuple[str, ...] = field(repr=False)


def identify(dsn: Dsn, subject_map: SubjectMap, key: str) -> Subject:
    """Bring a key into the form in which the server writes it.

    Raises:
        Refused: it is no value of the key's type, or of another column that holds it.
    """
    if not key or "\0" in key:
        raise _no_key(dsn, subject_map, subject_map.key_type)
    person = subject_map.subject_table
    with subject_session(dsn, key, LIMITS, readonly=True) as connection, connection.cursor() as cursor:
        types = {subject_map.key_type, *(one.column_type for one in subject_map.tables if one.column)}
        for type_name in sorted(types, key=lambda one: one != subject_map.key_type):
            try:
                cursor.execute(_canonical(subject_map.key, type_name))
            except psycopg2.DataError:
                break
            if type_name == subject_map.key_type:
                ((canonical,),) = cursor.fetchall()
        else:
            text = key_text(subject_map.key, subject_map.key_type)
            cursor.execute(rows(subject_map, person, identifier(person.relations[0]), text, once=True))
            spellings = {canonical, *(found for (found,) in cursor.fetchall())}
            return Subject(canonical, tuple(sorted(spellings)))
    raise _no_key(dsn, subject_map, type_name)


def _canonical(column: str, type_name: str) -> sql.Composed:
    return query(
        "privacy/canonical_key.sql",
        text=key_text(column, type_name),
        type=sql.SQL(type_name),
        column=sql.Identifier(column),
    )


def _no_key(dsn: Dsn, subject_map: SubjectMap, type_name: str) -> Refused:
    return Refused(
        f"The subject's key is no {type_name}",
        where=f"{dsn.where}, {subject_map.subject_table.title}.{subject_map.key}",
        remedy="Give the key as it stands in that column; nothing was touched",
    )


def archived(subject_map: SubjectMap, subject: Subject) -> ArchivedSubject:
    """The person as archives of partitions know them."""
    tables = {
        one.title: ArchivedTable(key_columns(subject_map, one), one.action, one.set) for one in subject_map.tables
    }
    return ArchivedSubject(subject.key, tables)


def search(dsn: Dsn, subject_map: SubjectMap, subject: Subject, archives: Archives | None = None) -> Found:
    """Count the subject's rows in every table of the map, and in the archives."""
    with subject_session(dsn, subject.key, LIMITS, readonly=True) as connection, connection.cursor() as cursor:
        tables = tuple(
            TableRows(one.title, one.path, one.action, one.reason, sum(count_rows(cursor, subject_map, one).values()))
            for one in subject_map.tables
        )
        warnings = [*subject_map.warnings, *_same_values(cursor, subject_map), *_unlinked(cursor, subject_map)]
        obstacles = [*subject_map.obstacles, *_stuck(cursor, subject_map)]
    kept = None
    if archives:
        person = archived(subject_map, subject)
        kept = dict(archives.search(person))
        warnings += [
            f"{name} may hold rows of the subject: it has no column that says so"
            for name in archives.unsearched(person)
        ]
    return Found(tables, kept, tuple(warnings), tuple(obstacles))


def count_rows(
    cursor: Any, subject_map: SubjectMap, table: MappedTable, further: sql.Composable | None = None
) -> dict[Relation, int]:
    """The subject's rows in a table, by what stores them; with `further`, those for which it holds."""
    found: dict[Relation, int] = {}
    for relation in table.relations:
        selected = rows(subject_map, table, identifier(relation), _STORED, further, once=True)
        found |= counted(cursor, selected)
    return found


def counted(cursor: Any, selected: sql.Composable) -> dict[Relation, int]:
    """Rows of a selection of tableoid and ctid, by the table that stores them."""
    cursor.execute(query("privacy/count.sql", rows=selected))
    return {Relation(schema, name): count for schema, name, count in cursor.fetchall()}


def _same_values(cursor: Any, subject_map: SubjectMap) -> list[str]:
    """Tables that nobody named, with the subject's own e-mail address or its kind in a column of the same name."""
    person = subject_map.subject_table
    found = []
    for table, column, comparable in subject_map.unnamed:
        if not comparable:
            continue
        cursor.execute(
            query(
                "privacy/same_value.sql",
                table=identifier(table),
                column=sql.Identifier(column),
                subject=identifier(person.relations[0]),
                condition=condition(subject_map, person),
            )
        )
        ((count,),) = cursor.fetchall()
        if count:
            found.append(f"{table}.{column} holds the same value as {person.title}.{column} in {count} rows")
    return found


def _unlinked(cursor: Any, subject_map: SubjectMap) -> list[str]:
    """Rows, most of them other people's, that lose a reference to what goes."""
    found = []
    for table in subject_map.tables:
        for link in table.unlink if table.action == "delete" else ():
            child = subject_map.table(link.child)
            count = sum(
                count
                for relation in child.relations
                for count in counted(cursor, referencing(subject_map, link, identifier(relation), _STORED)).values()
            )
            if count:
                columns = ", ".join(link.columns)
                found.append(f"{count} rows of {child.title} lose {columns}, by which they reference {table.title}")
    return found


def _stuck(cursor: Any, subject_map: SubjectMap) -> list[str]:
    """References to rows that would go, of rows that stay, which may not become NULL."""
    found = []
    for table in subject_map.tables:
        for link in table.stuck if table.action == "delete" else ():
            child = subject_map.table(link.child)
            selected = referencing(subject_map, link, identifier(child.relations[0]), _STORED)
            if link.child == link.parent:  # the subject's own rows go with it
                mine = condition(subject_map, child)
                selected = sql.SQL("{} AND NOT {}").format(selected, mine)
            others = sum(counted(cursor, selected).values())
            if others:
                found.append(
                    f"{others} rows of {child.title} reference the subject's rows of {table.title}"
                    f" by {', '.join(link.columns)}, which may not be NULL: anonymise {table.title} instead"
                )
    return found
