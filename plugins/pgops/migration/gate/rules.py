"""What this project asks of a script beyond what squawk knows: one function a rule.

A rule sees one script and no database. What only the data can tell (how long a lock is held, how many rows a cascade
reaches, whether a rollback leaves something behind) is measured on a copy instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pglast
from pglast import ast
from pglast.enums import (
    AlterTableType,
    BoolExprType,
    ConstrType,
    DropBehavior,
    NullTestType,
    ObjectType,
    VariableSetKind,
)
from pglast.parser import ParseError

from pgops.migration.model import Direction, Level, Segment
from pgops.migration.scripts.statements import Body, Parsed, inside, kind_of, walk

# What breaks, loses data or blocks the application is an error; the rest is advice.
LEVELS: dict[str, Level] = {
    "missing-rollback": "error",
    "destructive-rollback": "error",
    "update-without-where": "error",
    "delete-without-where": "error",
    "truncate": "error",
    "drop-cascade": "error",
    "lock-table": "error",
    "cluster": "error",
    "vacuum-full": "error",
    "refresh-not-concurrently": "error",
    "attach-without-check": "error",
    "concurrently-if-not-exists": "error",
    "backfill-under-lock": "error",
    "not-null-before-backfill": "error",
    "enum-value-used": "error",
    "row-by-row-loop": "error",
    "quadratic-backfill": "error",
    "unindexed-foreign-key": "error",
    "duplicate-index": "error",
    "outside-the-database": "error",
    "server-files": "error",
    "prefix-index": "warning",
    "several-exclusive-locks": "warning",
    "cascade-delete": "warning",
    "foreign-key-locks-parent": "warning",
    "trigger-on-existing-table": "warning",
    "session-setting": "warning",
    # Of the gate itself.
    "unread-by-squawk": "warning",
    "unused-allow": "warning",
}

_CHANGES = (ast.InsertStmt, ast.UpdateStmt, ast.DeleteStmt)
Table = tuple[str, str]
Columns = tuple[str, ...]


@dataclass(frozen=True)
class Hit:
    """A rule that a script breaks, and at which line."""

    rule: str
    line: int
    message: str
    remedy: str


@dataclass(frozen=True)
class _Index:
    table: Table
    columns: Columns
    unique: bool
    worth: int
    line: int
    label: str


@dataclass(frozen=True)
class _ForeignKey:
    table: Table
    columns: Columns
    parent: Table
    cascades: bool
    line: int
    in_create: bool
    new_column: bool


class Look:
    """A script as the rules see it; a rollback also knows which tables were made by what it takes back."""

    def __init__(self, parsed: Parsed, made_before: frozenset[Table] = frozenset()) -> None:
        self.nodes = parsed.nodes
        self.statements = parsed.script.statements
        self._segments = parsed.script.segments
        self._bodies = parsed.bodies
        self._made_before = made_before

    def __iter__(self) -> Iterator[tuple[Any, int]]:
        """Every statement's syntax tree, and its line."""
        for node, statement in zip(self.nodes, self.statements, strict=True):
            yield node, statement.line

    @cached_property
    def created(self) -> frozenset[Table]:
        """Tables that the script creates itself: nobody uses them yet."""
        made = [node.relation for node in self.nodes if isinstance(node, ast.CreateStmt)]
        made += [node.into.rel for node in self.nodes if isinstance(node, ast.CreateTableAsStmt)]
        return self._made_before | {_table(relation) for relation in made}

    @cached_property
    def indexes(self) -> list[_Index]:
        """The B-tree indexes on plain columns, those of constraints included."""
        return list(_indexes(self))

    @cached_property
    def foreign_keys(self) -> list[_ForeignKey]:
        """The foreign keys that the script makes."""
        return list(_foreign_keys(self))

    def existed(self, relation: Any) -> bool:
        """Whether a table was there before the script."""
        return relation is not None and relation.relpersistence != "t" and _table(relation) not in self.created

    def transactions(self) -> Iterator[list[tuple[int, Any, int]]]:
        """The (position, tree, line) of the statements of each transaction."""
        position = 0
        for segment in self._segments:
            if segment.transactional:
                yield [
                    (position + offset, self.nodes[position + offset], statement.line)
                    for offset, statement in enumerate(segment.statements)
                ]
            position += _length(segment)

    def block(self, position: int) -> Body | None:
        """The PL/pgSQL of a DO block; not of a function, which a migration only creates."""
        return self._bodies.get(position) if isinstance(self.nodes[position], ast.DoStmt) else None

    def changes(self, position: int) -> list[Any]:
        """The INSERT, UPDATE and DELETE that a statement runs, those inside a DO block included."""
        node = self.nodes[position]
        if isinstance(node, (*_CHANGES, ast.SelectStmt)):
            return _changes_of(node)
        body = self.block(position)
        return [] if body is None else _changes_in(body)


