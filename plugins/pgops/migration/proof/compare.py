"""Proof in four layers that a rollback left nothing behind: schema dump, catalogs, rows, and the values it destroys.

No layer suffices: pg_dump is silent about invalid indexes, the catalogs know no rows, and neither knows what an
application wrote into a new column before it was dropped.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from pgops.fingerprint import Table, dumped_tables, fingerprint_tables
from pgops.include import query, sql_text
from pgops.migration.model import Difference
from pgops.migration.proof.review import conditions
from pgops.migration.proof.snapshot import Snapshot, read_catalog
from pgops.postgres import Dsn, Limits, client_program, connect
from pgops.processes import run

APPLICATION = "pgops.migration.proof.compare"

_LIMITS = Limits(statement=4 * 3600, lock=60, idle_in_transaction=0)
_OWN_SCHEMA = "pgops"  # versions of migrations and the like: no part of what a migration is measured by
_HEADER = re.compile(
    r"^--\n-- (?:Data for )?Name: (?P<name>.*); Type: (?P<type>.*); Schema: (?P<schema>.*); Owner: .*\n--\n",
    re.MULTILINE,
)
# A random key in every dump of a minor release since August 2025, and settings that stand wherever the order puts them.
_NOISE = re.compile(
    r"^(?:\\(?:un)?restrict [A-Za-z0-9]+|SET default_(?:tablespace|table_access_method) = .*;)$\n?", re.MULTILINE
)
_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")
_LITERAL = re.compile(r"E?'(?:[^']|'')*'")
_ARRAY = "(ARRAY["
_ARRAY_CAST = re.compile(r"\)::((?:\w|[ .\"])+(?:\([\d,]+\))?)\[\]")

# What no rollback takes back and what harms nobody; it is listed all the same.
_HARMLESS = ("dropped columns ", "sequence position ")

# What differs between servers without any migration: who owns and may do what, what a restore leaves out, what comes
# and goes by itself (partitions), and what PostgreSQL 18 lists and 15 does not.
_OF_ONE_SERVER = (
    *_HARMLESS,
    *("owner of ", "privileges on ", "role ", "setting ", "comment on ", "security label on ", "policy "),
    *("publication ", "subscription ", "event trigger ", "extension ", "foreign server ", "tablespace "),
    *("partition ", "column order ", "not-null constraint "),
)


Existed = Mapping[int, Collection[int]]


def take(
    dsn: Dsn,
    tables: Collection[str] | None = None,
    *,
    like: Snapshot | None = None,
    jobs: int = 2,
    dump: bool = True,
) -> Snapshot:
    """A snapshot of a database that nobody else changes meanwhile.

    Args:
        dsn: the database, as the owner of what is in it.
        tables: whose rows are read, as "schema.table"; None for all, () for none.
        like: an earlier snapshot: the same tables and columns are read again, and no others.
        jobs: sessions that read rows.
        dump: whether to take the schema dump; production's catalogs suffice to compare it with what was rehearsed.

    Raises:
        DatabaseError, ProgramFailed: the server or pg_dump refused.
    """
    with connect(dsn, APPLICATION, _LIMITS, system_names=True) as connection:
        version = connection.server_version
        catalog = read_catalog(connection)
        found = {f"{one.rule} {one.where}": one.message for one in conditions(connection, big_table_mb=0)}
        chosen = list(_chosen(dumped_tables(connection), tables, like))
        large_objects = _large_objects(connection) if tables is None else {}
    prints = fingerprint_tables(dsn, chosen, application_name=APPLICATION, jobs=jobs)
    return Snapshot(
        server_version=version,
        schema=_schema(dsn, version) if dump else {},
        catalog=catalog,
        data={_name(one.schema, one.name): f"{one.rows} rows, hash {one.hash}" for one in prints} | large_objects,
        columns={_name(one.copy_schema, one.copy_name): _columns(one) for one in chosen},
        conditions=found,
    )


def differences(before: Snapshot, after: Snapshot) -> list[Difference]:
    """What is not as it was: schema dump, then catalogs, then rows."""
    return [
        *(Difference("schema", *one) for one in _unequal(before.schema, after.schema)),
        *(Difference("catalog", *one) for one in _unequal(before.catalog, after.catalog)),
        *(Difference("data", *one) for one in _unequal(before.data, after.data)),
    ]


def harmless(difference: Difference) -> bool:
    """Whether it is residue that nothing takes back: numbers of dropped columns, positions of sequences."""
    return difference.layer == "catalog" and difference.what.startswith(_HARMLESS)


def lost_columns(before: Snapshot, after: Snapshot) -> set[str]:
    """The tables of which the migration itself dropped columns: their rows cannot be as before again."""
    gone = before.catalog.keys() - after.catalog.keys()
    return {table for table in before.columns if any(one.startswith(f"column {table}.") for one in gone)}


def inevitable(before: Snapshot, after: Snapshot, back: Snapshot, difference: Difference) -> bool:
    """Whether no rollback could do better, because the migration itself dropped a column or a table.

    Its values are gone, and a column comes back at the end of its table. The other columns must be as they were.

    Args:
        before, after, back: before the migration, after it, and after the rollback; of the rows each with the columns
            that are left in the one before.
    """
    table = difference.what.removeprefix("column order ").removeprefix("TABLE ")
    dropped = f"table {table}" in before.catalog and f"table {table}" not in after.catalog
    prefix = f"column {table}."
    if not dropped and not any(one.startswith(prefix) for one in before.catalog.keys() - after.catalog.keys()):
        return False
    match difference.layer:
        case "data":
            kept = after.data.get(table)
            return bool(difference.after) and (dropped or (kept is not None and kept == back.data.get(table)))
        case "catalog" if difference.what.startswith("column order "):
            return sorted(difference.before.split(", ")) == sorted(difference.after.split(", "))
        case "schema":
            return _lines(difference.before) == _lines(difference.after)
    return False


def _lines(text: str) -> list[str]:
    return sorted(line.rstrip(",") for line in text.splitlines())


def schema_hash(snapshot: Snapshot) -> str:
    """One number for what two servers of one major version must have in common; invalid indexes are part of it."""
    text = json.dumps(_common(snapshot), ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def drift(validated: Snapshot, found: Snapshot) -> list[Difference]:
    """Why schema_hash is another one: what production (`found`) has otherwise than what was validated."""
    return [Difference("catalog", *one) for one in _unequal(_common(validated), _common(found))]


def values_at_risk(dsn: Dsn, before: Snapshot, existed: Existed | None = None) -> list[Difference]:
    """What a rollback would destroy now: see count_values."""
    with connect(dsn, APPLICATION, _LIMITS, system_names=True) as connection:
        return count_values(connection, before, existed)


def count_values(connection: Connection, before: Snapshot, existed: Existed | None = None) -> list[Difference]:
    """Values, rows and enum labels in use that can only be in what is new since `before`.

    In the rollback's own transaction, under its locks, the answer cannot grow old. Not destructive are columns in which
    every row has what ADD COLUMN's default gave it: applying the migration again brings that back.

    Args:
        connection: of the migrated database. Names without a schema in it must be the system's.
        before: taken before the migration.
        existed: the tables before the migration by oid, with their columns' numbers: what was only renamed is not new.
    """
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        return [
            *_values_of_columns(cursor, before, existed or {}),
            *_rows_of_tables(cursor, before, existed or {}),
            *_uses_of_labels(cursor, before),
        ]


# --- schema dump ---


def _schema(dsn: Dsn, server_version: int) -> dict[str, str]:
    argv = [
        str(client_program("pg_dump", server_version)),
        "--schema-only",
        "--no-password",
        f"--exclude-schema={_OWN_SCHEMA}",
        "--lock-wait-timeout=60000",
        f"--dbname={dsn.conninfo()}",
    ]
    return dump_objects(run(argv, where=dsn.where, env=dsn.environment(f"{APPLICATION}.pg_dump")))


def dump_objects(text: str) -> dict[str, str]:
    """Each object's SQL in a plain dump, by its type and name: so the order of objects does not matter."""
    objects: dict[str, str] = {}
    headers = list(_HEADER.finditer(text))
    ends = [header.start() for header in headers[1:]] + [text.find("\n--\n-- PostgreSQL database dump complete")]
    for header, end in zip(headers, ends, strict=False):  # an empty database has no headers
        body = _NOISE.sub("", text[header.end() : end if end >= 0 else len(text)]).strip()
        schema = "" if header["schema"] == "-" else f"{header['schema']}."
        what = f"{header['type']} {schema}{header['name']}"
        objects[what] = f"{objects[what]}\n{body}" if what in objects else body
    return objects


