"""Takes plans without doing anything: EXPLAIN of statements that read, as far as planning them runs nobody's code.

EXPLAIN executes nothing, but the planner itself calls immutable and stable functions where their arguments are known.
So a statement that names a function of the database's own (or a view that does) is refused, and so is everything but a
single SELECT. Each plan gets a session of its own: whatever a plan has set in motion ends with it.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pglast
import psycopg2
from pglast import ast
from pglast.parser import ParseError
from pglast.visitors import Visitor
from psycopg2 import sql

from pgops import units
from pgops.errors import Refused
from pgops.include import query, sql_text
from pgops.postgres import Dsn, Limits, connect
from pgops.queries.shape import Plan, plan_of
from pgops.queries.text import plannable

APPLICATION = "pgops.queries.explain"
LIMITS = Limits(statement=5, lock=0.5, idle_in_transaction=10)
_GENERIC_PLAN = 160000  # server_version_num from which on EXPLAIN takes $1


class NotExplained(Exception):
    """Why there is no plan, in a few words that can be counted."""


@dataclass(frozen=True)
class Parsed:
    """A statement that only reads.

    Attributes:
        text: as it is planned.
        functions, relations: the names that it mentions, without schemas.
    """

    text: str
    tree: Any
    functions: frozenset[str]
    relations: frozenset[str]


class _Names(Visitor):  # type: ignore[misc]
    """What a statement mentions, and what in it would do more than read."""

    def __init__(self) -> None:
        self.functions: set[str] = set()
        self.relations: set[str] = set()
        self.writes: set[str] = set()

    def visit_FuncCall(self, ancestors: Any, node: Any) -> None:
        self.functions.add(node.funcname[-1].sval)

    def visit_RangeVar(self, ancestors: Any, node: Any) -> None:
        self.relations.add(node.relname)

    def visit_InsertStmt(self, ancestors: Any, node: Any) -> None:
        self.writes.add("INSERT")

    def visit_UpdateStmt(self, ancestors: Any, node: Any) -> None:
        self.writes.add("UPDATE")

    def visit_DeleteStmt(self, ancestors: Any, node: Any) -> None:
        self.writes.add("DELETE")

    def visit_MergeStmt(self, ancestors: Any, node: Any) -> None:
        self.writes.add("MERGE")

    def visit_IntoClause(self, ancestors: Any, node: Any) -> None:
        self.writes.add("SELECT INTO")

    def visit_LockingClause(self, ancestors: Any, node: Any) -> None:
        self.writes.add("SELECT FOR UPDATE")


def readable(text: str, *, whole: bool = True) -> Parsed:
    """Take a statement apart.

    Raises:
        NotExplained: it was cut, is not one statement, or does more than read.
    """
    if not whole:
        raise NotExplained("its text was cut")
    plain = plannable(text).strip().rstrip(";").rstrip()
    try:
        trees = pglast.parse_sql(plain)
    except (ParseError, ValueError, RecursionError):
        raise NotExplained("its text cannot be parsed") from None
    if len(trees) != 1:
        raise NotExplained("it is not one statement")
    tree = trees[0].stmt
    if not isinstance(tree, ast.SelectStmt):
        kind = type(tree).__name__.removesuffix("Stmt")
        writes = kind in ("Insert", "Update", "Delete", "Merge")
        raise NotExplained("it writes" if writes else "it is a utility statement")
    names = _Names()
    names(tree)
    if names.writes:
        raise NotExplained("it writes" if names.writes != {"SELECT FOR UPDATE"} else "it locks rows")
    return Parsed(plain, tree, frozenset(names.functions), frozenset(names.relations))


@contextmanager
def catalog_session(dsn: Dsn) -> Iterator[Any]:
    """A session that asks the catalog, in which nobody's functions stand in for the system's."""
    with connect(dsn, APPLICATION, LIMITS, readonly=True, system_names=True) as connection:
        yield connection


@contextmanager
def fresh_session(dsn: Dsn, limits: Limits = LIMITS) -> Iterator[Any]:
    """A session for one plan; what it is left with ends with it."""
    with connect(dsn, APPLICATION, limits, readonly=True) as connection:
        yield connection


def explain(dsn: Dsn, text: str, *, whole: bool = True) -> Plan:
    """The generic plan of a statement, whose parameters nobody knows.

    Args:
        dsn: a role that may read the tables and write nothing.
        text: of pg_stat_statements, with $1.
        whole: False where it was cut.

    Raises:
        NotExplained: it is refused, or the server does not plan it.
        DatabaseError: the server does not answer.
    """
    parsed = readable(text, whole=whole)
    with catalog_session(dsn) as catalog:
        refuse_own_code(catalog, parsed)
    with fresh_session(dsn) as connection:
        return planned(connection, parsed)


def planned(connection: Any, parsed: Parsed) -> Plan:
    """The generic plan of a statement that was found harmless.

    Raises:
        NotExplained: the server does not plan it.
    """
    try:
        with connection.cursor() as cursor:
            if connection.server_version >= _GENERIC_PLAN:
                cursor.execute(query("queries/explain.sql", statement=sql.SQL(parsed.text)))
                return plan_of(cursor.fetchone()[0])
            return _prepared(cursor, parsed)
    except psycopg2.Error as error:
        raise NotExplained(_why(error)) from None  # the server's own words quote values


def _prepared(cursor: Any, parsed: Parsed) -> Plan:
    """Before 16: a prepared statement, made to have a generic plan."""
    cursor.execute(query("queries/prepare.sql", statement=sql.SQL(parsed.text)))
    try:
        cursor.execute(sql_text("queries/prepared_parameters.sql"))
        (parameters,) = cursor.fetchone()
        values = sql.SQL(", ").join([sql.NULL] * parameters)
        arguments = sql.SQL("({})").format(values) if parameters else sql.SQL("")
        cursor.execute(query("queries/explain_prepared.sql", arguments=arguments))
        return plan_of(cursor.fetchone()[0])
    finally:
        if not cursor.connection.closed:
            cursor.execute(sql_text("queries/deallocate.sql"))


def _why(error: psycopg2.Error) -> str:
    match error.pgcode:
        case "42501":
            return "the role may not read its tables: include/sql/roles/monitor_more.sql"
        case "42P01" | "42703" | "42883" | "3F000":
            return "what it names is not there, or not in this role's search_path"
        case "57014":
            return "planning took too long"
        case "55P03":
            return "its tables are locked"
    return _said(error)


def _said(error: psycopg2.Error) -> str:
    """The server's words without what it quotes: that may be a literal, or a row's value."""
    words = re.sub(r'"[^"]*"', '"…"', error.diag.message_primary or "the connection was lost")
    return f"SQLSTATE {error.pgcode or '-'}: {words}"


def refuse_own_code(catalog: Any, parsed: Parsed, *, executed: bool = False) -> None:
    """Refuse what may run code of the database's own while it is planned.

    Args:
        catalog: a catalog_session.
        parsed: the statement.
        executed: it will be executed too, so volatile functions run as well.

    Raises:
        NotExplained: with the function's name.
    """
    with catalog.cursor() as cursor:
        cursor.execute(
            sql_text("queries/own_functions.sql"),
            {"functions": sorted(parsed.functions), "relations": sorted(parsed.relations), "executed": executed},
        )
        found = [row[0] for row in cursor.fetchall()]
    if found:
        raise NotExplained(f"it may run a function of this database: {', '.join(found[:3])}")


@dataclass(frozen=True)
class Plans:
    """Plans by fingerprint, and how many have none, by reason."""

    plans: Mapping[str, Plan]
    without: Mapping[str, int]


def explain_all(dsn: Dsn, texts: Iterable[tuple[str, str, bool]], seconds: float) -> Plans:
    """Plans of several statements within a time.

    Args:
        dsn: a role that may read and not write.
        texts: fingerprint, text, and whether it is whole; the most important first.
        seconds: for all of them.
    """
    deadline = time.monotonic() + seconds
    plans: dict[str, Plan] = {}
    without: Counter[str] = Counter()
    with catalog_session(dsn) as catalog:
        for fingerprint, text, whole in texts:
            try:
                if time.monotonic() > deadline:
                    raise NotExplained("there was no time left")
                parsed = readable(text, whole=whole)
                refuse_own_code(catalog, parsed)
                with fresh_session(dsn) as connection:
                    plans[fingerprint] = planned(connection, parsed)
            except NotExplained as why:
                without[str(why)] += 1
    return Plans(plans, without)


# --- EXPLAIN ANALYZE: executes the query; only where nobody is served from ---


def analyze(dsn: Dsn, production: Dsn, statement: str, seconds: float = 60) -> Plan:
    """Execute a query on a standby or a copy and measure each step of its plan.

    Args:
        dsn: of a role without write rights, there.
        production: the primary, which it must not be.
        statement: with values in place of parameters.
        seconds: how long it may take.

    Raises:
        Refused: it is no query that only reads, it would run on production, or it failed there.
        DatabaseError: the server does not answer.
    """
    try:
        parsed = readable(statement)
    except NotExplained as why:
        raise _refused(f"This statement is not executed: {why}", dsn) from why
    refuse_production(dsn, production)
    with catalog_session(dsn) as catalog:
        _refuse_effects(catalog, dsn, parsed)
    limits = Limits(statement=seconds, lock=0.5, idle_in_transaction=10)
    with fresh_session(dsn, limits) as connection, connection.cursor() as cursor:
        try:
            cursor.execute(query("queries/explain_analyze.sql", statement=sql.SQL(parsed.text)))
        except psycopg2.Error as error:
            what = f"The query failed after at most {units.duration(seconds)}: {_said(error)}"
            raise Refused(what, where=dsn.where, remedy="The server's log of this time has all of it") from None
        return plan_of(cursor.fetchone()[0])


def refuse_production(dsn: Dsn, production: Dsn) -> None:
    """Refuse a server that is not in recovery and has the primary's system identifier.

    Raises:
        Refused: it is the primary.
    """
    recovery, identity = _place(dsn)
    if not recovery and identity == _place(production)[1]:
        raise _refused("This is production: queries are executed on a standby or a copy only", dsn)


def _place(dsn: Dsn) -> tuple[bool, str]:
    with catalog_session(dsn) as catalog, catalog.cursor() as cursor:
        cursor.execute(sql_text("queries/place.sql"))
        recovery, identity = cursor.fetchone()
    return recovery, identity


def _refuse_effects(catalog: Any, dsn: Dsn, parsed: Parsed) -> None:
    """A read-only transaction stops writes, but no advisory lock, no notification, no dblink, in a view either."""
    try:
        refuse_own_code(catalog, parsed, executed=True)
        with fresh_session(dsn) as connection:
            called = parsed.functions | planned(connection, parsed).functions
    except NotExplained as why:
        raise _refused(f"This statement is not executed: {why}", dsn) from why
    with catalog.cursor() as cursor:
        cursor.execute(sql_text("queries/volatile_functions.sql"), {"functions": sorted(called)})
        found = [row[0] for row in cursor.fetchall()]
    if found:
        raise _refused(f"This statement is not executed: {', '.join(found)} may do more than read", dsn)


def _refused(what: str, dsn: Dsn) -> Refused:
    return Refused(what, where=dsn.where, remedy="Give a single SELECT without such functions, and a standby or a copy")