Rule = Callable[[Look], Iterator[Hit]]


def hits(parsed: Parsed, direction: Direction, up: Parsed | None = None) -> list[Hit]:
    """What the rules find in one direction of a migration; `up` is what a rollback takes back."""
    look = Look(parsed, Look(up).created if up else frozenset())
    rules: Sequence[Rule] = BOTH + (ONLY_APPLY if direction == "apply" else ())
    return list(dict.fromkeys(hit for rule in rules for hit in rule(look)))


def destructive_statements(parsed: Parsed) -> list[tuple[str, int]]:
    """What a rollback throws away: ("table x", line)."""
    look = Look(parsed)
    found: list[tuple[str, int]] = []
    for node, line in look:
        match node:
            case ast.DropStmt() if node.removeType in (ObjectType.OBJECT_TABLE, ObjectType.OBJECT_FOREIGN_TABLE):
                found += [(f"table {_dotted(name)}", line) for name in node.objects]
            case ast.DropStmt() if node.removeType == ObjectType.OBJECT_SCHEMA:
                found += [(f"schema {name.sval}", line) for name in node.objects]
            case ast.TruncateStmt():
                found += [(f"all rows of {one.relname}", line) for one in node.relations if look.existed(one)]
            case ast.AlterTableStmt():
                found += [
                    (f"column {node.relation.relname}.{command.name}", line)
                    for command in node.cmds
                    if command.subtype == AlterTableType.AT_DropColumn
                ]
    return found


# --- changes of rows ---


def _without_where(look: Look) -> Iterator[Hit]:
    for position, (_, line) in enumerate(look):
        for change in look.changes(position):
            if isinstance(change, ast.InsertStmt) or change.whereClause or not look.existed(change.relation):
                continue
            verb, name = ("UPDATE", "update") if isinstance(change, ast.UpdateStmt) else ("DELETE", "delete")
            yield Hit(
                f"{name}-without-where",
                line,
                f"{verb} of all rows of {change.relation.relname}: one long transaction that locks every row, "
                "writes the table anew and keeps vacuum waiting",
                "Say which rows with WHERE; change many rows in batches with batched_backfill",
            )


def _backfill_under_lock(look: Look) -> Iterator[Hit]:
    for transaction in look.transactions():
        locked: dict[Table, int] = {}
        for position, node, line in transaction:
            slow = [change for change in look.changes(position) if _reads_rows(change)]
            if slow and locked:
                table, since = next(iter(locked.items()))
                yield Hit(
                    "backfill-under-lock",
                    line,
                    f"Rows are changed while the same transaction holds {_shown(table)} locked against everybody, "
                    f"since line {since}",
                    "Change the rows in a migration of its own, before or after (batched_backfill)",
                )
                break
            for table in _locked_exclusively(node):
                if table not in look.created:
                    locked.setdefault(table, line)