# --- rows ---


def _chosen(tables: Iterable[Table], names: Collection[str] | None, like: Snapshot | None) -> Iterator[Table]:
    for table in tables:
        name = _name(table.copy_schema, table.copy_name)
        if table.schema == _OWN_SCHEMA or (names is not None and name not in names):
            continue
        if like is None:
            yield table
        elif name in like.columns:
            yield _only(table, set(like.columns[name]))


def _only(table: Table, columns: set[str]) -> Table:
    """The table as if it had no other columns than these."""
    return replace(
        table,
        exact_columns=tuple(one for one in table.exact_columns if one in columns),
        string_columns=tuple(one for one in table.string_columns if one in columns),
        other_columns=tuple(one for one in table.other_columns if one in columns),
    )


def _columns(table: Table) -> tuple[str, ...]:
    return (*table.exact_columns, *table.string_columns, *table.other_columns)


def _large_objects(connection: Connection) -> dict[str, str]:
    with connection.cursor() as cursor:
        cursor.execute(sql_text("migration/values/large_objects.sql"))
        (count,) = cursor.fetchone() or (0,)
    return {"large objects": str(count)}


def _name(schema: str, name: str) -> str:
    """As people write it; quoted where two names could become one."""
    return ".".join(part if _PLAIN.fullmatch(part) else '"' + part.replace('"', '""') + '"' for part in (schema, name))


