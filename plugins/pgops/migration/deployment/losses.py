"""What a rollback destroys, counted under lock in its own transaction: the last moment at which it can be stopped."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pglast
from pglast import ast
from pglast.enums import AlterTableType, DropBehavior, ObjectType
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from pgops.errors import PgOpsError
from pgops.include import query, sql_text
from pgops.migration.model import Script

log = logging.getLogger(__name__)

Guard = Callable[[Connection], None]


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


def count_losses(connection: Connection, losses: Sequence[Loss]) -> list[CountedLoss]:
    """Count what is there to lose, under locks that keep writers away until the transaction ends; reads go on.

    Call it inside the transaction that destroys. What is gone already counts nothing and is left out.
    """
    counted = []
    for loss in _tables(connection, losses):
        target = _target(connection, loss)
        if target is None:
            continue
        if target["generated"]:
            continue
        table = sql.Identifier(target["schema"], target["table"])
        with connection.cursor() as cursor:
            cursor.execute(query("migration/deploy/lock_for_count.sql", table=table))
            cursor.execute("SET LOCAL row_security = off")  # rows that a policy hides are lost too
            if loss.column is None:
                cursor.execute(query("migration/deploy/count_rows.sql", table=table))
                name = f"table {target['schema']}.{target['table']}"
            else:
                # As the server prints a constant of its own catalog; it was asked for constants only.
                constant = sql.SQL(target["constant"] or "NULL")
                column = sql.Identifier(loss.column)
                cursor.execute(
                    query("migration/deploy/count_values.sql", table=table, column=column, constant=constant)
                )
                name = f"column {target['schema']}.{target['table']}.{loss.column}"
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

    def guard(connection: Connection) -> None:
        found = [str(loss) for loss in count_losses(connection, losses) if loss.count]
        found += uncounted
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


def _target(connection: Connection, loss: Loss) -> dict[str, Any] | None:
    with connection.cursor() as cursor:
        values = {"relation": loss.relation, "column": loss.column}
        cursor.execute(sql_text("migration/deploy/loss_target.sql"), values)
        row = cursor.fetchone()
        names = [column.name for column in cursor.description or ()]
    return dict(zip(names, row, strict=True)) if row else None


def _node(text: str) -> Any:
    return pglast.parse_sql(text)[0].stmt


def _losses(node: Any) -> Iterator[Loss]:
    match node:
        case ast.AlterTableStmt():
            for command in node.cmds or ():
                if command.subtype == AlterTableType.AT_DropColumn:
                    yield Loss(_relation(node.relation), command.name)
        case ast.DropStmt(removeType=ObjectType.OBJECT_TABLE):
            yield from (Loss(_quoted([part.sval for part in name])) for name in node.objects or ())
        case ast.DropStmt(removeType=ObjectType.OBJECT_SCHEMA):
            yield from (Loss(name.sval, schema=True) for name in node.objects or ())
        case ast.TruncateStmt():
            yield from (Loss(_relation(relation)) for relation in node.relations or ())


def _cannot_be_counted(node: Any) -> bool:
    match node:
        case ast.DeleteStmt() | ast.UpdateStmt() | ast.MergeStmt() | ast.DoStmt() | ast.CallStmt():
            return True
        case ast.AlterTableStmt():
            return any(command.subtype == AlterTableType.AT_AlterColumnType for command in node.cmds or ())
        case ast.DropStmt(behavior=DropBehavior.DROP_CASCADE):
            return node.removeType in (ObjectType.OBJECT_TYPE, ObjectType.OBJECT_DOMAIN, ObjectType.OBJECT_EXTENSION)
    return False


def _relation(relation: Any) -> str:
    return _quoted([part for part in (relation.schemaname, relation.relname) if part])


def _quoted(parts: Sequence[str]) -> str:
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)