def _not_null_before_backfill(look: Look) -> Iterator[Hit]:
    required: dict[tuple[Table, str], int] = {}
    for position, (node, line) in enumerate(look):
        for change in look.changes(position):
            if isinstance(change, ast.UpdateStmt):
                for target in change.targetList or ():
                    since = required.pop((_table(change.relation), getattr(target, "name", "") or ""), None)
                    if since is not None:
                        yield Hit(
                            "not-null-before-backfill",
                            since,
                            f"{change.relation.relname}.{target.name} must not be null before its rows are filled "
                            f"(line {line}): every UPDATE by the application of a row not yet filled fails",
                            "Fill the rows first, then ADD CONSTRAINT ... CHECK ... NOT VALID, VALIDATE, SET NOT NULL",
                        )
        if isinstance(node, ast.AlterTableStmt) and look.existed(node.relation):
            for column in _made_not_null(node):
                required.setdefault((_table(node.relation), column), line)


def _loops(look: Look) -> Iterator[Hit]:
    for position, (_, line) in enumerate(look):
        for name, loop in inside(look.block(position)):
            if name in ("PLpgSQL_stmt_fors", "PLpgSQL_stmt_dynfors", "PLpgSQL_stmt_forc"):
                if _changes_in(loop.get("body")):
                    yield Hit(
                        "row-by-row-loop",
                        line,
                        "A loop changes one row after the other, in one transaction",
                        "Write one statement for all of them, or use batched_backfill",
                    )
            elif name in ("PLpgSQL_stmt_loop", "PLpgSQL_stmt_while") and any(
                _picks_by_limit(change) for change in _changes_in(loop.get("body"))
            ):
                yield Hit(
                    "quadratic-backfill",
                    line,
                    "Every batch searches the table from its start for rows that are left: the time grows with the "
                    "square of the rows",
                    "Walk along the primary key, as batched_backfill does",
                )


def _picks_by_limit(change: Any) -> bool:
    if isinstance(change, ast.InsertStmt):
        return False
    return any(isinstance(one, ast.SelectStmt) and one.limitCount is not None for one in walk(change.whereClause))


def _truncate(look: Look) -> Iterator[Hit]:
    for node, line in look:
        if isinstance(node, ast.TruncateStmt):
            for relation in node.relations:
                if look.existed(relation):
                    yield Hit(
                        "truncate",
                        line,
                        f"TRUNCATE throws away all rows of {relation.relname} and locks it against everybody",
                        "DELETE ... WHERE in batches; if it is meant, allow it in the file",
                    )


# --- locks ---


def _whole_table_commands(look: Look) -> Iterator[Hit]:
    for node, line in look:
        match node:
            case ast.LockStmt():
                yield Hit(
                    "lock-table",
                    line,
                    f"LOCK TABLE {node.relations[0].relname} keeps others out until the transaction ends",
                    "Remove it: every statement takes the lock that it needs",
                )
            case ast.ClusterStmt():
                yield Hit(
                    "cluster",
                    line,
                    "CLUSTER writes the table anew while nobody can use it",
                    "Use pg_repack outside of migrations",
                )
            case ast.VacuumStmt() if kind_of(node) == "VACUUM FULL":
                yield Hit(
                    "vacuum-full",
                    line,
                    "VACUUM FULL writes the table anew while nobody can use it",
                    "Use plain VACUUM, or pg_repack outside of migrations",
                )
            case ast.RefreshMatViewStmt() if not node.concurrent and not node.skipData and look.existed(node.relation):
                yield Hit(
                    "refresh-not-concurrently",
                    line,
                    f"Nobody can read {node.relation.relname} while it is refreshed",
                    "REFRESH MATERIALIZED VIEW CONCURRENTLY (it needs a unique index)",
                )
            case ast.CreateTrigStmt() if look.existed(node.relation):
                yield Hit(
                    "trigger-on-existing-table",
                    line,
                    f"CREATE TRIGGER blocks writes of {node.relation.relname} until the transaction ends",
                    "Put it into a migration of its own, or last",
                )


def _several_exclusive_locks(look: Look) -> Iterator[Hit]:
    for transaction in look.transactions():
        tables: dict[Table, int] = {}
        for _, node, line in transaction:
            for table in _locked_exclusively(node):
                if table not in look.created:
                    tables.setdefault(table, line)
        if len(tables) > 1:
            yield Hit(
                "several-exclusive-locks",
                list(tables.values())[1],
                f"One transaction locks {', '.join(map(_shown, tables))} against everybody: "
                "the first stays locked while it waits for the next, and may deadlock with the application",
                "One table a migration",
            )


