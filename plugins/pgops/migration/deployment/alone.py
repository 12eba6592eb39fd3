"""Statements that cannot run in a transaction: what they leave behind when they are cut off, and how that is mended.

CREATE INDEX CONCURRENTLY that fails or is killed leaves an invalid index, which every write pays for and no query uses.
IF NOT EXISTS takes it for the index that was wanted. So the index is looked for by its name, before and after.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pglast
from pglast import ast
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from pgops.errors import Refused
from pgops.include import query, sql_text
from pgops.migration.deployment.lockwatch import Blocker, blocker
from pgops.migration.model import Script, Statement

log = logging.getLogger(__name__)

_OLD_SNAPSHOT_SECONDS = 5

# What the server runs in no transaction, or what drives its own. Any other statement is one transaction by itself.
_ALONE = (
    ast.VacuumStmt, ast.ClusterStmt, ast.ReindexStmt, ast.AlterSystemStmt, ast.CheckPointStmt, ast.DiscardStmt,
    ast.DoStmt, ast.CallStmt, ast.CreatedbStmt, ast.DropdbStmt, ast.AlterDatabaseStmt, ast.CreateTableSpaceStmt,
    ast.DropTableSpaceStmt, ast.CreateSubscriptionStmt, ast.AlterSubscriptionStmt, ast.DropSubscriptionStmt,
)  # fmt: skip
# Of those, what leaves nothing half done that running it again would not mend.
_REPEATABLE = (ast.VacuumStmt, ast.ClusterStmt, ast.ReindexStmt, ast.AlterSystemStmt, ast.CheckPointStmt)


@dataclass(frozen=True)
class Alone:
    """A statement that runs alone. This one is not known: if it was cut off, only a person can say how far it came.

    Attributes:
        patient: it may wait long for its locks: because nobody queues behind it (SHARE UPDATE EXCLUSIVE and weaker), or
            because it commits by itself and cannot be tried again from its beginning.
        repeatable: running it again after it was cut off does no harm.
    """

    patient: bool = False
    repeatable: bool = False

    @property
    def waits_for_snapshots(self) -> bool:
        """Whether old transactions keep it waiting, also those on other tables: all that is CONCURRENTLY."""
        return self.patient and self.repeatable

    def done(self, connection: Connection) -> bool:
        """Whether its effect is there; asked when it was begun and nobody knows how it ended."""
        return False

    def holds(self, connection: Connection) -> bool:
        """Whether its effect is there after the server has said so."""
        return True

    def leftovers(self, connection: Connection) -> list[tuple[str, str]]:
        """Invalid indexes, schema and name, that it or one before it left."""
        return []

    def finish(self, connection: Connection) -> bool:
        """End what was cut off, where the server has a way to go on with it; True if that was done."""
        return False


@dataclass(frozen=True)
class _CreateIndex(Alone):
    table: str = ""
    index: str = ""

    def done(self, connection: Connection) -> bool:
        found = self._find(connection)
        return found is not None and bool(found["valid"] and found["of_table"])

    holds = done

    def leftovers(self, connection: Connection) -> list[tuple[str, str]]:
        found = self._find(connection)
        if found is None or found["valid"]:
            return []
        if found["builder"]:
            raise Refused(
                f"Session {found['builder']} is building index {found['schema']}.{found['name']} right now",
                where=f"{connection.info.host}:{connection.info.port}/{connection.info.dbname}",
                remedy="Wait until it has ended, then run this again",
                retry=True,
            )
        return [(found["schema"], found["name"])]

    def _find(self, connection: Connection) -> dict[str, Any] | None:
        rows = _rows(connection, "migration/deploy/index.sql", index=self.index, table=self.table)
        return rows[0] if rows else None


@dataclass(frozen=True)
class _DropIndex(Alone):
    names: tuple[str, ...] = ()

    def done(self, connection: Connection) -> bool:
        found = (_rows(connection, "migration/deploy/relation_exists.sql", relation=name) for name in self.names)
        return not any(next(iter(rows[0].values())) for rows in found)

    holds = done


@dataclass(frozen=True)
class _Reindex(Alone):
    relation: str = ""

    def leftovers(self, connection: Connection) -> list[tuple[str, str]]:
        if not self.relation:  # of a whole schema or database
            return []
        rows = _rows(connection, "migration/deploy/leftovers.sql", relation=self.relation)
        return [(row["schema"], row["name"]) for row in rows]

    def holds(self, connection: Connection) -> bool:
        return not self.leftovers(connection)


@dataclass(frozen=True)
class _Detach(Alone):
    parent: tuple[str, ...] = ()
    partition: tuple[str, ...] = ()

    def _pending(self, connection: Connection) -> bool | None:
        rows = _rows(connection, "migration/deploy/detaching.sql", partition=_quoted(self.partition))
        return bool(rows[0]["inhdetachpending"]) if rows else None

    def done(self, connection: Connection) -> bool:
        return self._pending(connection) is None

    holds = done

    def finish(self, connection: Connection) -> bool:
        if not self._pending(connection):
            return False
        with connection.cursor() as cursor:
            names = {"parent": sql.Identifier(*self.parent), "partition": sql.Identifier(*self.partition)}
            cursor.execute(query("migration/deploy/finish_detach.sql", **names))
        return True


def alone(statement: Statement) -> Alone | None:
    """What is known about a statement that runs alone; None when it can do so in a transaction of its own."""
    node = _node(statement)
    match node:
        case ast.IndexStmt(concurrent=True):
            return _CreateIndex(True, True, table=_name(node.relation), index=node.idxname or "")
        case ast.DropStmt(concurrent=True):
            names = tuple(_quoted(part.sval for part in one) for one in node.objects or ())
            return _DropIndex(True, True, names=names)
        case ast.ReindexStmt() if _concurrently(node):
            return _Reindex(True, True, relation=_name(node.relation) if node.relation else "")
        case ast.AlterTableStmt(cmds=(ast.AlterTableCmd(def_=ast.PartitionCmd(concurrent=True) as part),)):
            return _Detach(True, True, _parts(node.relation), _parts(part.name))
    if not isinstance(node, _ALONE):
        return None
    return Alone(patient=isinstance(node, ast.DoStmt | ast.CallStmt), repeatable=isinstance(node, _REPEATABLE))


def refuse_nameless(script: Script) -> None:
    """Refuse an index without a name: after a failure nobody could tell which one it left.

    Raises:
        Refused: with the line.
    """
    for segment in script.segments:
        if segment.transactional:
            continue
        care = alone(segment.statements[0])
        if isinstance(care, _CreateIndex) and not care.index:
            raise Refused(
                "CREATE INDEX CONCURRENTLY without a name: if it fails, its invalid index cannot be told from others",
                where=f"{script.name}:{segment.statements[0].line}",
                remedy="Name the index",
            )


def drop_leftovers(connection: Connection, care: Alone) -> list[str]:
    """Drop invalid indexes that are in a statement's way; their names."""
    dropped = []
    for schema, name in care.leftovers(connection):
        log.warning("dropping the invalid index %s.%s, which an interrupted statement left", schema, name)
        with connection.cursor() as cursor:
            cursor.execute(query("migration/deploy/drop_index.sql", index=sql.Identifier(schema, name)))
        dropped.append(f"{schema}.{name}")
    return dropped


