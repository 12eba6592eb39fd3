"""Takes a script apart: its statements, what each is, and which of them the server refuses inside a transaction.

The parser is the server's own (libpg_query, newer than some servers: what it accepts an older server may still refuse,
which the run on a copy then shows). Nothing is executed here.

Two comments mean something:

    -- pgops: autocommit                     the next statement commits by itself, as if it could be in no transaction
    -- rollback: destructive acknowledged    see acknowledges_destruction()
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pglast
from pglast import ast
from pglast.enums import AlterSubscriptionType, AlterTableType, ObjectType, ReindexObjectType
from pglast.parser import ParseError, parse_plpgsql_json

from pgops.errors import Refused
from pgops.migration.model import Script, Segment, Source, Statement

AUTOCOMMIT = "-- pgops: autocommit"
_AUTOCOMMIT = re.compile(r"^[ \t]*--[ \t]*pgops:[ \t]*autocommit[ \t]*\r?$", re.MULTILINE)
_ACKNOWLEDGED = re.compile(r"^[ \t]*--[ \t]*rollback:[ \t]*destructive acknowledged\b", re.MULTILINE)

Body = list[dict[str, Any]]


class Unreadable(Refused):
    """A script that cannot be run as it stands; `rule` and `line` say why and where."""

    def __init__(self, rule: str, what: str, *, name: str, line: int, remedy: str) -> None:
        super().__init__(what, where=f"{name}:{line}" if line else name, remedy=remedy)
        self.rule = rule
        self.name = name
        self.line = line


@dataclass(frozen=True)
class Parsed:
    """A script with its syntax trees, one a statement; `bodies` holds the PL/pgSQL trees of DO blocks and functions."""

    script: Script
    nodes: tuple[Any, ...]
    bodies: Mapping[int, Body]


def parse(source: Source) -> Script:
    """The statements of a script, grouped by what commits together.

    Raises:
        Unreadable: it has no statement, is not SQL, talks to psql, or drives its own transactions.
    """
    return read(source).script


def read(source: Source) -> Parsed:
    """As parse(), with the syntax trees."""
    trees = _trees(source)
    pieces = list(_pieces(source.text, trees))
    if not pieces:
        raise Unreadable(
            "empty", "There is no statement in it", name=source.name, line=0, remedy="Write the SQL, or delete the file"
        )
    nodes = tuple(tree.stmt for tree in trees)
    for node, piece in zip(nodes, pieces, strict=True):
        _refuse(source.name, node, piece.line)
    bodies = {
        index: body
        for index, (node, piece) in enumerate(zip(nodes, pieces, strict=True))
        if (body := _body(source.name, node, piece)) is not None
    }
    procedures = {
        _name(node.funcname): _may_commit(bodies.get(index))
        for index, node in enumerate(nodes)
        if isinstance(node, ast.CreateFunctionStmt) and node.is_procedure
    }
    statements = [
        Statement(
            text=piece.text,
            line=piece.line,
            kind=kind_of(node),
            transactional=not (piece.autocommit or _runs_alone(node, bodies.get(index), procedures)),
        )
        for index, (node, piece) in enumerate(zip(nodes, pieces, strict=True))
    ]
    return Parsed(Script(source.name, source.text, tuple(_segments(statements))), nodes, bodies)


def acknowledges_destruction(source: Source) -> bool:
    """Whether a rollback says that it destroys data on purpose: `-- rollback: destructive acknowledged` on a line."""
    return _ACKNOWLEDGED.search(source.text) is not None


def split(text: str) -> list[str]:
    """The statements of a text, each with the comments before it; the whole text if it cannot be parsed."""
    try:
        return [piece.text for piece in _pieces(text, pglast.parse_sql(text))] or [text]
    except ParseError:
        return [text]


def walk(value: Any) -> Iterator[Any]:
    """Every node of a syntax tree, itself first."""
    left = [value]
    while left:  # no recursion: expressions can be nested deeply
        one = left.pop()
        if isinstance(one, ast.Node):
            yield one
            left += [getattr(one, member) for member in one]
        elif isinstance(one, tuple):
            left += one


def inside(body: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every (name, contents) of a PL/pgSQL tree."""
    if isinstance(body, dict):
        for name, contents in body.items():
            if isinstance(contents, dict):
                yield name, contents
            yield from inside(contents)
    elif isinstance(body, list):
        for item in body:
            yield from inside(item)


# --- reading ---


@dataclass(frozen=True)
class _Piece:
    text: str
    line: int
    autocommit: bool


def _trees(source: Source) -> tuple[Any, ...]:
    text = source.text
    if "\0" in text:
        raise Unreadable(
            "syntax",
            "There is a NUL character in it",
            name=source.name,
            line=_line(text, text.index("\0")),
            remedy="Save it as plain text in UTF-8",
        )
    try:
        trees: tuple[Any, ...] = pglast.parse_sql(text)
    except ParseError as error:
        raise _why_not_sql(source, str(error.args[0]), error.args[1]) from None
    return trees