def _attach_without_check(look: Look) -> Iterator[Hit]:
    checked: set[Table] = set()
    for node, line in look:
        if not isinstance(node, ast.AlterTableStmt) or node.objtype == ObjectType.OBJECT_INDEX:
            continue
        for command in node.cmds:
            if command.subtype == AlterTableType.AT_AddConstraint and command.def_.contype == ConstrType.CONSTR_CHECK:
                checked.add(_table(node.relation))
            if command.subtype != AlterTableType.AT_AttachPartition:
                continue
            child = command.def_.name
            if look.existed(child) and _table(child) not in checked:
                yield Hit(
                    "attach-without-check",
                    line,
                    f"ATTACH PARTITION reads all of {child.relname}, locked against everybody, to see whether it fits",
                    "First give it a CHECK with the partition's bounds: ADD ... NOT VALID, then VALIDATE CONSTRAINT",
                )


def _concurrently_if_not_exists(look: Look) -> Iterator[Hit]:
    for node, line in look:
        if isinstance(node, ast.IndexStmt) and node.concurrent and node.if_not_exists:
            yield Hit(
                "concurrently-if-not-exists",
                line,
                "IF NOT EXISTS takes an invalid index, left behind by an attempt that failed, for a good one",
                "Remove IF NOT EXISTS: an invalid index is found and repaired when the migration runs",
            )


# --- keys and indexes ---


def _unindexed_foreign_keys(look: Look) -> Iterator[Hit]:
    for key in look.foreign_keys:
        # Whether a column that was there before has an index only the database knows.
        if key.table not in look.created and not key.new_column:
            continue
        if any(_covers(index, key.columns) for index in look.indexes if index.table == key.table):
            continue
        columns = ", ".join(key.columns)
        yield Hit(
            "unindexed-foreign-key",
            key.line,
            f"The foreign key {_shown(key.table)} ({columns}) has no index: "
            f"every DELETE in {_shown(key.parent)} reads all of {_shown(key.table)}",
            f"Add an index on {_shown(key.table)} ({columns})",
        )


def _covers(index: _Index, columns: Columns) -> bool:
    return set(index.columns[: len(columns)]) == set(columns)


def _foreign_keys_of_old_tables(look: Look) -> Iterator[Hit]:
    for key in look.foreign_keys:
        if key.cascades:
            yield Hit(
                "cascade-delete",
                key.line,
                f"ON DELETE CASCADE: a deleted row of {_shown(key.parent)} takes its rows of {_shown(key.table)} along",
                "Keep it only if that is meant and stays small; else leave ON DELETE out",
            )
        if key.in_create and key.parent not in look.created and key.parent != key.table:
            yield Hit(
                "foreign-key-locks-parent",
                key.line,
                f"A foreign key in CREATE TABLE blocks writes of {_shown(key.parent)} until the transaction ends",
                "Add the key last: ALTER TABLE ... ADD CONSTRAINT ... NOT VALID, then VALIDATE CONSTRAINT",
            )


def _superfluous_indexes(look: Look) -> Iterator[Hit]:
    for position, one in enumerate(look.indexes):
        for earlier, other in enumerate(look.indexes):
            if one is other or one.table != other.table:
                continue
            if one.columns == other.columns and (one.worth, earlier) < (other.worth, position):
                yield Hit(
                    "duplicate-index",
                    one.line,
                    f"{_capital(one.label)} has the columns of {other.label}: every write pays for both",
                    f"Leave out {one.label}",
                )
                break
            if not one.unique and len(one.columns) < len(other.columns) and _starts(other.columns, one.columns):
                yield Hit(
                    "prefix-index",
                    one.line,
                    f"{_capital(one.label)} is the beginning of {other.label}, which can do its work",
                    f"Leave out {one.label} unless it is much smaller",
                )
                break