def session_settings(script: Script, segments: int) -> list[Statement]:
    """Statements of the first `segments` segments that only change the session: a run that goes on needs them again."""
    earlier = (statement for segment in script.segments[:segments] for statement in segment.statements)
    return [statement for statement in earlier if _sets_session(_node(statement))]


def _sets_session(node: Any) -> bool:
    match node:
        case ast.VariableSetStmt():
            return not node.is_local and not (node.name or "").startswith("TRANSACTION")
        case ast.SelectStmt(fromClause=None, targetList=tuple() as targets) if targets:
            calls = [target.val for target in targets]
            return all(isinstance(call, ast.FuncCall) and _function(call) == "set_config" for call in calls)
    return False


def _function(call: Any) -> str:
    return str(call.funcname[-1].sval)


def _node(statement: Statement) -> Any:
    parsed: Sequence[Any] = pglast.parse_sql(statement.text)
    return parsed[0].stmt


def _concurrently(node: Any) -> bool:
    return any(option.defname == "concurrently" for option in node.params or ())


def _parts(relation: Any) -> tuple[str, ...]:
    return tuple(part for part in (relation.schemaname, relation.relname) if part)


def _name(relation: Any) -> str:
    """A relation as to_regclass reads it."""
    return _quoted(_parts(relation))


def _quoted(parts: Iterable[str]) -> str:
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def _rows(connection: Connection, name: str, **values: Any) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(sql_text(name), values)
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def left_behind(connection: Connection, care: Alone) -> str:
    """The invalid indexes that a statement left, in words; empty where there are none."""
    names = [f"{schema}.{name}" for schema, name in care.leftovers(connection)]
    if not names:
        return ""
    return f"It left the invalid index {', '.join(names)}: every write pays for it and no query uses it"


def old_snapshots(connection: Connection, own_pid: int) -> list[Blocker]:
    """The sessions that whatever is CONCURRENTLY will have to wait for."""
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        values = {"own": [own_pid], "seconds": _OLD_SNAPSHOT_SECONDS}
        cursor.execute(sql_text("migration/deploy/old_snapshots.sql"), values)
        return [blocker(dict(row)) for row in cursor.fetchall()]