def _why_not_sql(source: Source, message: str, offset: int | None) -> Unreadable:
    at = min(offset or 0, len(source.text))
    line = _line(source.text, at)
    if _copies_from_stdin(source.text[: source.text.rfind(";", 0, at) + 1]):
        return _copy_from_stdin(source.name, line)
    if source.text[at : at + 1] == "\\":
        return Unreadable(
            "psql-command",
            f"{source.text[at:].split(maxsplit=1)[0]} is a command of psql, not SQL",
            name=source.name,
            line=line,
            remedy="Write plain SQL: \\i becomes its own migration, \\set a value, \\copy a COPY on the server's side",
        )
    if message.endswith('at or near ":"'):
        return Unreadable(
            "psql-command",
            f"{message}: variables such as :name are psql's",
            name=source.name,
            line=line,
            remedy="Write the value itself",
        )
    return Unreadable(
        "syntax", message, name=source.name, line=line, remedy="Correct the statement; nothing of the file was run"
    )


def _copies_from_stdin(text: str) -> bool:
    try:
        trees = pglast.parse_sql(text)
    except ParseError:
        return False
    return bool(trees) and _reads_stdin(trees[-1].stmt)


def _reads_stdin(node: Any) -> bool:
    return isinstance(node, ast.CopyStmt) and bool(node.is_from) and not node.filename and not node.is_program


def _copy_from_stdin(name: str, line: int) -> Unreadable:
    return Unreadable(
        "copy-from-stdin",
        "COPY FROM stdin reads its data from psql, and there is none here",
        name=name,
        line=line,
        remedy="Write INSERT ... VALUES, or load the data by a job of its own",
    )


def _pieces(text: str, trees: tuple[Any, ...]) -> Iterator[_Piece]:
    end, line, counted = 0, 1, 0
    for tree in trees:
        start = tree.stmt_location
        line += text.count("\n", counted, start)
        counted = start
        before = text[end:start].lstrip("; \t\r\n")
        end = start + tree.stmt_len if tree.stmt_len else len(text)
        yield _Piece(before + text[start:end].rstrip("; \t\r\n"), line, _AUTOCOMMIT.search(before) is not None)