def _starts(columns: Columns, beginning: Columns) -> bool:
    return columns[: len(beginning)] == beginning


# --- what reaches further than the table ---


def _drop_cascade(look: Look) -> Iterator[Hit]:
    for node, line in look:
        dropped = isinstance(node, ast.DropStmt) and node.behavior == DropBehavior.DROP_CASCADE
        if isinstance(node, ast.AlterTableStmt):
            dropped = any(
                command.subtype in (AlterTableType.AT_DropColumn, AlterTableType.AT_DropConstraint)
                and command.behavior == DropBehavior.DROP_CASCADE
                for command in node.cmds
            )
        if dropped:
            yield Hit(
                "drop-cascade",
                line,
                "CASCADE drops whatever depends on it, which nobody has read",
                "Drop what depends on it by name, first",
            )


_SHARED = (
    ast.AlterSystemStmt,
    ast.CreatedbStmt,
    ast.DropdbStmt,
    ast.AlterDatabaseStmt,
    ast.AlterDatabaseSetStmt,
    ast.CreateTableSpaceStmt,
    ast.DropTableSpaceStmt,
    ast.CreateRoleStmt,
    ast.AlterRoleStmt,
    ast.AlterRoleSetStmt,
    ast.DropRoleStmt,
    ast.GrantRoleStmt,
    ast.CreateSubscriptionStmt,
    ast.AlterSubscriptionStmt,
    ast.DropSubscriptionStmt,
)


# What these find is never run on the server for copies, not even for the sake of the migrations after it.
NEVER_RUN = frozenset({"outside-the-database", "server-files"})


def _outside(look: Look) -> Iterator[Hit]:
    for node, line in look:
        if isinstance(node, _SHARED):
            yield Hit(
                "outside-the-database",
                line,
                f"{kind_of(node)} changes more than this database: the rehearsal would change the server of the copy",
                "Do it by hand or by the server's configuration, not in a migration",
            )
        if isinstance(node, ast.CopyStmt) and (node.is_program or node.filename):
            yield Hit(
                "server-files",
                line,
                "COPY with a file or a PROGRAM works on the server's own disk",
                "Load and unload data by a job of its own",
            )


def _session_settings(look: Look) -> Iterator[Hit]:
    for node, line in look:
        if (
            isinstance(node, ast.VariableSetStmt)
            and not node.is_local
            and node.kind in (VariableSetKind.VAR_SET_VALUE, VariableSetKind.VAR_SET_MULTI)
        ):
            yield Hit(
                "session-setting",
                line,
                f"SET {node.name} holds for the rest of the session, not for this transaction; "
                "timeouts are set by whoever runs the migration",
                "SET LOCAL, or leave it out",
            )


def _enum_value_used(look: Look) -> Iterator[Hit]:
    for transaction in look.transactions():
        new_types: set[str] = set()
        added: dict[str, int] = {}
        for position, node, line in transaction:
            for value, since in list(added.items()):
                if f"'{value}'" in look.statements[position].text:
                    del added[value]
                    yield Hit(
                        "enum-value-used",
                        line,
                        f"The value {value!r}, added in line {since}, cannot be used before its transaction commits",
                        "Put ALTER TYPE ... ADD VALUE into a migration of its own, or the line "
                        "-- pgops: autocommit before it",
                    )
            if isinstance(node, ast.CreateEnumStmt):
                new_types.add(str(node.typeName[-1].sval))
            adds_value = isinstance(node, ast.AlterEnumStmt) and node.newVal and node.oldVal is None
            if adds_value and str(node.typeName[-1].sval) not in new_types:
                added[node.newVal] = line


BOTH: tuple[Rule, ...] = (
    _without_where,
    _backfill_under_lock,
    _not_null_before_backfill,
    _loops,
    _whole_table_commands,
    _several_exclusive_locks,
    _attach_without_check,
    _concurrently_if_not_exists,
    _drop_cascade,
    _outside,
    _session_settings,
    _enum_value_used,
)
ONLY_APPLY: tuple[Rule, ...] = (
    _truncate,
    _unindexed_foreign_keys,
    _foreign_keys_of_old_tables,
    _superfluous_indexes,
)


