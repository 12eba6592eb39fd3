"""What is wanted: one column of one table. Parsed before anything is asked of a server."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import pglast
from pglast import ast
from pglast.parser import ParseError
from pglast.stream import RawStream

from pgops.errors import Refused

_QUOTE = "$pgops$"
_NAME_BYTES = 63
_SERIAL = {"serial", "bigserial", "smallserial", "serial2", "serial4", "serial8"}


@dataclass(frozen=True)
class ColumnSpec:
    """A column that is to be there, with a value in every row. Made by column_spec().

    Attributes:
        database: its name in the fleet file.
        schema, table, column: names as they are, without quotes.
        type: as SQL writes it.
        default: expression for rows that are written without the column.
        backfill: expression, of the row's other columns, for the rows that are there; else they get the default.
            Without a default it fills new rows too, by a trigger.
        not_null: whether no row may be without a value at the end.
        index_name: of the index on the column; None: there is to be none.
    """

    database: str
    schema: str
    table: str
    column: str
    type: str
    default: str | None
    backfill: str | None
    not_null: bool
    index_name: str | None

    @property
    def label(self) -> str:
        """As people name it."""
        return f"{self.schema}.{self.table}.{self.column}"

    @property
    def relation(self) -> str:
        """The table as SQL names it."""
        return _sql(ast.RangeVar(schemaname=self.schema, relname=self.table, inh=True, relpersistence="p"))

    @property
    def fill(self) -> str | None:
        """The expression for rows without a value."""
        return self.backfill or self.default

    @property
    def by_trigger(self) -> bool:
        """Whether new rows are filled by a trigger: a default cannot see the row."""
        return self.backfill is not None and self.default is None

    @property
    def constraint_name(self) -> str:
        """Of the CHECK or NOT NULL constraint."""
        return _short(f"{self.table}_{self.column}_not_null")

    @property
    def function_name(self) -> str:
        """Of the trigger's function, in the table's schema."""
        return _short(f"pgops_fill_{self.table}_{self.column}")

    @property
    def trigger_name(self) -> str:
        """Triggers fire in the order of their names: this one sees what the others have made of the row."""
        return _short(f"zzz_pgops_fill_{self.column}")

    def index_of(self, partition: str) -> str:
        """The name of the index on a partition."""
        return _short(f"{partition}_{self.column}_idx")

    @property
    def digest(self) -> str:
        """Of what the trigger's function does."""
        return hashlib.sha256("\0".join([self.column, self.type, self.backfill or ""]).encode()).hexdigest()[:16]

    @property
    def unfilled(self) -> str:
        """The condition of the rows that still want a value, as SQL."""
        empty = f"{_sql(_reference(self.column))} IS NULL"
        # Where NULL is allowed, a row for which the expression is NULL is done.
        return empty if self.not_null or not self.backfill else f"{empty} AND ({self.backfill}) IS NOT NULL"


def column_spec(
    database: str,
    table: str,
    column: str,
    type: str,
    *,
    default: str | None = None,
    backfill: str | None = None,
    not_null: bool = True,
    index: bool | str = False,
) -> ColumnSpec:
    """A spec from a form's strings; names as SQL writes them, quoted where they have to be.

    Raises:
        Refused: something is not what it should be; nothing was asked of any server.
    """
    relation = _table(table)
    name = _column(column)
    wanted_type = _type(type)
    spec = ColumnSpec(
        database=database,
        schema=relation.schemaname or "public",
        table=relation.relname,
        column=name,
        type=wanted_type,
        default=_expression("default", default, sees_row=False),
        backfill=_expression("backfill", backfill, sees_row=True),
        not_null=not_null,
        index_name=_index_name(index, relation.relname, name),
    )
    if spec.not_null and spec.fill is None:
        raise _refused(
            "not_null",
            f"{spec.label} is to be NOT NULL, and nothing says what the rows that are there get",
            "Give a default, or a backfill expression",
        )
    if any(_QUOTE in (text or "") for text in (spec.table, spec.column, spec.backfill)):
        raise _refused("backfill", f"{_QUOTE} quotes the trigger's body and cannot stand in it", "Write it another way")
    return spec


def _table(text: str) -> Any:
    found = _parsed("table", f"SELECT FROM {text}", text)
    sources = list(found.fromClause or [])
    good = len(sources) == 1 and isinstance(sources[0], ast.RangeVar) and sources[0].inh and _only(found, "fromClause")
    if not good or sources[0].alias or sources[0].catalogname:
        raise _refused("table", f"{text!r} is no table's name", 'Write users, sales.users or "My Table"')
    return sources[0]