def _line(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def _refuse(name: str, node: Any, line: int) -> None:
    if isinstance(node, ast.TransactionStmt):
        raise Unreadable(
            "own-transaction",
            "It drives its own transactions",
            name=name,
            line=line,
            remedy="Remove BEGIN, COMMIT and the like: what can be in a transaction runs in one, all or nothing. "
            f"A statement that must commit by itself gets the line {AUTOCOMMIT} before it; "
            "in Alembic use op.get_context().autocommit_block()",
        )
    if _reads_stdin(node):
        raise _copy_from_stdin(name, line)


def _segments(statements: list[Statement]) -> Iterator[Segment]:
    for transactional, group in groupby(statements, key=lambda statement: statement.transactional):
        if transactional:
            yield Segment(True, tuple(group))
        else:
            yield from (Segment(False, (statement,)) for statement in group)


# --- bodies: parse_sql does not look inside dollar quotes ---


def _body(name: str, node: Any, piece: _Piece) -> Body | None:
    """The PL/pgSQL tree of a DO block or a function; None for anything else."""
    if isinstance(node, ast.DoStmt):
        language, code = _language_and_code(node.args)
        if language != "plpgsql":
            return None
        quoted = code.replace("'", "''")
        return _plpgsql(name, piece, f"CREATE FUNCTION do_block() RETURNS void LANGUAGE plpgsql AS '{quoted}'", code)
    if isinstance(node, ast.CreateFunctionStmt) and node.sql_body is None:
        language, code = _language_and_code(node.options)
        if language == "plpgsql":
            return _plpgsql(name, piece, piece.text, code)
        if language == "sql":
            _check_sql_body(name, piece, code)
    return None


def _language_and_code(options: tuple[Any, ...] | None) -> tuple[str, str]:
    language, code = "plpgsql", ""
    for option in options or ():
        if option.defname == "language":
            language = option.arg.sval.lower()
        elif option.defname == "as":
            code = option.arg.sval if isinstance(option.arg, ast.String) else option.arg[0].sval
    return language, code


def _plpgsql(name: str, piece: _Piece, function: str, code: str) -> Body | None:
    try:
        body: Body = json.loads(parse_plpgsql_json(function))
    except ParseError as error:
        message = str(error.args[0])
        # The parser knows no catalog: a type or a variable that it misses may well be there.
        if not message.startswith(("syntax error", "unterminated", "missing")):
            return None
        raise Unreadable(
            "syntax",
            f"{message} in PL/pgSQL",
            name=name,
            line=_line_in_body(piece, code, message),
            remedy="Correct the body; the server would only have noticed it when running it",
        ) from None
    return body


def _check_sql_body(name: str, piece: _Piece, code: str) -> None:
    try:
        pglast.parse_sql(code)
    except ParseError as error:
        before = piece.text.partition(code)[0]
        line = piece.line + before.lstrip().count("\n") + _line(code, error.args[1] or 0) - 1
        raise Unreadable(
            "syntax",
            f"{error.args[0]} in the body of the function",
            name=name,
            line=line,
            remedy="Correct the body",
        ) from None


def _line_in_body(piece: _Piece, code: str, message: str) -> int:
    """The line of the word that an error names, where it is there once only; else the statement's."""
    found = re.search(r'at or near "([^"]+)"', message)
    places = list(re.finditer(rf"(?<!\w){re.escape(found[1])}(?!\w)", code)) if found else []
    if len(places) != 1 or code not in piece.text:
        return piece.line
    first_word = re.match(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*", piece.text, re.DOTALL)
    skipped = piece.text.count("\n", 0, first_word.end() if first_word else 0)
    return piece.line - skipped + piece.text.count("\n", 0, piece.text.index(code) + places[0].start())


# --- what can be in a transaction ---

_ALONE_REINDEX = {
    ReindexObjectType.REINDEX_OBJECT_SCHEMA,
    ReindexObjectType.REINDEX_OBJECT_SYSTEM,
    ReindexObjectType.REINDEX_OBJECT_DATABASE,
}
_REFRESHES = {
    AlterSubscriptionType.ALTER_SUBSCRIPTION_REFRESH,
    AlterSubscriptionType.ALTER_SUBSCRIPTION_SET_PUBLICATION,
    AlterSubscriptionType.ALTER_SUBSCRIPTION_ADD_PUBLICATION,
    AlterSubscriptionType.ALTER_SUBSCRIPTION_DROP_PUBLICATION,
}
_ALONE = (
    ast.CreatedbStmt,
    ast.DropdbStmt,
    ast.CreateTableSpaceStmt,
    ast.DropTableSpaceStmt,
    ast.AlterSystemStmt,
    ast.DropSubscriptionStmt,
)


def _runs_alone(node: Any, body: Body | None, procedures: Mapping[str, bool]) -> bool:
    """Whether the server refuses it inside a transaction, or might."""
    match node:
        case ast.IndexStmt() | ast.DropStmt():
            return bool(node.concurrent)
        case ast.ReindexStmt():
            return node.kind in _ALONE_REINDEX or _is_on(node.params, "concurrently")
        case ast.VacuumStmt():
            return bool(node.is_vacuumcmd)
        case ast.ClusterStmt():
            return node.relation is None
        case ast.AlterTableStmt():
            return any(detaches_concurrently(command) for command in node.cmds)
        case ast.AlterDatabaseStmt():
            return any(option.defname == "tablespace" for option in node.options or ())
        case ast.CreateSubscriptionStmt():
            return not (_is_off(node.options, "connect") or _is_off(node.options, "create_slot"))
        case ast.AlterSubscriptionStmt():
            return node.kind in _REFRESHES and not _is_off(node.options, "refresh")
        case ast.DoStmt():
            language, code = _language_and_code(node.args)
            return _may_commit(body) if language == "plpgsql" else "commit" in code.lower()
        case ast.CallStmt():
            return procedures.get(_name(node.funccall.funcname), True)
    return isinstance(node, _ALONE)


def detaches_concurrently(command: Any) -> bool:
    """Whether an ALTER TABLE command is DETACH PARTITION ... CONCURRENTLY, or its FINALIZE."""
    if command.subtype == AlterTableType.AT_DetachPartition:
        return bool(command.def_.concurrent)
    return False


def _may_commit(body: Body | None) -> bool:
    """Whether a PL/pgSQL body commits, or calls what may; a body that could not be read might."""
    if body is None:
        return True
    for name, contents in inside(body):
        if name in ("PLpgSQL_stmt_commit", "PLpgSQL_stmt_rollback", "PLpgSQL_stmt_call"):
            return True
        if name == "PLpgSQL_stmt_dynexecute" and re.search(r"\bcall\b", json.dumps(contents), re.IGNORECASE):
            return True
    return False


def _option(options: tuple[Any, ...] | None, name: str) -> str | None:
    for option in options or ():
        if option.defname == name:
            value = option.arg
            return "true" if value is None else str(getattr(value, "sval", getattr(value, "boolval", value))).lower()
    return None


def _is_on(options: tuple[Any, ...] | None, name: str) -> bool:
    return _option(options, name) in ("true", "on", "1", "yes")


def _is_off(options: tuple[Any, ...] | None, name: str) -> bool:
    return _option(options, name) in ("false", "off", "0", "no")


def _name(parts: tuple[Any, ...]) -> str:
    return str(parts[-1].sval)


# --- what a statement is, in SQL's words ---

_KINDS = {
    "CreateStmt": "CREATE TABLE",
    "CreateTableAsStmt": "CREATE TABLE AS",
    "CreateTrigStmt": "CREATE TRIGGER",
    "CreateSeqStmt": "CREATE SEQUENCE",
    "AlterSeqStmt": "ALTER SEQUENCE",
    "CreateEnumStmt": "CREATE TYPE",
    "CompositeTypeStmt": "CREATE TYPE",
    "CreateRangeStmt": "CREATE TYPE",
    "AlterEnumStmt": "ALTER TYPE",
    "ViewStmt": "CREATE VIEW",
    "RuleStmt": "CREATE RULE",
    "CreatedbStmt": "CREATE DATABASE",
    "DropdbStmt": "DROP DATABASE",
    "LockStmt": "LOCK TABLE",
    "RefreshMatViewStmt": "REFRESH MATERIALIZED VIEW",
    "GrantRoleStmt": "GRANT",
    "AlterDefaultPrivilegesStmt": "ALTER DEFAULT PRIVILEGES",
    "VariableSetStmt": "SET",
    "CreatePLangStmt": "CREATE LANGUAGE",
    "CreateStatsStmt": "CREATE STATISTICS",
    "CreateTableSpaceStmt": "CREATE TABLESPACE",
    "DropTableSpaceStmt": "DROP TABLESPACE",
}
_OBJECTS = {
    ObjectType.OBJECT_MATVIEW: "MATERIALIZED VIEW",
    ObjectType.OBJECT_STATISTIC_EXT: "STATISTICS",
    ObjectType.OBJECT_FDW: "FOREIGN DATA WRAPPER",
    ObjectType.OBJECT_FOREIGN_SERVER: "SERVER",
    ObjectType.OBJECT_TABCONSTRAINT: "TABLE",
    ObjectType.OBJECT_COLUMN: "TABLE",
    ObjectType.OBJECT_ATTRIBUTE: "TYPE",
    ObjectType.OBJECT_DOMCONSTRAINT: "DOMAIN",
    ObjectType.OBJECT_TSCONFIGURATION: "TEXT SEARCH CONFIGURATION",
    ObjectType.OBJECT_TSDICTIONARY: "TEXT SEARCH DICTIONARY",
    ObjectType.OBJECT_TSPARSER: "TEXT SEARCH PARSER",
    ObjectType.OBJECT_TSTEMPLATE: "TEXT SEARCH TEMPLATE",
}


def _object(kind: ObjectType) -> str:
    return _OBJECTS.get(kind) or kind.name.removeprefix("OBJECT_").replace("_", " ")


def kind_of(node: Any) -> str:
    """What a statement is, such as "ALTER TABLE" or "CREATE INDEX CONCURRENTLY"."""
    match node:
        case ast.IndexStmt():
            return "CREATE INDEX CONCURRENTLY" if node.concurrent else "CREATE INDEX"
        case ast.DropStmt():
            return f"DROP {_object(node.removeType)}" + (" CONCURRENTLY" if node.concurrent else "")
        case ast.AlterTableStmt():
            return f"ALTER {_object(node.objtype)}"
        case ast.RenameStmt():
            on_column = node.renameType in (ObjectType.OBJECT_COLUMN, ObjectType.OBJECT_TABCONSTRAINT)
            return f"ALTER {_object(node.relationType if on_column else node.renameType)}"
        case ast.AlterObjectSchemaStmt() | ast.AlterOwnerStmt():
            return f"ALTER {_object(node.objectType)}"
        case ast.DefineStmt():
            return f"CREATE {_object(node.kind)}"
        case ast.CreateTableAsStmt() if node.objtype == ObjectType.OBJECT_MATVIEW:
            return "CREATE MATERIALIZED VIEW"
        case ast.CreateFunctionStmt():
            return "CREATE PROCEDURE" if node.is_procedure else "CREATE FUNCTION"
        case ast.ReindexStmt():
            return "REINDEX CONCURRENTLY" if _is_on(node.params, "concurrently") else "REINDEX"
        case ast.VacuumStmt():
            if not node.is_vacuumcmd:
                return "ANALYZE"
            return "VACUUM FULL" if _is_on(node.options, "full") else "VACUUM"
        case ast.GrantStmt() | ast.GrantRoleStmt():
            return "GRANT" if node.is_grant else "REVOKE"
    name = type(node).__name__
    if name in _KINDS:
        return _KINDS[name]
    words = re.findall(r"[A-Z][a-z]+|[A-Z]+(?![a-z])", name.removesuffix("Stmt"))
    return " ".join(words).upper() or name.upper()
