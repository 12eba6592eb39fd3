"""Indexes that a query might want: from the columns that it compares and sorts by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pglast import ast
from pglast.enums import A_Expr_Kind, BoolExprType, SortByDir, SortByNulls
from psycopg2 import sql

from pgops.include import sql_text
from pgops.queries.explain import Parsed

MOST_COLUMNS = 3
LEAST_ROWS = 1000  # a smaller table is read from end to end in no time

_EQUAL = (A_Expr_Kind.AEXPR_IN, A_Expr_Kind.AEXPR_OP_ANY)
_BETWEEN = (A_Expr_Kind.AEXPR_BETWEEN, A_Expr_Kind.AEXPR_BETWEEN_SYM)
_RANGES = ("<", "<=", ">", ">=")


@dataclass(frozen=True)
class Index:
    """A B-tree index that may or may not exist: columns, the most important first."""

    schema: str
    table: str
    columns: tuple[str, ...]

    @property
    def name(self) -> str:
        """As PostgreSQL would call it, within its 63 bytes."""
        stem = "_".join((self.table, *self.columns))
        return stem.encode()[:59].decode(errors="ignore") + "_idx"

    @property
    def parts(self) -> dict[str, sql.Composable]:
        """What the SQL that makes it is composed of."""
        return {
            "label": sql.Identifier(self.name),
            "index": sql.Identifier(self.schema, self.name),
            "table": sql.Identifier(self.schema, self.table),
            "columns": sql.SQL(", ").join(map(sql.Identifier, self.columns)),
        }


@dataclass(frozen=True)
class Table:
    """What the catalog knows of a table.

    Attributes:
        distinct: number of values of each column, where statistics say.
        indexes: the columns of its valid indexes.
    """

    schema: str
    name: str
    rows: float
    distinct: Mapping[str, float]
    indexes: tuple[tuple[str, ...], ...]


def tables(catalog: Any, names: Iterable[str]) -> dict[str, Table]:
    """Tables by name; a name that several schemas have is left out, for nobody knows which one is meant.

    Args:
        catalog: a session with the system's names only.
        names: without schemas.
    """
    with catalog.cursor() as cursor:
        cursor.execute(sql_text("queries/tables.sql"), {"names": sorted(set(names))})
        found = [
            Table(schema, name, rows, distinct, tuple(map(tuple, indexes)))
            for schema, name, rows, distinct, indexes in cursor
        ]
    several = {one.name for one in found if sum(other.name == one.name for other in found) > 1}
    return {one.name: one for one in found if one.name not in several}


def candidates(parsed: Parsed, known: Mapping[str, Table]) -> tuple[Index, ...]:
    """Indexes that the query might use and does not have yet."""
    found: dict[Index, None] = {}
    for name, wanted in _wanted(parsed.tree, known).items():
        table = known[name]
        if table.rows < LEAST_ROWS:
            continue
        for columns in wanted.orders(table):
            if columns and not any(columns == there[: len(columns)] for there in table.indexes):
                found[Index(table.schema, table.name, columns)] = None
    return tuple(found)


class _Wanted:
    """Columns of one table, by what they are compared with."""

    def __init__(self) -> None:
        self.equal: dict[str, None] = {}
        self.joined: dict[str, None] = {}
        self.ranged: dict[str, None] = {}
        self.sorted: list[str] = []

    def orders(self, table: Table) -> Iterator[tuple[str, ...]]:
        """Columns of indexes worth a try: equality first, the most selective in front, then one range or the order."""
        equal = sorted(self.equal, key=lambda name: -table.distinct.get(name, 0))[:MOST_COLUMNS]
        for last in (*([name] for name in self.ranged), self.sorted, []):
            columns = [*equal, *(name for name in last if name not in equal)]
            yield tuple(columns[:MOST_COLUMNS])
        if len(equal) > 1:
            yield (equal[0],)
        for name in self.joined:
            yield (name,)
            yield (name, *(other for other in equal if other != name))[:MOST_COLUMNS]


def _wanted(tree: Any, known: Mapping[str, Table]) -> dict[str, _Wanted]:
    found: dict[str, _Wanted] = {}
    for select in _selects(tree):
        names = dict(_names(select.fromClause or ()))
        _Conditions(names, known, found).read(select)
    return found


def _selects(node: Any) -> Iterator[Any]:
    """Every SELECT within a statement."""
    if isinstance(node, ast.SelectStmt):
        yield node
    if isinstance(node, tuple | list):
        for one in node:
            yield from _selects(one)
    elif isinstance(node, ast.Node):
        for member in node:
            yield from _selects(getattr(node, member))


def _names(items: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """Alias and table of what a FROM names."""
    for item in items:
        if isinstance(item, ast.RangeVar):
            yield (item.alias.aliasname if item.alias else item.relname), item.relname
        elif isinstance(item, ast.JoinExpr):
            yield from _names((item.larg, item.rarg))


class _Conditions:
    """Reads the conditions of one SELECT."""

    def __init__(self, names: Mapping[str, str], known: Mapping[str, Table], found: dict[str, _Wanted]) -> None:
        self.names, self.known, self.found = names, known, found

    def read(self, select: Any) -> None:
        self._condition(select.whereClause)
        for item in select.fromClause or ():
            self._joins(item)
        self._order(select.sortClause or ())

    def _joins(self, item: Any) -> None:
        if isinstance(item, ast.JoinExpr):
            self._condition(item.quals)
            self._joins(item.larg)
            self._joins(item.rarg)

    def _condition(self, node: Any) -> None:
        if isinstance(node, ast.BoolExpr) and node.boolop == BoolExprType.AND_EXPR:
            for one in node.args:
                self._condition(one)
        elif isinstance(node, ast.A_Expr):
            self._comparison(node)

    def _comparison(self, node: Any) -> None:
        operator = node.name[-1].sval
        left, right = self._column(node.lexpr), self._column(node.rexpr)
        if node.kind in _BETWEEN and left:
            self._of(left[0]).ranged[left[1]] = None
        elif node.kind in _EQUAL and operator == "=" and left:
            self._of(left[0]).equal[left[1]] = None
        elif node.kind == A_Expr_Kind.AEXPR_OP and operator == "=":
            if left and right and left[0] != right[0]:
                for table, column in (left, right):
                    self._of(table).joined[column] = None
            elif side := (left or right if not (left and right) else None):
                self._of(side[0]).equal[side[1]] = None
        elif node.kind == A_Expr_Kind.AEXPR_OP and operator in _RANGES and bool(left) != bool(right):
            table, column = left or right or ("", "")
            self._of(table).ranged[column] = None

    def _order(self, items: Sequence[Any]) -> None:
        columns = [self._column(item.node) for item in items]
        directions = {(item.sortby_dir == SortByDir.SORTBY_DESC, item.sortby_nulls) for item in items}
        if not columns or None in columns or len({one[0] for one in columns if one}) != 1 or len(directions) != 1:
            return
        if next(iter(directions))[1] != SortByNulls.SORTBY_NULLS_DEFAULT:
            return
        for one in columns:
            assert one is not None
            self._of(one[0]).sorted.append(one[1])

    def _of(self, table: str) -> _Wanted:
        return self.found.setdefault(table, _Wanted())

    def _column(self, node: Any) -> tuple[str, str] | None:
        """Table and column that a node names; None where it is anything else."""
        if not isinstance(node, ast.ColumnRef) or not all(isinstance(part, ast.String) for part in node.fields):
            return None
        *qualifier, column = (part.sval for part in node.fields)
        if qualifier:
            table = self.names.get(str(qualifier[-1]), "")
            return (table, column) if table in self.known and column in self.known[table].distinct else None
        owners = [name for name in self.names.values() if name in self.known and column in self.known[name].distinct]
        return (owners[0], column) if len(owners) == 1 else None
