"""Asks the server whether a specification fits, before anything is touched."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from pgops.backfill.spec import Expression, Spec
from pgops.backfill.statements import KeyColumn, Part, Statements
from pgops.errors import Refused
from pgops.include import query, sql_text
from pgops.postgres import Dsn, Limits, connect

APPLICATION = "pgops.backfill"
ASKING = Limits(statement=60, lock=2)
_SETTINGS = (
    "standard_conforming_strings=on",
    "row_security=off",
    "datestyle=ISO",
    "intervalstyle=postgres",
    "extra_float_digits=1",
    "bytea_output=hex",
)
# Volatile only because they give another value each time: no harm in a value, but no answer to whether a row is done.
_HARMLESS = ("random", "random_normal", "gen_random_uuid", "uuidv4", "uuidv7", "clock_timestamp", "timeofday")
_KINDS = {
    "v": "a view",
    "m": "a materialized view",
    "f": "a foreign table",
    "i": "an index",
    "S": "a sequence",
    "c": "a composite type",
    "t": "a TOAST table",
    "I": "an index",
}


@dataclass(frozen=True)
class CheckedSpec:
    """A specification that the server has understood.

    Attributes:
        spec: with its table's schema filled in.
        oid: of the table; a job follows it when the table is renamed.
        parts: the physical tables: the table itself or its partitions.
        types: of the columns that are set.
        notes: what a person should know, though it does not forbid the backfill.
    """

    spec: Spec
    oid: int
    parts: tuple[Part, ...]
    types: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The table as errors call it."""
        return f"{self.spec.schema}.{self.spec.table}"

    @property
    def hash(self) -> str:
        """The same for two specifications that do the same, however they call the table."""
        same = {**self.spec.as_dict(), "table": self.oid, "database": None}
        return hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()


@contextmanager
def session(
    dsn: Dsn, limits: Limits = ASKING, name: str = APPLICATION, settings: Sequence[str] = ()
) -> Iterator[Connection]:
    """A session in which a specification means what the parser has read, and sees every row or fails.

    The settings stand from the beginning: psycopg2 asks only then how the server reads a backslash.
    """
    options = " ".join([dsn.options.get("options", ""), *(f"-c {setting}" for setting in (*_SETTINGS, *settings))])
    with connect(replace(dsn, options={**dsn.options, "options": options.strip()}), name, limits) as connection:
        yield connection


def run(
    connection: Connection, statement: str | sql.Composable, values: dict[str, Any] | None = None
) -> RealDictCursor:
    """Execute one statement and return its cursor."""
    cursor: RealDictCursor = connection.cursor(cursor_factory=RealDictCursor)
    cursor.execute(statement, values)
    return cursor


def ask(connection: Connection, file: str, /, **values: Any) -> list[dict[str, Any]]:
    """The rows of a query file of include/sql/backfill/; none if it returns nothing."""
    cursor = run(connection, sql_text(f"backfill/{file}"), values)
    return [dict(row) for row in cursor.fetchall()] if cursor.description else []


def check(dsn: Dsn, spec: Spec) -> CheckedSpec:
    """Whether this database can do what the specification says.

    Raises:
        Refused: the table, a column, a type, the key or a privilege does not allow it.
        DatabaseError: the database cannot be asked.
    """
    with session(dsn) as connection:
        return checked(connection, spec, dsn.where)


def checked(connection: Connection, spec: Spec, where: str) -> CheckedSpec:
    """As `check`, on an open session."""
    table = _table(connection, spec, where)
    spec = replace(spec, schema=table["schema"])
    where = f"{where}, {spec.schema}.{spec.table}"
    columns = {row["name"]: row for row in ask(connection, "check/columns.sql", oid=table["oid"])}
    _columns(spec, columns, where)
    _volatile(connection, spec, where)
    parts = _parts(connection, spec, table, where)
    for part in parts:
        _understood(connection, spec, part, where)
    notes = []
    if table["kind"] == "r" and table["children"]:
        notes.append(f"{table['children']} tables inherit from it: they are not touched")
    return CheckedSpec(
        spec, table["oid"], parts, tuple(columns[column]["type"] for column in spec.columns), tuple(notes)
    )


def part_of(connection: Connection, oid: int, key: tuple[str, ...]) -> Part | None:
    """A part of a job as it is called now; None if it is gone."""
    found = ask(connection, "check/name.sql", oid=oid)
    if not found:
        return None
    types = {row["name"]: row["type"] for row in ask(connection, "check/columns.sql", oid=oid)}
    if any(column not in types for column in key):
        return None
    return Part(oid, found[0]["schema"], found[0]["name"], tuple(KeyColumn(column, types[column]) for column in key))


# --- one fault each ---


def _table(connection: Connection, spec: Spec, where: str) -> dict[str, Any]:
    name = sql.Identifier(*filter(None, (spec.schema, spec.table))).as_string(connection)
    found = ask(connection, "check/table.sql", name=name)
    if not found:
        raise Refused(
            f"There is no table {name}",
            where=where,
            remedy="Correct the name; a schema that is not in the role's search_path must be written: schema.table",
        )
    table = found[0]
    if table["in_recovery"]:
        raise Refused("It is a standby: nothing can be changed there", where=where, remedy="Give the primary")
    if table["system"]:
        raise Refused(f"{name} belongs to the system", where=where, remedy="Give a table of the application")
    if table["kind"] in _KINDS:
        raise Refused(f"{name} is {_KINDS[table['kind']]}, not a table", where=where, remedy="Give the table behind it")
    if table["persistence"] == "t":
        raise Refused(f"{name} is a temporary table", where=where, remedy="Give a lasting table")
    if table["row_security"]:
        raise Refused(
            f"Row security hides rows of {name} from this role: they would be left out in silence",
            where=where,
            remedy="Use the table's owner or a role with BYPASSRLS",
        )
    if not table["may_keep_state"]:
        raise Refused(
            "This role may not keep its checkpoints: it has no rights on the schema pgops",
            where=where,
            remedy="CREATE SCHEMA pgops AUTHORIZATION <this role>, or GRANT CREATE ON DATABASE to it",
        )
    return table