# --- reading syntax trees ---

# ALTER TABLE commands that let others read and write; the rest lock the table against everybody.
_WEAKER = {
    AlterTableType.AT_ValidateConstraint,
    AlterTableType.AT_SetStatistics,
    AlterTableType.AT_SetOptions,
    AlterTableType.AT_ResetOptions,
    AlterTableType.AT_ClusterOn,
    AlterTableType.AT_DropCluster,
    AlterTableType.AT_AttachPartition,
    AlterTableType.AT_SetRelOptions,
    AlterTableType.AT_ResetRelOptions,
    AlterTableType.AT_EnableTrig,
    AlterTableType.AT_EnableAlwaysTrig,
    AlterTableType.AT_EnableReplicaTrig,
    AlterTableType.AT_EnableTrigAll,
    AlterTableType.AT_EnableTrigUser,
    AlterTableType.AT_DisableTrig,
    AlterTableType.AT_DisableTrigAll,
    AlterTableType.AT_DisableTrigUser,
}
_ACCESS_EXCLUSIVE = 8  # LockStmt.mode


def _table(relation: Any) -> Table:
    return (relation.schemaname or "", relation.relname)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _shown(table: Table) -> str:
    return ".".join(part for part in table if part)


def _dotted(name: Any) -> str:
    return ".".join(part.sval for part in name)


def _named_table(name: Any) -> Table:
    parts = [part.sval for part in name]
    return (parts[-2] if len(parts) > 1 else "", parts[-1])


def _length(segment: Segment) -> int:
    return len(segment.statements)


def _locked_exclusively(node: Any) -> list[Table]:
    match node:
        case ast.AlterTableStmt() if node.objtype == ObjectType.OBJECT_TABLE:
            return [_table(node.relation)] if any(_exclusive(command) for command in node.cmds) else []
        case ast.RenameStmt() if node.relationType == ObjectType.OBJECT_TABLE or (
            node.renameType == ObjectType.OBJECT_TABLE
        ):
            return [_table(node.relation)]
        case ast.DropStmt() if node.removeType == ObjectType.OBJECT_TABLE:
            return [_named_table(name) for name in node.objects]
        case ast.TruncateStmt():
            return [_table(one) for one in node.relations]
        case ast.LockStmt() if node.mode == _ACCESS_EXCLUSIVE:
            return [_table(one) for one in node.relations]
    return []


def _exclusive(command: Any) -> bool:
    if command.subtype == AlterTableType.AT_AddConstraint:
        return bool(command.def_.contype != ConstrType.CONSTR_FOREIGN)
    return command.subtype not in _WEAKER


def _reads_rows(change: Any) -> bool:
    """Whether the time of a change depends on how many rows there are: INSERT ... VALUES does not."""
    return not isinstance(change, ast.InsertStmt) or bool(getattr(change.selectStmt, "fromClause", None))


def _changes_in(body: Any) -> list[Any]:
    found: list[Any] = []
    for name, contents in inside(body):
        if name != "PLpgSQL_stmt_execsql":
            continue
        try:
            trees = pglast.parse_sql(contents["sqlstmt"]["PLpgSQL_expr"]["query"])
        except (ParseError, KeyError):  # SELECT ... INTO a variable
            continue
        found += [change for tree in trees for change in _changes_of(tree.stmt)]
    return found


def _changes_of(node: Any) -> list[Any]:
    """A statement if it changes rows, and those in its WITH: the only other place where they can stand."""
    with_clause = getattr(node, "withClause", None)
    inner = [cte.ctequery for cte in with_clause.ctes] if with_clause else []
    return [one for one in (node, *inner) if isinstance(one, _CHANGES)]


