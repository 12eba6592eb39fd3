"""What a rollback destroys, counted under lock in its own transaction: the last moment at which it can be stopped."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pglast
from pglast import ast
from pglast.enums import AlterTableType, DropBehavior, ObjectType, OnConflictAction
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from pgops.errors import PgOpsError
from pgops.include import query, sql_text
from pgops.migration.model import Script, Statement
from pgops.migration.scripts.statements import walk

log = logging.getLogger(__name__)


class Guard(Protocol):
    """Raises when a rollback must not go on."""

    def __call__(self, connection: Connection, statement: Statement | None = None) -> None:
        """Look: at the beginning of a transaction, and before each statement: names may mean something else then."""


@dataclass(frozen=True)
class Loss:
    """Something that a rollback takes away: a table, one column of it, or a schema with all its tables.

    `relation` is as the file writes it (quoted, with or without a schema), or a schema's bare name for kind "schema".
    """

    relation: str
    column: str | None = None
    schema: bool = False


@dataclass(frozen=True)
class CountedLoss:
    """How much that is: rows of a table, or values of a column that nobody could make again."""

    what: str
    count: int

    def __str__(self) -> str:
        return f"{self.count} {'values' if self.what.startswith('column ') else 'rows'} of {self.what}"


class DestroysData(PgOpsError):
    """The rollback would destroy data and nobody has said that it may; its transaction was rolled back."""

    def __init__(self, losses: Sequence[str], where: str) -> None:
        super().__init__(
            f"The rollback would destroy {', '.join(losses)}",
            where=where,
            remedy="Save them first, or write '-- rollback: destructive acknowledged' into the rollback and validate "
            "it again; or mend forward with a new version",
        )
        self.losses = tuple(losses)


def dropped_by(script: Script) -> tuple[Loss, ...]:
    """The columns, tables and schemas that a script drops or truncates."""
    found = (loss for statement in script.statements for loss in _losses(_node(statement.text)))
    return tuple(dict.fromkeys(found))


def uncounted_in(script: Script) -> tuple[str, ...]:
    """Statements of a rollback that may destroy what nobody can count beforehand."""
    return tuple(
        f"what line {statement.line} ({statement.kind}) changes"
        for statement in script.statements
        if _cannot_be_counted(_node(statement.text))
    )


def count_losses(connection: Connection, losses: Sequence[Loss], known: Collection[str] = ()) -> list[CountedLoss]:
    """Count what is there to lose, under locks that keep writers away until the transaction ends; reads go on.

    Call it inside the transaction that destroys. What is gone already counts nothing and is left out, and so is what
    `known` names: it was counted in this transaction.
    """
    counted = []
    for loss in _tables(connection, losses):
        target = _target(connection, loss)
        if target is None:
            continue
        name = f"table {target['schema']}.{target['table']}"
        if loss.column is not None:
            name = f"column {target['schema']}.{target['table']}.{loss.column}"
        if target["generated"] or name in known:
            continue
        table = sql.Identifier(target["schema"], target["table"])
        with connection.cursor() as cursor:
            cursor.execute(query("migration/deploy/lock_for_count.sql", table=table))
            cursor.execute("SET LOCAL row_security = off")  # rows that a policy hides are lost too
            if loss.column is None:
                cursor.execute(query("migration/deploy/count_rows.sql", table=table))
            else:
                # As the server prints a constant of its own catalog; it was asked for constants only.
                constant = sql.SQL(target["constant"] or "NULL")
                column = sql.Identifier(loss.column)
                cursor.execute(
                    query("migration/deploy/count_values.sql", table=table, column=column, constant=constant)
                )
            row = cursor.fetchone()
            cursor.execute("SET LOCAL row_security = DEFAULT")
        assert row is not None
        counted.append(CountedLoss(name, int(row[0])))
    return counted


def destruction_guard(script: Script, *, acknowledged: bool, where: str) -> Guard:
    """A guard for the automatic rollback: counts what the script destroys and stops it unless that was acknowledged.

    Args:
        script: the rollback.
        acknowledged: whether its file says that it may destroy data.
        where: the database, for errors.
    """
    losses, uncounted = dropped_by(script), uncounted_in(script)
    made = _made_before(script)
    counted: set[str] = set()

    def guard(connection: Connection, statement: Statement | None = None) -> None:
        if statement is None:
            counted.clear()
            results, found = count_losses(connection, losses), list(uncounted)
        else:  # it may have renamed the table or the search_path since: what is known by its name is counted already
            wanted = [one for one in _losses(_node(statement.text)) if one.relation not in made[statement]]
            results, found = count_losses(connection, wanted, known=counted), []
        counted.update(one.what for one in results)
        found = [str(loss) for loss in results if loss.count] + found
        if found and not acknowledged:
            raise DestroysData(found, where)
        for loss in found:
            log.warning("the rollback destroys %s, as was acknowledged", loss)

    return guard


def _tables(connection: Connection, losses: Sequence[Loss]) -> Iterator[Loss]:
    for loss in losses:
        if not loss.schema:
            yield loss
            continue
        with connection.cursor() as cursor:
            cursor.execute(sql_text("migration/deploy/tables_in_schema.sql"), {"schema": loss.relation})
            yield from [Loss(name) for (name,) in cursor.fetchall()]
            # A type takes the columns that are of it along, wherever their tables are.
            cursor.execute(sql_text("migration/deploy/columns_of_schema_types.sql"), {"schema": loss.relation})
            yield from [Loss(name, column) for name, column in cursor.fetchall()]


def _target(connection: Connection, loss: Loss) -> dict[str, Any] | None:
    with connection.cursor() as cursor:
        values = {"relation": loss.relation, "column": loss.column}
        cursor.execute(sql_text("migration/deploy/loss_target.sql"), values)
        row = cursor.fetchone()
        names = [column.name for column in cursor.description or ()]
    return dict(zip(names, row, strict=True)) if row else None


def _made_before(script: Script) -> dict[Statement, frozenset[str]]:
    """Before each statement, the names of tables that the script itself has made: nothing of before is in them."""
    made: frozenset[str] = frozenset()
    found: dict[Statement, frozenset[str]] = {}
    for statement in script.statements:
        found.setdefault(statement, made)
        match _node(statement.text):
            case ast.CreateStmt(relation=relation, if_not_exists=False):
                made |= {_relation(relation)}
            case ast.CreateTableAsStmt(into=into, if_not_exists=False):
                made |= {_relation(into.rel)}
            case ast.RenameStmt() | ast.AlterObjectSchemaStmt() | ast.VariableSetStmt():
                made = frozenset()  # the names may mean something else now
    return found


def _node(text: str) -> Any:
    return pglast.parse_sql(text)[0].stmt


def _losses(node: Any) -> Iterator[Loss]:
    match node:
        case ast.AlterTableStmt() if node.objtype != ObjectType.OBJECT_TYPE:
            for command in node.cmds or ():
                if command.subtype == AlterTableType.AT_DropColumn:
                    yield Loss(_relation(node.relation), command.name)
        case ast.DropStmt(removeType=ObjectType.OBJECT_TABLE):
            yield from (Loss(_quoted([part.sval for part in name])) for name in node.objects or ())
        case ast.DropStmt(removeType=ObjectType.OBJECT_SCHEMA):
            yield from (Loss(name.sval, schema=True) for name in node.objects or ())
        case ast.TruncateStmt():
            yield from (Loss(_relation(relation)) for relation in node.relations or ())


# What is defined in these runs later, if ever.
_DEFINITIONS = (ast.CreateFunctionStmt, ast.RuleStmt)


def _cannot_be_counted(node: Any) -> bool:
    match node:
        case ast.DoStmt() | ast.CallStmt() | ast.DropOwnedStmt():
            return True
        case ast.AlterTableStmt():
            risky = {AlterTableType.AT_AlterColumnType}
            if node.objtype == ObjectType.OBJECT_TYPE:  # an attribute of a composite type, in whatever columns
                risky.add(AlterTableType.AT_DropColumn)
            return any(command.subtype in risky for command in node.cmds or ())
        case ast.DropStmt(behavior=DropBehavior.DROP_CASCADE):
            return node.removeType in (ObjectType.OBJECT_TYPE, ObjectType.OBJECT_DOMAIN, ObjectType.OBJECT_EXTENSION)
    return not isinstance(node, _DEFINITIONS) and any(_changes_rows(one) for one in walk(node))


def _changes_rows(node: Any) -> bool:
    """Whether it changes rows that are there, at the top or in a WITH."""
    if isinstance(node, ast.OnConflictClause):
        return bool(node.action == OnConflictAction.ONCONFLICT_UPDATE)
    return isinstance(node, ast.DeleteStmt | ast.UpdateStmt | ast.MergeStmt)


def _relation(relation: Any) -> str:
    return _quoted([part for part in (relation.schemaname, relation.relname) if part])


def _quoted(parts: Sequence[str]) -> str:
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)