# --- values that a rollback destroys ---


def _values_of_columns(cursor: RealDictCursor, before: Snapshot, existed: Existed) -> Iterator[Difference]:
    cursor.execute(sql_text("migration/values/columns.sql"))
    for row in cursor.fetchall():
        if row["number"] in existed.get(row["oid"], ()):
            continue
        if row["what"] in before.catalog or (row["table_key"] not in before.catalog and row["oid"] not in existed):
            continue
        cursor.execute(
            query(
                "migration/values/column.sql",
                column=sql.Identifier(row["column"]),
                changed=_changed(row),
                table=sql.Identifier(row["schema"], row["name"]),
            )
        )
        counted = cursor.fetchone()
        assert counted is not None
        if counted["filled"] or counted["changed"]:
            after = f"{counted['filled']} values, {counted['different']} of them different"
            if row["missing"] is not None or row["constant"] is not None:
                after += f"; {counted['changed']} rows have another than its default"
            yield Difference("values", row["what"], "", after, destructive=counted["changed"] > 0)


def _changed(row: Mapping[str, str | None]) -> sql.Composed:
    """The rows that hold something else than applying the migration again would give them."""
    column = sql.Identifier(str(row["column"]))
    if row["missing"] is not None:
        shown = sql.SQL("CASE WHEN {} IS NOT NULL THEN format('%s', {}) END").format(column, column)
        return sql.SQL("{} IS DISTINCT FROM {}").format(shown, sql.Literal(row["missing"]))
    if row["constant"] is not None:  # written by the server: see columns.sql
        default = sql.SQL(row["constant"])
        return sql.SQL("{} IS NOT NULL AND format('%s', {}) <> format('%s', {})").format(column, column, default)
    return sql.SQL("{} IS NOT NULL").format(column)