def _column(text: str) -> str:
    target = _target("column", text)
    fields = list(target.fields) if isinstance(target, ast.ColumnRef) else []
    if len(fields) != 1 or not isinstance(fields[0], ast.String):
        raise _refused("column", f"{text!r} is no column's name", 'Write phone_number, or "Phone" with its quotes')
    return str(fields[0].sval)


def _type(text: str) -> str:
    found = _target("type", f"NULL::{text}", text)
    if not isinstance(found, ast.TypeCast) or not isinstance(found.arg, ast.A_Const) or found.typeName.setof:
        raise _refused("type", f"{text!r} is no type", "Write text, numeric(10,2) or timestamptz")
    if str(found.typeName.names[-1].sval) in _SERIAL:
        raise _refused(
            "type",
            f"{text} is a sequence with a column, and filling it rewrites the table",
            "Write bigint with the default nextval('a_sequence') for a sequence that you made before",
        )
    return _sql(found.typeName)


def _expression(key: str, text: str | None, *, sees_row: bool) -> str | None:
    if text is None or not text.strip():
        return None
    found = _target(key, text)
    for node in _nodes(found):
        if isinstance(node, ast.SubLink):
            raise _refused(key, f"{text!r} has a subquery", "Write an expression of the row's own columns")
        if isinstance(node, ast.FuncCall) and (node.over or node.agg_star or node.agg_distinct or node.agg_filter):
            raise _refused(key, f"{text!r} is computed over several rows", "Write an expression of one row")
        if isinstance(node, ast.ColumnRef) and not sees_row:
            raise _refused(key, f"{text!r} names a column; a default does not see the row", "Give it as backfill")
        if isinstance(node, ast.ColumnRef) and any(isinstance(field, ast.A_Star) for field in node.fields):
            raise _refused(key, f"{text!r} takes all columns at once", "Name the columns")
        if isinstance(node, ast.ParamRef | ast.SetToDefault):
            raise _refused(key, f"{text!r} leaves something open", "Write the value itself")
    return _sql(found)


def _index_name(index: bool | str, table: str, column: str) -> str | None:
    if isinstance(index, bool):
        return _short(f"{table}_{column}_idx") if index else None
    return _column(index) if index.strip() else None


def _target(key: str, text: str, shown: str | None = None) -> Any:
    """The one expression of a text."""
    found = _parsed(key, f"SELECT {text}", shown or text)
    targets = list(found.targetList or [])
    if len(targets) != 1 or targets[0].name or targets[0].indirection or not _only(found, "targetList"):
        raise _refused(key, f"{shown or text!r} is not one expression", "Write one, without a name and without FROM")
    return targets[0].val


def _parsed(key: str, statement: str, shown: str) -> Any:
    try:
        trees = pglast.parse_sql(statement)
    except ParseError as error:
        raise _refused(key, f"{shown!r}: {error.args[0]}", "Correct it") from None
    if "\0" in statement or len(trees) != 1 or not isinstance(trees[0].stmt, ast.SelectStmt):
        raise _refused(key, f"{shown!r} is more than one thing", "Write one")
    return trees[0].stmt


def _only(statement: Any, part: str) -> bool:
    """Whether a SELECT has this part and nothing else."""
    plain = pglast.parse_sql("SELECT")[0].stmt
    return all(getattr(statement, name) == getattr(plain, name) for name in statement if name != part)


def _nodes(value: Any) -> list[Any]:
    found, left = [], [value]
    while left:
        one = left.pop()
        if isinstance(one, ast.Node):
            found.append(one)
            left += [getattr(one, member) for member in one]
        elif isinstance(one, tuple):
            left += one
    return found


def _reference(column: str) -> Any:
    return ast.ColumnRef(fields=(ast.String(sval=column),))


def _sql(node: Any) -> str:
    return str(RawStream()(node))


def _short(name: str) -> str:
    """A name that the server does not cut off: a cut one may be another's."""
    if len(name.encode()) <= _NAME_BYTES:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name.encode()[: _NAME_BYTES - 9].decode(errors='ignore')}_{digest}"


def _refused(key: str, what: str, remedy: str) -> Refused:
    return Refused(what, where=f"zero_downtime_column, {key}", remedy=remedy)
