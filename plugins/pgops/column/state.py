"""What is there: the column, and everything that an earlier run, or somebody else, has left around it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from pgops.column.partitions import Index, PartIndex, part_indexes
from pgops.column.spec import ColumnSpec
from pgops.errors import Refused
from pgops.include import query, sql_text
from pgops.postgres import Dsn, Limits, connect

APPLICATION = "pgops.column"
MARK = "pgops: zero_downtime_column"
# Of a full look at the table; longer ones are left to VALIDATE.
LOOK_SECONDS = 5.0

Constraint = Literal["absent", "not valid", "valid", "foreign"]
Trigger = Literal["absent", "ours", "stale", "foreign"]


@dataclass(frozen=True)
class ColumnState:
    """A column and its surroundings at one instant.

    Attributes:
        server_version: such as 150018.
        partitioned: whether the table is.
        rows: of the table, as last counted by vacuum or ANALYZE.
        wanted_type, wanted_default: the spec's, in the catalog's words.
        keeps_rows: whether ADD COLUMN with the wanted default leaves every row as it is, by the server's own word.
        exists: the column; what follows is about it.
        marked: whether it was added by this workflow and is not finished.
        type, default: in the catalog's words.
        generated: whether the server computes it.
        not_null: "not valid" only from PostgreSQL 18 on.
        not_null_name: of the NOT NULL constraint, from PostgreSQL 18 on.
        check: the CHECK of our name.
        trigger: the trigger and function of our names; "stale" is ours, and not as the spec says.
        index: what bears the index's name.
        part_indexes: of a partitioned table, with its own; from the top down.
        unfilled: whether rows still want a value; None when looking would take long.
        unfilled_rows: how many, by the statistics.
        unfillable: whether the backfill expression is NULL for some row; None as above.
        analyzed: whether the planner knows the column's present values.
    """

    server_version: int
    partitioned: bool
    rows: int
    wanted_type: str
    wanted_default: str | None
    keeps_rows: bool
    exists: bool = False
    marked: bool = False
    type: str | None = None
    default: str | None = None
    generated: bool = False
    not_null: Constraint = "absent"
    not_null_name: str | None = None
    check: Constraint = "absent"
    trigger: Trigger = "absent"
    index: Index = "absent"
    part_indexes: tuple[PartIndex, ...] = ()
    unfilled: bool | None = None
    unfilled_rows: int | None = None
    unfillable: bool | None = None
    analyzed: bool = False


def state(dsn: Dsn, spec: ColumnSpec, look_seconds: float = LOOK_SECONDS) -> ColumnState:
    """Read it from the catalogs, and let the server judge type and expressions on an empty temporary table.

    Args:
        dsn: the primary, as the role that owns the table.
        spec: what is wanted.
        look_seconds: how long a look for rows without a value may take.

    Raises:
        Refused: the table is not there or cannot be altered, or the server refuses type, default or backfill.
    """
    with connect(dsn, APPLICATION, Limits(statement=30, lock=5)) as connection:
        _one(connection, "path", schema=spec.schema)
        return _Reader(connection, dsn, spec, look_seconds).state()


@dataclass(frozen=True)
class _Probe:
    type: str
    default: str | None
    keeps_rows: bool


@dataclass(frozen=True)
class _Reader:
    connection: Connection
    dsn: Dsn
    spec: ColumnSpec
    look_seconds: float

    def state(self) -> ColumnState:
        table = self._table()
        probe = self._probe()
        oid = table["oid"]
        partitioned = table["kind"] == "p"
        column = self._ask("column", oid=oid)
        common: dict[str, Any] = {
            "server_version": self.connection.server_version,
            "partitioned": partitioned,
            "rows": table["rows"],
            "wanted_type": probe.type,
            "wanted_default": probe.default,
            "keeps_rows": probe.keeps_rows,
            "trigger": self._trigger(oid),
            "index": self._index(oid),
            "part_indexes": self._part_indexes(oid) if partitioned else (),
            "check": self._check(oid),
        }
        if column is None:
            unfillable = self._unfillable(None) if self.spec.not_null and self.spec.backfill else None
            return ColumnState(**common, unfillable=unfillable)
        not_null = _constraint(column["attnotnull"], column["not_null_valid"])
        proven = not_null == "valid"
        same = column["type"] == probe.type and not column["generated"]
        share = column["null_share"]
        return ColumnState(
            **common,
            exists=True,
            marked=column["comment"] == MARK,
            type=column["type"],
            default=column["default"],
            generated=column["generated"],
            not_null=not_null,
            not_null_name=column["not_null_name"],
            unfilled=False if proven else self._some(sql.SQL(self.spec.unfilled)) if same else None,
            unfilled_rows=0 if proven else None if share is None else round(share * table["rows"]),
            unfillable=self._unfillable(self.spec.unfilled) if self.spec.not_null and not proven and same else None,
            analyzed=column["analyzed"] or (table["looked_at"] and table["rows"] == 0),
        )

    def _table(self) -> dict[str, Any]:
        found = self._ask("table")
        place = f"{self.dsn.where}, {self.spec.schema}.{self.spec.table}"
        if found is None:
            raise Refused("There is no such table", where=place, remedy="Correct the name, with its schema")
        if found["in_recovery"]:
            raise Refused("This is a standby", where=self.dsn.where, remedy="Name the primary")
        if found["kind"] not in ("r", "p"):
            raise Refused("This is no table", where=place, remedy="Only tables get columns in this way")
        if found["inherits"]:
            raise Refused("This is a partition", where=place, remedy="Add the column to the table that it belongs to")
        if not found["owned"]:
            raise Refused("The table belongs to another role", where=place, remedy="Connect as a member of its owner")
        return found

    # --- the server's own verdict ---

    def _probe(self) -> _Probe:
        spec = self.spec
        column, kind = sql.Identifier(spec.column), sql.SQL(spec.type)
        try:
            with self._rolled_back():
                with self._judging("type"):
                    rewritten = self._rewrites(column=column, type=kind, default=sql.SQL(""))
                    answer = self._ask("probe_answer") or {}
                if rewritten:
                    raise Refused(
                        f"A column of type {answer['type']} rewrites the whole table, even an empty one: a domain with "
                        "constraints has to be checked for every row",
                        where=self._where("type"),
                        remedy="Use the domain's base type and add its constraint as a CHECK, NOT VALID at first",
                    )
                if spec.backfill is not None:
                    with self._judging("backfill"):
                        self._do(
                            "probe_backfill",
                            column=column,
                            expression=sql.SQL(spec.backfill),
                            table=sql.Identifier(spec.schema, spec.table),
                        )
            if spec.default is None:
                return _Probe(answer["type"], None, False)
            with self._rolled_back(), self._judging("default"):
                default = sql.SQL("DEFAULT ") + sql.SQL(spec.default)
                rewritten = self._rewrites(column=column, type=kind, default=default)
                answer = self._ask("probe_answer") or {}
                return _Probe(answer["type"], answer["default"], not rewritten)
        except psycopg2.errors.InsufficientPrivilege as error:
            raise Refused(
                f"The server's verdict on the column needs something that this role may not: {_said(error)}",
                where=self.dsn.where,
                remedy="GRANT TEMPORARY ON DATABASE to it, and what the expressions use",
            ) from None

    def _rewrites(self, **parts: sql.Composable) -> bool:
        self._do("probe_table")
        before = self._ask("probe_file")
        self._do("probe_column", **parts)
        return self._ask("probe_file") != before

    @contextmanager
    def _rolled_back(self, begin: str = "BEGIN") -> Iterator[None]:
        with self.connection.cursor() as cursor:
            cursor.execute(begin)
            try:
                yield
            finally:
                if not self.connection.closed:
                    cursor.execute("ROLLBACK")

    @contextmanager
    def _judging(self, key: str) -> Iterator[None]:
        try:
            yield
        except psycopg2.errors.InsufficientPrivilege:
            raise
        except (psycopg2.ProgrammingError, psycopg2.DataError, psycopg2.NotSupportedError) as error:
            text = getattr(self.spec, key)
            raise Refused(
                f"The server refuses the {key} {text!r}: {_said(error)}", where=self._where(key), remedy="Correct it"
            ) from None

    # --- what bears our names ---

    def _check(self, oid: int) -> Constraint:
        found = self._ask("constraint", oid=oid, constraint=self.spec.constraint_name)
        if found is None or found["kind"] == "n":
            return "absent"
        if found["kind"] != "c" or found["definition"].removesuffix(" NOT VALID") != found["wanted"]:
            return "foreign"
        return "valid" if found["valid"] else "not valid"

    def _trigger(self, oid: int) -> Trigger:
        names = {"function": self.spec.function_name, "trigger": self.spec.trigger_name}
        found = self._ask("trigger", oid=oid, **names) or {}
        if not found["function_there"]:
            return "foreign" if found["trigger_there"] else "absent"
        if not (found["mark"] or "").startswith(MARK) or (found["trigger_there"] and not found["linked"]):
            return "foreign"
        current = found["mark"] == f"{MARK} {self.spec.digest}" and found["trigger_there"]
        return "ours" if current else "stale"

    def _index(self, oid: int) -> Index:
        if self.spec.index_name is None:
            return "absent"
        found = self._ask("index", oid=oid, index=self.spec.index_name)
        if found is None:
            return "absent"
        if not found["wanted"]:
            return "foreign"
        return "valid" if found["valid"] else "building" if found["building"] else "invalid"

    def _part_indexes(self, oid: int) -> tuple[PartIndex, ...]:
        spec = self.spec
        if spec.index_name is None:
            return ()
        tables = _all(self.connection, "partitions", oid=oid)
        names = {row["oid"]: spec.index_of(row["name"]) for row in tables} | {oid: spec.index_name}
        oids = list(names)
        values = {"oids": oids, "names": [names[one] for one in oids], "column": spec.column}
        return part_indexes(tables, names, _all(self.connection, "partition_indexes", **values))

    # --- rows ---

    def _unfillable(self, unfilled: str | None) -> bool | None:
        if self.spec.backfill is None:
            return False
        conditions = [sql.SQL(text) for text in (unfilled, f"({self.spec.backfill}) IS NULL") if text]
        return self._some(sql.SQL(" AND ").join(conditions))

    def _some(self, condition: sql.Composable) -> bool | None:
        _one(self.connection, "probe_limits", milliseconds=max(int(self.look_seconds * 1000), 1))
        table = sql.Identifier(self.spec.schema, self.spec.table)
        try:
            with self._rolled_back("BEGIN READ ONLY"), self.connection.cursor() as cursor:
                cursor.execute(query("column/some_rows.sql", table=table, condition=condition))
                return bool((cursor.fetchone() or (False,))[0])
        except (psycopg2.errors.QueryCanceled, psycopg2.errors.LockNotAvailable):
            return None
        except psycopg2.errors.ReadOnlySqlTransaction:  # the expression does more than compute: it is not for a look
            return None
        except psycopg2.DataError as error:  # it plans, and fails on some row
            raise Refused(
                f"The backfill expression fails on a row: {_said(error)}",
                where=self._where("backfill"),
                remedy="Write it so that it has an answer for every row",
            ) from None
        finally:
            if not self.connection.closed:
                _one(self.connection, "probe_limits", milliseconds=30_000)

    # --- asking ---

    def _ask(self, name: str, **values: Any) -> dict[str, Any] | None:
        spec = self.spec
        return _one(self.connection, name, schema=spec.schema, table=spec.table, column=spec.column, **values)

    def _do(self, name: str, **parts: sql.Composable) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(query(f"column/{name}.sql", **parts))

    def _where(self, key: str) -> str:
        return f"zero_downtime_column, {key}, {self.dsn.where}"


def _constraint(there: bool, valid: bool) -> Constraint:
    return "absent" if not there else "valid" if valid else "not valid"


def _one(connection: Connection, name: str, **values: Any) -> dict[str, Any] | None:
    found = _all(connection, name, **values)
    return found[0] if found else None


def _all(connection: Connection, name: str, **values: Any) -> list[dict[str, Any]]:
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(sql_text(f"column/{name}.sql"), values)
        return [dict(row) for row in cursor.fetchall()]


def _said(error: psycopg2.Error) -> str:
    return (error.diag.message_primary or str(error)).strip()