def _rows_of_tables(cursor: RealDictCursor, before: Snapshot, existed: Existed) -> Iterator[Difference]:
    cursor.execute(sql_text("migration/values/tables.sql"))
    for row in cursor.fetchall():
        if row["oid"] in existed:
            continue
        new_with_its_parent = row["parent_key"] is not None and row["parent_key"] not in before.catalog
        # A table may have become a partition: it was there, under the other kind.
        names = {row["what"], f"table {row['what'].partition(' ')[2]}", f"partition {row['what'].partition(' ')[2]}"}
        if new_with_its_parent or any(one in before.catalog for one in names):
            continue
        cursor.execute(query("migration/values/rows.sql", table=sql.Identifier(row["schema"], row["name"])))
        count = (cursor.fetchone() or {"count": 0})["count"]
        if count:
            yield Difference("values", row["what"], "", f"{count} rows", destructive=True)


def _uses_of_labels(cursor: RealDictCursor, before: Snapshot) -> Iterator[Difference]:
    cursor.execute(sql_text("migration/values/enum_columns.sql"))
    for row in cursor.fetchall():
        known = before.catalog.get(row["what"])
        if known is None or row["quoted"] in _LITERAL.findall(known):
            continue
        column, label = sql.Identifier(row["column"]), sql.Literal(row["label"])
        used = sql.SQL("{} = ANY ({}::text[])") if row["is_array"] else sql.SQL("{} = {}::text")
        table = sql.Identifier(row["schema"], row["name"])
        cursor.execute(query("migration/values/label_rows.sql", table=table, condition=used.format(label, column)))
        count = (cursor.fetchone() or {"count": 0})["count"]
        if count:
            what = f"{row['what']} label {row['quoted']} in {_name(row['schema'], row['name'])}.{row['column']}"
            yield Difference("values", what, "", f"{count} rows", destructive=True)


# --- comparing ---


def _unequal(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for what in sorted(before.keys() | after.keys()):
        was, now = before.get(what), after.get(what)
        if was != now:
            # An object that is there with nothing to say about it must not look like one that is not there.
            yield what, "" if was is None else was or "exists", "" if now is None else now or "exists"


def canonical(definition: str) -> str:
    """A definition as it is printed after a dump and a restore.

    The server prints `status IN ('a', 'b')` on a varchar as a cast of an array; reading that again it casts the
    elements. So a copy that was restored says `ARRAY[('a')::text]` where production says `(ARRAY['a'])::text[]`.
    """
    start = definition.find(_ARRAY)
    while start >= 0:
        elements, end = _elements(definition, start + len(_ARRAY))
        if cast := _ARRAY_CAST.match(definition, end + 1):
            inner = ", ".join(f"({one})::{cast[1]}" for one in elements)
            definition = f"{definition[:start]}ARRAY[{inner}]{definition[cast.end() :]}"
        start = definition.find(_ARRAY, start + 1)
    return definition


def _elements(text: str, start: int) -> tuple[list[str], int]:
    """What stands between commas up to the bracket that closes, and where that is."""
    elements, begin, depth, quote = [], start, 0, ""
    for place in range(start, len(text)):
        letter = text[place]
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in "([":
            depth += 1
        elif letter in ")]":
            depth -= 1
        if not quote and (depth < 0 or (depth == 0 and letter == ",")):
            elements.append(text[begin:place].strip())
            begin = place + 1
        if depth < 0:
            return elements, place
    return [], len(text)


def _common(snapshot: Snapshot) -> dict[str, str]:
    return {
        what: canonical(definition)
        for what, definition in snapshot.catalog.items()
        if not what.startswith(_OF_ONE_SERVER) or (what.startswith("partition index ") and "INVALID" in definition)
    }