def _columns(spec: Spec, columns: dict[str, dict[str, Any]], where: str) -> None:
    for name in (*spec.columns, *(spec.key or ())):
        if name not in columns:
            near = difflib.get_close_matches(name, columns, 3, 0.5) or list(columns)[:8]
            raise Refused(
                f"There is no column {name!r}", where=where, remedy=f"Correct the name; there are {', '.join(near)}"
            )
    for name in spec.columns:
        column = columns[name]
        if column["generated"] or column["identity"]:
            raise Refused(
                f"{name!r} is a generated column: the server itself computes it",
                where=where,
                remedy="Set another column, or change its expression in a migration",
            )
        if column["partitions_by"]:
            raise Refused(
                f"{name!r} decides to which partition a row belongs",
                where=where,
                remedy="Move rows between partitions by DELETE and INSERT in a migration of its own",
            )
    if both := sorted(set(spec.columns) & set(spec.key or ())):
        raise Refused(
            f"{', '.join(both)} is both set and the key to walk along", where=where, remedy="Give another key"
        )


def _volatile(connection: Connection, spec: Spec, where: str) -> None:
    values = [spec.parsed[text] for _, text in spec.assignments]
    found = _volatile_calls(connection, spec, values, _HARMLESS)
    found |= _volatile_calls(connection, spec, [spec.parsed[spec.where]], ())
    if found:
        names = ", ".join(sorted(found))
        raise Refused(
            f"Volatile, so it may do more than compute a value, or compute another one each time: {names}",
            where=where,
            remedy="Use functions that are immutable or stable; a function that is meant goes into allow_functions",
        )


def _volatile_calls(
    connection: Connection, spec: Spec, expressions: Sequence[Expression], harmless: Sequence[str]
) -> set[str]:
    functions = sorted({name for one in expressions for name in one.functions if name[-1] not in spec.allow})
    found = ask(
        connection,
        "check/volatile.sql",
        harmless=list(harmless),
        schemas=[name[-2] if len(name) > 1 else None for name in functions],
        functions=[name[-1] for name in functions],
        attributes=sorted({name for one in expressions for name in one.attributes if name not in spec.allow}),
        operators=sorted({name for one in expressions for name in one.operators}),
        types=sorted({name for one in expressions for name in one.casts}),
    )
    return {f"{row['kind']} {row['name']}" for row in found}


def _parts(connection: Connection, spec: Spec, table: dict[str, Any], where: str) -> tuple[Part, ...]:
    leaves = ask(connection, "check/parts.sql", oid=table["oid"]) if table["kind"] == "p" else [table]
    if foreign := [leaf["name"] for leaf in leaves if leaf["kind"] == "f"]:
        raise Refused(
            f"Its partition {', '.join(foreign)} lies on another server",
            where=where,
            remedy="Backfill the other partitions one by one, and that one on its own server",
        )
    return tuple(
        Part(leaf["oid"], leaf["schema"], leaf["name"], _key(connection, spec, leaf, where)) for leaf in leaves
    )


def _key(connection: Connection, spec: Spec, leaf: dict[str, Any], where: str) -> tuple[KeyColumn, ...]:
    usable = [
        tuple(KeyColumn(*pair) for pair in zip(row["columns"], row["types"], strict=True))
        for row in ask(connection, "check/keys.sql", oid=leaf["oid"])
        if row["not_null"] and not set(row["columns"]) & set(spec.columns)
    ]
    if spec.key is None:
        return usable[0] if usable else ()
    for key in usable:
        if tuple(column.name for column in key) == spec.key:
            return key
    have = "; ".join(", ".join(column.name for column in key) for key in usable) or "none"
    raise Refused(
        f"({', '.join(spec.key)}) is no key of {leaf['name']}: it needs a unique index on just these NOT NULL columns",
        where=where,
        remedy=f"Usable keys are: {have}. Without a key the table is walked page by page",
    )


def _understood(connection: Connection, spec: Spec, part: Part, where: str) -> None:
    """The server reads the very UPDATE, without running it."""
    statements = Statements(part, spec)
    try:
        run(
            connection,
            query("backfill/check/explain.sql", statement=statements.update(statements.between(None, None))),
        )
    except psycopg2.errors.InsufficientPrivilege as error:
        raise Refused(
            f"The server refuses it: {_said(error)}",
            where=where,
            remedy="Grant UPDATE on the columns that are set and SELECT on those that are read",
        ) from None
    except psycopg2.errors.LockNotAvailable:
        raise Refused(
            f"{part.title} is locked by somebody, so that nothing can be asked about it",
            where=where,
            remedy="Look into pg_locks who it is, and try again",
            retry=True,
        ) from None
    except (psycopg2.ProgrammingError, psycopg2.DataError, psycopg2.NotSupportedError) as error:
        raise Refused(
            f"The server does not understand it: SQLSTATE {error.pgcode}: {_said(error)}",
            where=where,
            remedy="Correct the expressions; nothing was run",
        ) from None


def _said(error: psycopg2.Error) -> str:
    parts = [error.diag.message_primary, error.diag.message_detail, error.diag.message_hint]
    return ". ".join(part for part in parts if part) or str(error).strip()
