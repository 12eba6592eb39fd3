"""What is left to do, in the only safe order: from any half-done state to the finished column, or back."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from pgops.column.partitions import PartIndex
from pgops.column.spec import ColumnSpec
from pgops.column.state import MARK, ColumnState
from pgops.errors import Refused
from pgops.include import query

_NOT_NULL_NOT_VALID = 180000

_INSTANT = "AccessExclusive, for an instant"
_SCAN = "ShareUpdateExclusive while the table is read: reads and writes go on"
_BUILD = "ShareUpdateExclusive; it waits for transactions that are older than itself: reads and writes go on"
_SHARE = "Share on the partitioned table alone, for an instant: writes wait"
_ATTACH = "AccessExclusive on the partition's index, for an instant"
_ROWS = "row locks, batch by batch"


@dataclass(frozen=True)
class Fill:
    """Rows that are to be changed by a backfill: UPDATE ... SET column = expression WHERE where."""

    column: str
    expression: str
    where: str


@dataclass(frozen=True)
class Step:
    """One step. A step that is cut off, at whatever point, is found half done by state() and planned again.

    Attributes:
        name: of the step, for people and for the UI.
        locks: on the table.
        statements: in one transaction, unless `alone`.
        undo: what takes the step back; empty when it goes with an earlier step's.
        alone: the server runs it in no transaction.
        patient: it stands in nobody's way while it waits or works: give it a long lock_timeout and no short limit.
        fill: instead of statements: a backfill.
    """

    name: str
    locks: str
    statements: tuple[sql.Composed, ...] = ()
    undo: tuple[sql.Composed, ...] = ()
    alone: bool = False
    patient: bool = False
    fill: Fill | None = None

    def texts(self, connection: Connection) -> tuple[str, ...]:
        """The statements as they would be sent, without their comments."""
        return tuple(_text(statement, connection) for statement in self.statements)

    def undo_texts(self, connection: Connection) -> tuple[str, ...]:
        """What takes the step back, without its comments."""
        return tuple(_text(statement, connection) for statement in self.undo)


def next_steps(state: ColumnState, spec: ColumnSpec, filled: Collection[str] = ()) -> list[Step]:
    """What is left to do; nothing when the column is as it is wanted.

    Args:
        state: as it is.
        spec: what is wanted.
        filled: names of the steps that have filled rows in this run. Of a large table no look tells in time that no row
            is left, and rows that were left out on purpose are not tried again and again: VALIDATE has the last word.

    Raises:
        Refused: something is in the way that only a person can judge: another column, default, trigger or index of
            these names, or rows for which there would be no value.
    """
    refuse_conflicts(state, spec)
    return _Plan(state, spec, filled).steps()


def undo_steps(state: ColumnState, spec: ColumnSpec) -> list[Step]:
    """What takes everything back that was done so far; possible until the column is NOT NULL or finished.

    Raises:
        Refused: it is too late, or the column was not added by this workflow.
    """
    if state.exists and state.not_null == "valid":
        raise _refused(
            spec,
            f"{spec.label} is NOT NULL: what was written since relies on it",
            "Go on to the end; to drop the column, write a migration",
        )
    if state.exists and not state.marked:
        raise _refused(
            spec,
            f"{spec.label} was not added by this workflow, or is finished",
            "To drop the column, write a migration",
        )
    return _Plan(state, spec).undo()


def refuse_conflicts(state: ColumnState, spec: ColumnSpec) -> None:
    """Refuse what is in the way.

    Raises:
        Refused: with the first thing that is in the way.
    """
    if state.exists:
        _refuse_other_column(state, spec)
    foreign = {
        "constraint": (state.check == "foreign" and spec.not_null, spec.constraint_name),
        "trigger or function": (state.trigger == "foreign" and spec.by_trigger, spec.function_name),
        "relation": (state.index == "foreign", spec.index_name),
    }
    for what, (there, name) in foreign.items():
        if there:
            raise _refused(
                spec,
                f"There is another {what} named {name!r}",
                "Rename or drop it, or give another name if it is an index",
            )
    _refuse_other_indexes(state, spec)
    building = [one.index for one in state.part_indexes if one.state == "building"]
    if state.index == "building" or building:
        raise Refused(
            f"The index {building[0] if building else spec.index_name!r} is just being built",
            where=spec.label,
            remedy="Wait until that has ended",
            retry=True,
        )
    if state.unfillable:
        raise _refused(
            spec,
            f"The backfill expression is NULL for some rows, and {spec.label} is to be NOT NULL",
            f"Find them: WHERE ({spec.backfill}) IS NULL; wrap it in coalesce(..., ...), or give up NOT NULL",
        )


def _refuse_other_column(state: ColumnState, spec: ColumnSpec) -> None:
    if state.generated:
        raise _refused(spec, f"{spec.label} is there, and the server computes it", "Choose another name")
    if state.type != state.wanted_type:
        raise _refused(
            spec,
            f"{spec.label} is there as {state.type}; {state.wanted_type} is wanted",
            "Choose another name, or correct the type; a change of type is a migration",
        )
    if state.default is not None and state.default != state.wanted_default:
        raise _refused(
            spec,
            f"{spec.label} has the default {state.default}; {state.wanted_default or 'none'} is wanted",
            "Somebody relies on it: drop it (ALTER COLUMN ... DROP DEFAULT) or correct the default here",
        )


def _refuse_other_indexes(state: ColumnState, spec: ColumnSpec) -> None:
    """What is in the way of the indexes of a partitioned table."""
    for one in state.part_indexes:
        if one.foreign_table:
            raise _refused(
                spec,
                f"The partition {one.schema}.{one.table} lies on another server, where no index can be built from here",
                "Leave the index out, and build one on each of the other partitions",
            )
        if one.state == "foreign":
            raise _refused(
                spec,
                f"There is another relation named {one.schema}.{one.index}",
                "Rename or drop it: the partition's index is to have that name",
            )
    complete = all(one.attached and (one.state == "valid" or not one.leaf) for one in state.part_indexes)
    broken = [one for one in state.part_indexes if one.leaf and one.attached and one.state == "invalid"]
    if broken or (state.part_indexes and complete and state.index == "invalid"):
        culprit = (broken or state.part_indexes)[0]
        raise _refused(
            spec,
            f"The index {culprit.schema}.{culprit.index} is invalid, and part of {spec.index_name!r} already",
            f"DROP INDEX {spec.index_name} (it takes those of the partitions with it), and run this again",
        )


class _Plan:
    def __init__(self, state: ColumnState, spec: ColumnSpec, filled: Collection[str] = ()) -> None:
        self._state, self._spec, self._filled = state, spec, filled
        self._table = sql.Identifier(spec.schema, spec.table)
        self._column = sql.Identifier(spec.column)
        self._constraint = sql.Identifier(spec.constraint_name)

    # --- forward ---

    def steps(self) -> list[Step]:
        state, spec = self._state, self._spec
        if not state.exists and spec.backfill is None and state.keeps_rows:
            # The same for all rows: no backfill, nothing to prove.
            return [self._add_filled(), *self._index(), *self._end(True)]
        steps = [] if state.exists else [self._add()]
        steps += self._new_rows()
        if spec.fill is not None:
            steps += self._old_rows()
        steps += self._proof()
        steps += self._index()
        return [*steps, *self._end(bool(steps))]

    def _add_filled(self) -> Step:
        name = "add_filled_not_null_column" if self._spec.not_null else "add_filled_column"
        parts = {"type": sql.SQL(self._spec.type), "default": sql.SQL(self._spec.default or "NULL")}
        added = self._statement(name, **parts)
        return Step("add column with its default", _INSTANT, (added, self._mark(MARK)), (self._drop_column(),))

    def _add(self) -> Step:
        added = self._statement("add_column", type=sql.SQL(self._spec.type))
        return Step("add column", _INSTANT, (added, self._mark(MARK)), (self._drop_column(),))

    def _new_rows(self) -> list[Step]:
        state, spec = self._state, self._spec
        if spec.default is not None and (not state.exists or state.default is None):
            default = self._statement("set_default", default=sql.SQL(spec.default))
            return [Step("set default", _INSTANT, (default,), (self._statement("drop_default"),))]
        if spec.by_trigger and state.trigger != "ours":
            locks = "ShareRowExclusive, for an instant: writes wait"
            return [Step("create trigger", locks, self._create_trigger(), self._drop_trigger())]
        return []

    def _old_rows(self) -> list[Step]:
        """The first pass. After the constraint is there, only what was missed is left: the sweep."""
        if self._constrained or self._proven or (self._state.exists and self._state.unfilled is False):
            return []
        if "backfill" in self._filled:
            return []
        return [self._fill("backfill")]

    def _proof(self) -> list[Step]:
        state = self._state
        superfluous = [self._drop_check()] if state.check in ("valid", "not valid") else []
        if not self._spec.not_null:
            return []
        if self._proven:
            return superfluous
        # With the constraint there and no row without a value, none can come any more.
        clean = self._constrained and (state.unfilled is False or "sweep" in self._filled)
        sweep = [] if clean else [self._fill("sweep")]
        by_check = state.check in ("valid", "not valid")
        if state.not_null == "not valid":
            name = sql.Identifier(state.not_null_name or self._spec.constraint_name)
            return [*sweep, self._validate(name), *superfluous]
        if not by_check and state.server_version >= _NOT_NULL_NOT_VALID and not state.partitioned:
            return [self._add_not_null(), *sweep, self._validate(self._constraint)]
        steps = [] if by_check else [self._add_check()]
        if state.check != "valid":
            steps += [*sweep, self._validate(self._constraint)]
        return [*steps, self._set_not_null(), self._drop_check()]

    def _index(self) -> list[Step]:
        if self._spec.index_name is None or self._state.index == "valid":
            return []
        if self._state.partitioned:
            return self._indexes_of_partitions()
        name = sql.Identifier(self._spec.index_name)
        steps = [self._drop_index("drop invalid index")] if self._state.index == "invalid" else []
        build = self._statement("create_index", index=name)
        undo = self._drop_index("").statements
        return [*steps, Step("create index", _BUILD, (build,), undo, alone=True, patient=True)]

    def _indexes_of_partitions(self) -> list[Step]:
        """First those that hold no rows, then each partition's, which is attached at once."""
        upper = [one for one in self._state.part_indexes if not one.leaf]
        leaves = [one for one in self._state.part_indexes if one.leaf and not one.attached]
        steps = []
        for one in upper:
            if one.state == "absent":
                steps.append(Step("create parent index", _SHARE, (self._of_part("create_parent_index", one),)))
            if not one.attached and one.above:
                steps.append(self._attach(one))
        for one in leaves:
            if one.state == "invalid":
                drop = self._statement("drop_index", index=sql.Identifier(one.schema, one.index))
                steps.append(Step("drop invalid index", _BUILD, (drop,), alone=True, patient=True))
            if one.state != "valid":
                build = self._of_part("create_index", one)
                steps.append(Step("create index", _BUILD, (build,), alone=True, patient=True))
            steps.append(self._attach(one))
        return steps

    def _of_part(self, statement: str, one: PartIndex) -> sql.Composed:
        table = sql.Identifier(one.schema, one.table)
        return self._statement(statement, table=table, index=sql.Identifier(one.index))

    def _attach(self, one: PartIndex) -> Step:
        attach = self._statement(
            "attach_index", parent=sql.Identifier(*(one.above or ())), index=sql.Identifier(one.schema, one.index)
        )
        return Step("attach index", _ATTACH, (attach,))

    def _end(self, changed: bool) -> list[Step]:
        """The planner learns the values; with that the column is finished, and is nobody's to take back."""
        state = self._state
        marked = state.marked or not state.exists
        if not (changed or marked or not state.analyzed):
            return []
        statements = (self._statement("analyze"), *([self._mark(None)] if marked else []))
        return [Step("analyze", "ShareUpdateExclusive while a sample is read", statements, patient=True)]

    # --- back ---

    def undo(self) -> list[Step]:
        state, steps = self._state, []
        if (
            state.exists and state.index in ("valid", "invalid") and not state.partitioned
        ):  # else it goes with the column
            steps.append(self._drop_index("drop index"))
        if state.trigger in ("ours", "stale"):
            steps.append(Step("drop trigger", _INSTANT, self._drop_trigger()))
        if state.exists:
            steps.append(Step("drop column", _INSTANT, (self._drop_column(),)))
        return steps

    # --- parts ---

    @property
    def _constrained(self) -> bool:
        return self._state.check in ("valid", "not valid") or self._state.not_null == "not valid"

    @property
    def _proven(self) -> bool:
        return self._state.not_null == "valid"

    def _fill(self, name: str) -> Step:
        spec = self._spec
        return Step(name, _ROWS, fill=Fill(spec.column, spec.fill or "", spec.unfilled), patient=True)

    def _add_check(self) -> Step:
        added = self._statement("add_check", constraint=self._constraint)
        return Step("add CHECK NOT VALID", _INSTANT, (added,), (self._drop_constraint(),))

    def _add_not_null(self) -> Step:
        added = self._statement("add_not_null_not_valid", constraint=self._constraint)
        return Step("add NOT NULL NOT VALID", _INSTANT, (added,), (self._drop_constraint(),))

    def _validate(self, name: sql.Identifier) -> Step:
        return Step("validate", _SCAN, (self._statement("validate", constraint=name),), patient=True)

    def _set_not_null(self) -> Step:
        return Step("set NOT NULL", _INSTANT, (self._statement("set_not_null"),))

    def _drop_check(self) -> Step:
        return Step("drop CHECK", _INSTANT, (self._drop_constraint(),))

    def _drop_constraint(self) -> sql.Composed:
        return self._statement("drop_constraint", constraint=self._constraint)

    def _drop_column(self) -> sql.Composed:
        return self._statement("drop_column")

    def _drop_index(self, name: str) -> Step:
        index = sql.Identifier(self._spec.schema, self._spec.index_name or "")
        return Step(name, _BUILD, (self._statement("drop_index", index=index),), alone=True, patient=True)

    def _create_trigger(self) -> tuple[sql.Composed, ...]:
        spec = self._spec
        mark = sql.Literal(f"{MARK} {spec.digest}")
        function = self._statement(
            "create_function",
            expression=sql.SQL(spec.backfill or ""),
            alias=sql.Identifier(spec.table),
            schema=sql.Identifier(spec.schema),
        )
        return function, self._statement("mark_function", mark=mark), self._statement("create_trigger")

    def _drop_trigger(self) -> tuple[sql.Composed, ...]:
        return self._statement("drop_trigger"), self._statement("drop_function")

    def _mark(self, mark: str | None) -> sql.Composed:
        return self._statement("mark_column", mark=sql.Literal(mark))

    def _statement(self, name: str, **parts: sql.Composable) -> sql.Composed:
        return query(
            f"column/{name}.sql",
            **{
                "table": self._table,
                "column": self._column,
                "function": sql.Identifier(self._spec.schema, self._spec.function_name),
                "trigger": sql.Identifier(self._spec.trigger_name),
                **parts,
            },
        )


def _text(statement: sql.Composed, connection: Connection) -> str:
    lines = statement.as_string(connection).splitlines()
    while lines and lines[0].startswith("--"):
        del lines[0]
    return "\n".join(lines)


def _refused(spec: ColumnSpec, what: str, remedy: str) -> Refused:
    return Refused(what, where=f"zero_downtime_column, {spec.label}", remedy=remedy)
