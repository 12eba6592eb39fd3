"""Brings an archived partition back: attached again, or beside; compared with its manifest before anybody sees it.

Rows are loaded into a table of a schema that only this role may use. When they have the manifest's hash, one
transaction gives the table its place, its name and its expiry.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from pgops import units
from pgops.errors import Refused
from pgops.include import query, sql_text
from pgops.ledger.partitions import PartitionState, record_partition_state
from pgops.partitions.archive import check_types, columns_of, compare, load
from pgops.partitions.locks import with_ladder
from pgops.partitions.manifest import Archive, Data, archives_of
from pgops.partitions.place import COPY, RESTORED, Marker, Place, alone, find, session

log = logging.getLogger(__name__)

SCHEMA = "archive_restore"
_BOUND = re.compile(r"FOR VALUES FROM \((.*)\) TO \((.*)\)\Z", re.DOTALL)
_VALUE = re.compile(r"\s*(MINVALUE|MAXVALUE|-?\d+(?:\.\d+)?|'(?:[^']|'')*')\s*(?:,|\Z)")
_UNBOUNDED = ("MINVALUE", "MAXVALUE")


@dataclass(frozen=True)
class RestoredPartition:
    """A partition that is there again.

    Attributes:
        attached: whether it is seen through its parent.
        until: ISO 8601; then it may be retired again, or dropped if it is a copy.
        format: of the archive that it was loaded from.
    """

    schema: str
    name: str
    parent: str
    range: str
    attached: bool
    rows: int
    seconds: float
    until: str
    format: str
    archive: str


def chosen_archives(
    place: Place, parent: str, *, name: str | None = None, lower: str | None = None, upper: str | None = None
) -> tuple[Archive, ...]:
    """The newest archive of each partition that is meant, by the bucket alone.

    Args:
        place: where.
        parent: "schema.table".
        name: of the partition; None: all within the range.
        lower: from where on, in the text form of the key; None: from the first one.
        upper: up to where, exclusive.

    Raises:
        Refused: there is none.
    """
    every = archives_of(place.bucket, place.database, parent)
    newest = {(one.name, one.range): one for one in every if name in (None, one.name)}
    chosen = tuple(newest.values())
    if lower is not None or upper is not None:
        chosen = _overlapping(place, chosen, lower, upper)
    if not chosen:
        known = ", ".join(dict.fromkeys(one.name for one in every)) or "none"
        raise Refused(
            f"No archived partition of {parent} is meant by that; there are: {known}",
            where=place.bucket.where(place.bucket.key(place.database, "partitions")),
            remedy="Name the table with its schema, and one of its archived partitions or a range that touches one",
        )
    return chosen


def _overlapping(
    place: Place, archives: Sequence[Archive], lower: str | None, upper: str | None
) -> tuple[Archive, ...]:
    """Those that touch a range. The server compares: it alone knows the order of every type and time zone."""
    kept = []
    with session(place) as connection, connection.cursor() as cursor:
        for one in archives:
            first, last = _bound(one)
            key = _key_type(one)
            check_types(connection, one, [key])
            values = {
                "lower": _no_infinity(first[0]),
                "upper": _no_infinity(last[0]),
                "from": lower,
                "to": upper,
            }
            cursor.execute(query("partitions/restore/overlaps.sql", type=sql.SQL(key)), values)
            if cursor.fetchone() == (True,):
                kept.append(one)
    return tuple(kept)


def _key_type(archive: Archive) -> str:
    """The type of the partition key: the manifest names it since the table itself may be gone."""
    found = next((one for one in archive.columns if one.name == archive.key), None)
    if found is None:
        raise Refused(
            f"{archive.parent} is partitioned by more than one column: a range cannot be chosen",
            where=f"archive {archive.archive_id}",
            remedy="Name the partition",
        )
    return found.stored_as


def restore_attached(place: Place, archive: Archive, until: datetime) -> RestoredPartition:
    """Attach a partition again, as it was; retention leaves it alone until `until`.

    Raises:
        Refused: its parent is gone or has other columns now, or its name is taken; restore it beside.
        NotProven: the archive is damaged; nothing is left of the try.
    """
    _refuse_past(until)
    started = time.monotonic()
    with (
        alone(place, f"archive {archive.archive_id}"),
        session(place, place.policies.parent_budget_seconds) as connection,
    ):
        parent = _parent(connection, archive)
        _refuse_taken(connection, archive.schema, archive.name)
        _refuse_other_columns(connection, archive, parent["oid"])
        staging = _staging(archive)
        _create_schema(connection)
        lower, upper = _bound(archive)
        table = sql.Identifier(SCHEMA, staging)
        parent_table = sql.Identifier(archive.parent_schema, archive.parent_name)
        _run(connection, "drop_table", table=table)
        _run(connection, "create_like", table=table, parent=parent_table)
        check = None
        if parent["key"] is not None:
            check = sql.Identifier(f"{staging}_bound")
            _add_check(connection, table, check, parent["key"], lower[0], upper[0])
        used = _load(place, connection, archive, staging)
        oid = _oid(connection, SCHEMA, staging)
        marker = _marker(archive, RESTORED, until)
        _record(place, archive, oid, archive.name, until)

        def publish(cursor: Any) -> None:
            moved = sql.Identifier(archive.schema, staging)
            named = sql.Identifier(archive.schema, archive.name)
            if archive.schema != SCHEMA:
                cursor.execute(_query("set_schema", table=table, schema=sql.Identifier(archive.schema)))
            cursor.execute(_query("rename", table=moved, new_name=sql.Identifier(archive.name)))
            cursor.execute(_query("set_owner", table=named, owner=sql.Identifier(parent["owner"])))
            cursor.execute(
                _query("attach", parent=parent_table, table=named, lower=_composed(lower), upper=_composed(upper))
            )
            _rename_indexes(cursor, archive, oid, staging)
            if check is not None:
                cursor.execute(_query("drop_check", table=named, constraint=check))
            _comment(cursor, named, marker)

        with_ladder(connection, place.policies, publish, what=f"attaching {archive.schema}.{archive.name}")
    return _restored(archive, archive.schema, archive.name, True, started, until, used)


def restore_beside(place: Place, archive: Archive, until: datetime) -> RestoredPartition:
    """Restore a partition as a table of its own in the schema archive_restore; it is dropped after `until`.

    It has the columns and the rows, no indexes, defaults or privileges: whoever asked for it may read it, nobody else.

    Raises:
        Refused: its name is taken there.
        NotProven: the archive is damaged; nothing is left of the try.
    """
    _refuse_past(until)
    started = time.monotonic()
    name = f"{archive.name.encode()[:54].decode(errors='ignore')}_restored"
    with (
        alone(place, f"archive {archive.archive_id}"),
        session(place, place.policies.parent_budget_seconds) as connection,
    ):
        _create_schema(connection)
        _refuse_taken(connection, SCHEMA, name)
        check_types(connection, archive, [column.type for column in archive.data_columns])
        staging = _staging(archive)
        table = sql.Identifier(SCHEMA, staging)
        columns = sql.SQL(", ").join(
            sql.SQL("{} {}{}").format(
                sql.Identifier(column.name),
                sql.SQL(column.type),
                sql.SQL(" NOT NULL" if column.not_null else ""),
            )
            for column in archive.data_columns
        )
        _run(connection, "drop_table", table=table)
        _run(connection, "create_table", table=table, columns=columns)
        used = _load(place, connection, archive, staging)

        def publish(cursor: Any) -> None:
            cursor.execute(_query("rename", table=table, new_name=sql.Identifier(name)))
            _comment(cursor, sql.Identifier(SCHEMA, name), _marker(archive, COPY, until))

        with_ladder(connection, place.policies, publish, what=f"naming {SCHEMA}.{name}")
    return _restored(archive, SCHEMA, name, False, started, until, used)


def drop_expired_copies(place: Place, now: datetime | None = None) -> tuple[str, ...]:
    """Drop the copies beside their tables whose time is over, and return their names. Their archives stay."""
    now = now or datetime.now(UTC)
    dropped = []
    with session(place) as connection, connection.cursor() as cursor:
        cursor.execute(sql_text("partitions/retire/marked.sql"))
        for (oid,) in cursor.fetchall():
            found = find(connection, oid)
            marker = found.marker if found else None
            if found is None or marker is None or marker.kind != COPY or not marker.until or found.schema != SCHEMA:
                continue
            if datetime.fromisoformat(marker.until) <= now:
                table = sql.Identifier(found.schema, found.name)
                with_ladder(
                    connection, place.policies, _query("drop_table", table=table), what=f"dropping {found.title}"
                )
                log.info("dropped the copy %s: its time was over at %s", found.title, marker.until)
                dropped.append(found.title)
    return tuple(dropped)


# --- parts ---


def _refuse_past(until: datetime) -> None:
    if until.tzinfo is None or until <= datetime.now(UTC):
        raise Refused(
            f"{until.isoformat()} is no expiry", where="until", remedy="Give an instant to come, with its time zone"
        )


def _refuse_taken(connection: Connection, schema: str, name: str) -> None:
    if _oid(connection, schema, name):
        raise Refused(
            f"There is a {schema}.{name} already",
            where=f"{connection.info.host}:{connection.info.port}/{connection.info.dbname}",
            remedy="A detached partition that still waits for its end can be attached by hand; a copy can be dropped",
        )


def _oid(connection: Connection, schema: str, name: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql_text("partitions/restore/relation.sql"), {"schema": schema, "name": name})
        row = cursor.fetchone()
    return int(row[0]) if row else 0


def _parent(connection: Connection, archive: Archive) -> dict[str, Any]:
    names = {"schema": archive.parent_schema, "name": archive.parent_name}
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(sql_text("partitions/restore/parent.sql"), names)
        row = cursor.fetchone()
    if row is None:
        raise Refused(
            f"{archive.parent} is no table partitioned by range any more",
            where=f"{connection.info.host}:{connection.info.port}/{connection.info.dbname}",
            remedy="Restore the partition beside",
        )
    return dict(row)


def _refuse_other_columns(connection: Connection, archive: Archive, parent_oid: int) -> None:
    """Columns that the parent got since take their defaults; those that it lost have nowhere to go."""
    now = {column.name: column for column in columns_of(connection, parent_oid)}
    wrong = [
        f"{column.name} {column.type}"
        for column in archive.data_columns
        if column.name not in now or now[column.name].type != column.type or now[column.name].generated is not None
    ]
    if wrong:
        raise Refused(
            f"{archive.parent} no longer has these columns of the archive: {', '.join(wrong)}",
            where=f"{connection.info.host}:{connection.info.port}/{connection.info.dbname}",
            remedy="Restore the partition beside",
        )


def _rename_indexes(cursor: Any, archive: Archive, oid: int, staging: str) -> None:
    names = {"oid": oid, "staging": staging, "name": archive.name}
    cursor.execute(sql_text("partitions/restore/indexes.sql"), names)
    for had, wanted in cursor.fetchall():
        index = sql.Identifier(archive.schema, had)
        cursor.execute(_query("rename_index", index=index, new_name=sql.Identifier(wanted)))


def _create_schema(connection: Connection) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql_text("partitions/restore/schema_exists.sql"), {"schema": SCHEMA})
        if cursor.fetchone() != (True,):
            cursor.execute(_query("create_schema", schema=sql.Identifier(SCHEMA)))


def _staging(archive: Archive) -> str:
    """One name for one archive, so that the next try finds what a dead one left."""
    return f"loading_{hashlib.sha256(f'{archive.parent}/{archive.archive_id}'.encode()).hexdigest()[:20]}"


def _load(place: Place, connection: Connection, archive: Archive, staging: str) -> str:
    """Load and compare; the format that was used. Nothing is left of what cannot be proven."""
    data = _readable_here(archive, connection)
    table = sql.Identifier(SCHEMA, staging)
    try:
        load(place.bucket, archive, data, place.source, connection, SCHEMA, staging)
        compare(place.bucket, archive, place.source, SCHEMA, staging, data.format)
    except BaseException:
        if not connection.closed:
            _run(connection, "drop_table", table=table)
        raise
    _run(connection, "analyze", table=table)
    return data.format


def _readable_here(archive: Archive, connection: Connection) -> Data:
    """The exact format, unless it is binary and of another major version: that form may change between them."""
    same_major = connection.server_version // 10000 == archive.server_version // 10000
    return archive.exact if archive.exact.format == "text" or same_major else archive.readable


def _bound(archive: Archive) -> tuple[list[str], list[str]]:
    """The literals of the bound. Only literals: a manifest is data, never a statement."""
    match = _BOUND.match(archive.range)
    found = tuple(_values(part) for part in match.groups()) if match else (None, None)
    lower, upper = found
    if lower is None or upper is None:
        raise Refused(
            f"The bound of this archive is not understood: {archive.range}",
            where=f"archive {archive.archive_id} of {archive.schema}.{archive.name}",
            remedy="Restore it beside",
        )
    return lower, upper


def _values(text: str) -> list[str] | None:
    values, position = [], 0
    while position < len(text):
        match = _VALUE.match(text, position)
        if match is None:
            return None
        values.append(match[1])
        position = match.end()
    return values or None


def _composed(values: Sequence[str]) -> sql.Composable:
    return sql.SQL(", ").join(sql.SQL(value) if value in _UNBOUNDED else _literal(value) for value in values)


def _literal(value: str) -> sql.Composable:
    return sql.Literal(_text(value))


def _text(value: str) -> str:
    return value[1:-1].replace("''", "'") if value.startswith("'") else value


def _no_infinity(value: str) -> str | None:
    return None if value in _UNBOUNDED else _text(value)


def _add_check(
    connection: Connection, table: sql.Identifier, name: sql.Identifier, key: str, lower: str, upper: str
) -> None:
    column = sql.Identifier(key)
    parts = {
        "lower": sql.SQL(" AND {} >= {}").format(column, _literal(lower)) if lower not in _UNBOUNDED else sql.SQL(""),
        "upper": sql.SQL(" AND {} < {}").format(column, _literal(upper)) if upper not in _UNBOUNDED else sql.SQL(""),
    }
    _run(connection, "add_check", table=table, constraint=name, key=column, **parts)


def _marker(archive: Archive, kind: str, until: datetime) -> Marker:
    return Marker(
        kind=kind,
        parent_schema=archive.parent_schema,
        parent_name=archive.parent_name,
        range=archive.range,
        comment=archive.comment,
        archive=archive.archive_id,
        until=until.isoformat(),
    )


def _comment(cursor: Any, table: sql.Identifier, marker: Marker) -> None:
    cursor.execute(query("partitions/retire/comment.sql", table=table, comment=sql.Literal(marker.text())))


def _record(place: Place, archive: Archive, oid: int, name: str, until: datetime) -> None:
    record_partition_state(
        place.ledger,
        PartitionState(
            database=place.database,
            oid=oid,
            schema=archive.schema,
            name=name,
            parent=archive.parent,
            range=archive.range,
            state="restored",
            archive=archive.folder(place.bucket),
            drop_after=until,
            facts={"parent": [archive.parent_schema, archive.parent_name], "by": place.by},
        ),
    )


def _restored(
    archive: Archive, schema: str, name: str, attached: bool, started: float, until: datetime, used: str
) -> RestoredPartition:
    seconds = time.monotonic() - started
    log.info("restored %s.%s with %d rows in %s", schema, name, archive.rows, units.duration(seconds))
    return RestoredPartition(
        schema=schema,
        name=name,
        parent=archive.parent,
        range=archive.range,
        attached=attached,
        rows=archive.rows,
        seconds=seconds,
        until=until.isoformat(),
        format=used,
        archive=archive.archive_id,
    )


def _query(name: str, **parts: sql.Composable) -> sql.Composed:
    return query(f"partitions/restore/{name}.sql", **parts)


def _run(connection: Connection, name: str, **parts: sql.Composable) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_query(name, **parts))
