"""What a backfill changes: a table, what its columns are set to, and which rows are still to do.

A specification comes from a form or a file, so from anybody. It is never pasted into a statement: the server's own
parser (libpg_query) takes it apart, what is not one plain expression is refused, and statements are put together from
the parts that were understood. Nothing is executed here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pglast
import yaml
from pglast import ast
from pglast.parser import ParseError
from pglast.stream import RawStream

from pgops.errors import Refused

_KEYS = ("database", "table", "set", "where", "key", "allow_functions")
_LONGEST = 20_000  # characters of an expression; a parser of deep nesting is recursive
_WRITES = (ast.InsertStmt, ast.UpdateStmt, ast.DeleteStmt, ast.MergeStmt, ast.IntoClause, ast.LockingClause)
_FORBIDDEN: tuple[tuple[type[Any] | tuple[type[Any], ...], str], ...] = (
    (_WRITES, "a subquery may only read"),
    (ast.ParamRef, "parameters such as $1 have no value here"),
    (ast.SetToDefault, "DEFAULT is not an expression: write the value"),
    (ast.CurrentOfExpr, "CURRENT OF has no meaning here"),
)


@dataclass(frozen=True)
class Expression:
    """One SQL expression, understood.

    Attributes:
        sql: written anew from its syntax tree.
        functions: names of the functions it calls, as written: ("lower",) or ("app", "tier_of").
        attributes: what stands after a dot: row.name may call the function name(row).
        operators: names of its operators.
        casts: the types it casts to.
        constant: whether it is a literal, the same for every row.
    """

    sql: str
    functions: frozenset[tuple[str, ...]] = frozenset()
    attributes: frozenset[str] = frozenset()
    operators: frozenset[str] = frozenset()
    casts: frozenset[str] = frozenset()
    constant: bool = False


@dataclass(frozen=True)
class Spec:
    """A backfill: UPDATE `table` SET `assignments` for the rows that fulfil `where`.

    Attributes:
        database: the database's name in the fleet file.
        schema: of the table; None leaves it to the search_path.
        table: the table's name.
        assignments: (column, expression).
        where: which rows are still to do. It must become false for a row by the update itself.
        key: columns to walk along; None takes the primary key.
        allow: volatile functions that a person has allowed, as written in the expressions.
        parsed: the expressions by their text.
    """

    database: str
    table: str
    assignments: tuple[tuple[str, str], ...]
    where: str
    schema: str | None = None
    key: tuple[str, ...] | None = None
    allow: tuple[str, ...] = ()
    parsed: Mapping[str, Expression] = field(default_factory=dict, repr=False, compare=False)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are set."""
        return tuple(column for column, _ in self.assignments)

    @property
    def title(self) -> str:
        """As log lines call it."""
        name = f"{self.schema}.{self.table}" if self.schema else self.table
        return f"{name} ({', '.join(self.columns)})"

    @property
    def hash(self) -> str:
        """The same for two specifications that do the same to the same table."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """What `read` takes: it is kept with the job, and read again by every worker."""
        return {
            "database": self.database,
            "table": _quoted(self.schema, self.table),
            "set": {column: self.parsed[text].sql for column, text in self.assignments},
            "where": self.parsed[self.where].sql,
            "key": list(self.key) if self.key else None,
            "allow_functions": sorted(self.allow),
        }


def read_yaml(text: str, where: str = "the backfill's specification", database: str | None = None) -> Spec:
    """A specification in YAML; see `read`.

    Args:
        text: of a form or a file.
        where: how errors call the place it came from.
        database: for which it has to be; then the text need not say so.

    Raises:
        Refused: it is not YAML, not a specification, or one for another database.
    """
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise _refused(f"It is not YAML: {' '.join(str(error).split())}", where, "Correct the text") from None
    if database is not None and isinstance(content, dict) and content.setdefault("database", database) != database:
        raise _refused(
            f"It is for {content['database']!r}, and {database!r} was chosen",
            f"{where}, database",
            "Let both agree",
        )
    return read(content, where)


def read(content: object, where: str = "the backfill's specification") -> Spec:
    """A specification from a form's values or a file's content.

    Args:
        content: `database`, `table` (as SQL writes names: app.users or "Odd Name"), `set` (column: expression, or the
            text after SET), `where`, and if need be `key` (columns) and `allow_functions`.
        where: how errors call the place it came from.

    Raises:
        Refused: naming the key, the fault and the remedy.
    """
    if not isinstance(content, Mapping):
        raise _refused("It is not a mapping of keys to values", where, f"Give {', '.join(_KEYS[:4])}")
    if unknown := [str(key) for key in content if key not in _KEYS]:
        raise _refused(f"Unknown key {', '.join(map(repr, unknown))}", where, f"Known are {', '.join(_KEYS)}")
    schema, table = _table(_text(content, "table", where), where)
    assignments, parsed = _assignments(content.get("set"), where)
    predicate = _text(content, "where", where)
    parsed[predicate] = expression(predicate, f"{where}, where")
    if parsed[predicate].constant:
        raise _refused(
            f"The predicate {parsed[predicate].sql} is the same for every row",
            f"{where}, where",
            "Say which rows are still to do, such as: tier IS NULL. It has to become false by the update itself",
        )
    return Spec(
        database=_text(content, "database", where),
        schema=schema,
        table=table,
        assignments=assignments,
        where=predicate,
        key=_names(content, "key", where) or None,
        allow=_names(content, "allow_functions", where),
        parsed=parsed,
    )


def expression(text: str, where: str) -> Expression:
    """The one expression that a text is.

    Raises:
        Refused: it is none, is more than one, or could change something.
    """
    node = _only_expression(text, where)
    functions: set[tuple[str, ...]] = set()
    attributes, operators, casts = set[str](), set[str](), set[str]()
    for one in _walk(node):
        for kind, why in _FORBIDDEN:
            if isinstance(one, kind):
                raise _refused(f"{text.strip()!r} is not allowed: {why}", where, "Write one expression that only reads")
        if isinstance(one, ast.FuncCall):
            functions.add(_strings(one.funcname))
        elif isinstance(one, ast.ColumnRef):
            attributes |= set(_strings(one.fields)[1:])
        elif isinstance(one, ast.A_Indirection):
            attributes |= set(_strings(one.indirection))
        elif isinstance(one, ast.A_Expr):
            operators |= set(_strings(one.name)[-1:])
        elif isinstance(one, ast.SubLink):
            operators |= set(_strings(one.operName)[-1:])
        elif isinstance(one, ast.TypeCast):
            casts.add(str(RawStream()(one.typeName)))
    return Expression(
        _written(node, text, where),
        frozenset(functions),
        frozenset(attributes),
        frozenset(operators),
        frozenset(casts),
        _is_constant(node),
    )


# --- parts ---


def _assignments(given: object, where: str) -> tuple[tuple[tuple[str, str], ...], dict[str, Expression]]:
    at = f"{where}, set"
    pairs: list[tuple[str, str]]
    if isinstance(given, Mapping):
        pairs = []
        for column, value in given.items():
            if not isinstance(column, str) or not column or "\0" in column or len(column.encode()) > 63:
                raise _refused(f"{column!r} is not a column's name", at, "Write column: expression")
            if not isinstance(value, str):
                raise _refused(
                    f"{column} is set to {value!r}, which is not the text of an SQL expression",
                    at,
                    "Put it into quotes, and a string once more into single quotes: \"'standard'\"",
                )
            pairs.append((column, value))
    elif isinstance(given, str):
        pairs = _set_clause(given, at)
    else:
        pairs = []
    if not pairs:
        raise _refused("It sets no column", at, "Write column: expression, or column = expression")
    columns = [column for column, _ in pairs]
    if twice := sorted({column for column in columns if columns.count(column) > 1}):
        raise _refused(f"{', '.join(twice)} is set twice", at, "Set each column once")
    return tuple(pairs), {text: expression(text, f"{at}, {column}") for column, text in pairs}


def _set_clause(text: str, at: str) -> list[tuple[str, str]]:
    """Pairs out of `a = 1, b = lower(c)`."""
    remedy = "Write column = expression, column = expression"
    statements = _parsed(f"UPDATE t SET {text}\n", at)
    statement = statements[0].stmt if len(statements) == 1 else None
    if not isinstance(statement, ast.UpdateStmt) or _members(statement) != {"relation", "targetList"}:
        raise _refused(f"{text.strip()!r} is not a list of assignments", at, remedy)
    for target in statement.targetList:
        if target.indirection or isinstance(target.val, ast.MultiAssignRef):
            raise _refused("It sets part of a column, or several columns at once", at, remedy)
    return [(target.name, RawStream()(target.val)) for target in statement.targetList]


def _table(text: str, where: str) -> tuple[str | None, str]:
    at = f"{where}, table"
    statements = _parsed(f"SELECT FROM {text}\n", at)
    statement = statements[0].stmt if len(statements) == 1 else None
    relation = None
    if isinstance(statement, ast.SelectStmt) and _members(statement) == {"fromClause"}:
        sources: Any = statement.fromClause
        relation = sources[0] if len(sources) == 1 and isinstance(sources[0], ast.RangeVar) else None
    if relation is None or relation.alias or relation.catalogname or not relation.inh:
        raise _refused(f"{text!r} is not the name of a table", at, 'Write schema.table, or "Schema"."Table" if need be')
    return relation.schemaname, relation.relname


def _only_expression(text: str, where: str) -> Any:
    statements = _parsed(f"SELECT (\n{text}\n)", where)
    statement = statements[0].stmt if len(statements) == 1 else None
    targets: Any = statement.targetList if isinstance(statement, ast.SelectStmt) else ()
    if _members(statement) != {"targetList"} or len(targets) != 1 or _members(targets[0]) != {"val"}:
        raise _refused(f"{text.strip()!r} is not one expression", where, "Write one expression, without a semicolon")
    if isinstance(targets[0].val, ast.RowExpr):
        raise _refused(f"{text.strip()!r} is several values", where, "Write one expression")
    return targets[0].val


def _parsed(text: str, where: str) -> tuple[Any, ...]:
    if "\0" in text or len(text) > _LONGEST:
        raise _refused(f"It holds a NUL character or more than {_LONGEST} characters", where, "Write it shorter")
    try:
        trees: tuple[Any, ...] = pglast.parse_sql(text)
    except (ParseError, RecursionError) as error:
        message = str(error.args[0]) if isinstance(error, ParseError) else "nested too deeply"
        raise _refused(f"It is not SQL: {message}", where, "Correct the text; nothing was run") from None
    return trees


def _written(node: Any, text: str, where: str) -> str:
    """The expression as SQL, read back: what was understood is what will run."""
    try:
        written = str(RawStream()(node))
        same = _only_expression(written, where) == node
    except (Refused, RecursionError, NotImplementedError):
        same = False
    if not same:
        raise _refused(f"{text.strip()!r} cannot be written back as it was read", where, "Write it in a simpler way")
    return written


def _is_constant(node: Any) -> bool:
    while isinstance(node, ast.TypeCast):
        node = node.arg
    return isinstance(node, ast.A_Const)


def _members(node: Any) -> set[str]:
    """What a node says beside its enumerations."""
    return {
        member
        for member in node or ()
        if (value := getattr(node, member)) is not None and value is not False and not isinstance(value, int)
    }


def _walk(value: Any) -> Iterator[Any]:
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, ast.Node):
            yield one
            left += [getattr(one, member) for member in one]
        elif isinstance(one, tuple):
            left += one


def _strings(values: Any) -> tuple[str, ...]:
    return tuple(value.sval for value in values or () if isinstance(value, ast.String))


def _text(content: Mapping[Any, Any], key: str, where: str) -> str:
    value = content.get(key)
    if not isinstance(value, str) or not value.strip():
        raise _refused(f"'{key}' is missing or not a text", where, f"Give {key}")
    return value.strip()


def _names(content: Mapping[Any, Any], key: str, where: str) -> tuple[str, ...]:
    value = content.get(key) or []
    names = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) and name for name in names):
        raise _refused(f"'{key}' is not a list of names", where, f"Write {key}: [one, another]")
    if len(set(names)) != len(names):
        raise _refused(f"'{key}' names something twice", where, "Name each once")
    return tuple(names)


def _quoted(schema: str | None, table: str) -> str:
    return ".".join(f'"{part.replace(chr(34), chr(34) * 2)}"' for part in (schema, table) if part is not None)


def _refused(what: str, where: str, remedy: str) -> Refused:
    return Refused(re.sub(r"\s+", " ", what), where=where, remedy=remedy)