def _made_not_null(node: Any) -> Iterator[str]:
    """Columns that must not be null from now on, whatever the rows that are there hold: NOT VALID."""
    for command in node.cmds:
        if command.subtype != AlterTableType.AT_AddConstraint or not command.def_.skip_validation:
            continue
        if command.def_.contype == ConstrType.CONSTR_CHECK:
            yield from _columns_not_null(command.def_.raw_expr)
        elif command.def_.contype == ConstrType.CONSTR_NOTNULL:
            yield from (key.sval for key in command.def_.keys or ())


def _columns_not_null(expression: Any) -> Iterator[str]:
    if isinstance(expression, ast.BoolExpr) and expression.boolop == BoolExprType.AND_EXPR:
        for part in expression.args:
            yield from _columns_not_null(part)
    if (
        isinstance(expression, ast.NullTest)
        and expression.nulltesttype == NullTestType.IS_NOT_NULL
        and isinstance(expression.arg, ast.ColumnRef)
    ):
        yield str(expression.arg.fields[-1].sval)


def _constraints(look: Look) -> Iterator[tuple[Any, Any, Columns, int, bool, bool]]:
    """Every constraint: (table, constraint, its columns, line, in CREATE TABLE?, of a new column?)."""
    for node, line in look:
        if isinstance(node, ast.CreateStmt):
            for element in node.tableElts or ():
                if isinstance(element, ast.ColumnDef):
                    for constraint in element.constraints or ():
                        yield node.relation, constraint, (element.colname,), line, True, True
                elif isinstance(element, ast.Constraint):
                    yield node.relation, element, _keys(element), line, True, False
        elif isinstance(node, ast.AlterTableStmt):
            new = {
                command.def_.colname
                for other in look.nodes
                if isinstance(other, ast.AlterTableStmt) and _table(other.relation) == _table(node.relation)
                for command in other.cmds
                if command.subtype == AlterTableType.AT_AddColumn
            }
            for command in node.cmds:
                if command.subtype == AlterTableType.AT_AddColumn:
                    for constraint in command.def_.constraints or ():
                        yield node.relation, constraint, (command.def_.colname,), line, False, True
                elif command.subtype == AlterTableType.AT_AddConstraint:
                    keys = _keys(command.def_)
                    yield node.relation, command.def_, keys, line, False, bool(new & set(keys))


def _keys(constraint: Any) -> Columns:
    keys = constraint.fk_attrs if constraint.contype == ConstrType.CONSTR_FOREIGN else constraint.keys
    return tuple(key.sval for key in keys or ())


def _foreign_keys(look: Look) -> Iterator[_ForeignKey]:
    for relation, constraint, columns, line, in_create, new_column in _constraints(look):
        if constraint.contype == ConstrType.CONSTR_FOREIGN:
            yield _ForeignKey(
                table=_table(relation),
                columns=columns,
                parent=_table(constraint.pktable),
                cascades=constraint.fk_del_action == "c",
                line=line,
                in_create=in_create,
                new_column=new_column,
            )


def _indexes(look: Look) -> Iterator[_Index]:
    for relation, constraint, columns, line, _, _ in _constraints(look):
        kinds = {
            ConstrType.CONSTR_PRIMARY: ("the primary key", 3),
            ConstrType.CONSTR_UNIQUE: ("the unique constraint", 2),
        }
        if constraint.contype in kinds and columns and not constraint.including:
            kind, worth = kinds[constraint.contype]
            name = f" {constraint.conname}" if constraint.conname else ""
            yield _Index(_table(relation), columns, True, worth, line, f"{kind}{name} ({', '.join(columns)})")
    for node, line in look:
        if isinstance(node, ast.IndexStmt) and _plain(node):
            columns = tuple(element.name for element in node.indexParams)
            label = f"the index {node.idxname or ''} ({', '.join(columns)})".replace("  ", " ")
            unique = bool(node.unique)
            yield _Index(_table(node.relation), columns, unique, int(unique), line, label)


def _plain(index: Any) -> bool:
    return (
        (index.accessMethod or "btree") == "btree"
        and index.whereClause is None
        and not index.indexIncludingParams
        and all(element.name and not element.opclass and not element.collation for element in index.indexParams)
    )
