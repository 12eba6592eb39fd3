"""What is to be done about a database's partitioned tables. Nothing is changed here; what is planned is executed.

The truth about a partition is its bound. Existing partitions are respected whatever their widths: new ones are cut so
that they fit exactly between them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any
from zoneinfo import ZoneInfo

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from pgops.errors import Refused
from pgops.fleet.partitions import PartitionPolicies, PartitionPolicy
from pgops.include import query, sql_text
from pgops.partitions.bounds import GREATEST_NUMBER, LAST_INSTANT, condition, text
from pgops.partitions.coverage import contains, covered_until, holes, missing
from pgops.partitions.discovery import Found, discover
from pgops.partitions.grid import NumberGrid, TimeGrid
from pgops.partitions.model import Edge, Finding, NewPartition, Parent, ParentPlan, Partition, Plan, Range
from pgops.partitions.names import partition_name
from pgops.partitions.session import session
from pgops.postgres import Dsn

# Of one look into a table's rows (the greatest key, rows in DEFAULT).
LOOK_SECONDS = 5.0
_NAMES_TRIED = 100


def plan(dsn: Dsn, policies: PartitionPolicies, now: datetime, *, only: str | None = None) -> Plan:
    """Look at the catalog and say what is to be done.

    Args:
        dsn: the primary, as the role that owns the tables.
        policies: of the fleet file.
        now: aware; partitions have to exist for it and for what comes after.
        only: one parent, "schema.table".

    Raises:
        Refused: `now` has no time zone, or `only` is no table that a policy covers.
        DatabaseError: the database does not answer.
    """
    if now.tzinfo is None:
        raise Refused("An instant needs a time zone", where=f"plan of {dsn.where}", remedy="Use datetime.now(UTC)")
    with session(dsn) as connection:
        found = discover(connection)
        planned = _plan(connection, found, policies, now, only)
    if only is not None and not planned.parents:
        raise Refused(
            f"{only} is no table that is partitioned by the range of one column and has a policy",
            where=dsn.where,
            remedy="Look at the names and the policies under partitions.tables of the fleet file",
        )
    return planned


def policy_for(title: str, policies: PartitionPolicies) -> PartitionPolicy | None:
    """The first policy that fits "schema.table"."""
    return next((policy for policy in policies.tables if _fits(title, policy.parent)), None)


def needed(parent: Parent, policy: PartitionPolicy, now: datetime) -> list[tuple[str, Range]]:
    """What a parent needs that has no rows yet: labels and ranges."""
    grid, position = _grid(parent, policy), _position(parent, policy, now, None)
    return [(grid.label(one.lower), one) for one in _needed(parent, policy, grid, position)]


def free_names(connection: Connection, wanted: list[tuple[Parent, str]]) -> list[str]:
    """A free name for each partition, by its parent and label; two rounds at most where no name is taken."""
    numbers = [1] * len(wanted)
    for _ in range(_NAMES_TRIED):
        found = [
            (parent.schema, partition_name(parent.name, label, number))
            for (parent, label), number in zip(wanted, numbers, strict=True)
        ]
        taken = _taken(connection, found)
        seen: set[tuple[str, str]] = set()
        clashes = []
        for place, name in enumerate(found):
            if name in taken or name in seen:
                clashes.append(place)
            seen.add(name)
        if not clashes:
            return [name for _, name in found]
        for place in clashes:
            numbers[place] += 1
    raise Refused(
        f"{found[clashes[0]][1]} and {_NAMES_TRIED} names like it are taken",
        where=".".join(found[clashes[0]]),
        remedy="Rename or drop the tables that bear them",
    )


def _plan(
    connection: Connection, found: list[Found], policies: PartitionPolicies, now: datetime, only: str | None
) -> Plan:
    findings = [] if only else _unused(found, policies)
    begun = []
    for one in found:
        if only is not None and one.title != only:
            continue
        policy = policy_for(one.title, policies)
        finding = _without_plan(one, policy, policies)
        if finding is not None:
            findings.append(finding)
        elif one.parent is not None and policy is not None:
            begun.append(_begin(connection, one.parent, policy, now))
    given = iter(free_names(connection, [(made.parent, label) for made in begun for label in made.labels]))
    return Plan(tuple(made.finish([next(given) for _ in made.labels]) for made in begun), tuple(findings))


def _fits(title: str, pattern: str) -> bool:
    return title == pattern or fnmatchcase(title, pattern)


def _unused(found: list[Found], policies: PartitionPolicies) -> list[Finding]:
    return [
        Finding(
            f"The policy of {policy.parent} fits no partitioned table",
            "Correct its name, or take it out of the fleet file",
            bad="*" not in policy.parent,
        )
        for policy in policies.tables
        if not any(_fits(one.title, policy.parent) for one in found)
    ]


def misfit(parent: Parent, policy: PartitionPolicy) -> bool:
    """Whether a policy's interval is none for the parent's key."""
    by_number = isinstance(policy.interval, int)
    return by_number != (parent.kind == "integer") or (policy.interval == "hour" and parent.kind == "date")


def _without_plan(one: Found, policy: PartitionPolicy | None, policies: PartitionPolicies) -> Finding | None:
    """Why a table gets no plan, where a person should know."""
    if policy is None:
        if one.nested or not one.by_range or any(_fits(one.title, pattern) for pattern in policies.ignore):
            return None
        return Finding(
            f"{one.title} is partitioned by range and has no policy: nobody makes its next partition",
            "Give it one under partitions.tables of the fleet file, or name it under partitions.ignore",
            bad=True,
        )
    if one.parent is None:
        if not one.by_range and policy.parent != one.title:
            return None  # caught by a pattern; lists and hashes need nothing ahead of time
        return Finding(
            f"{one.title} cannot be planned: {one.reason}",
            "Only tables by the range of one column of time, whole numbers or uuidv7 can: take its policy out",
            bad=True,
        )
    if misfit(one.parent, policy):
        return Finding(
            f"{one.title} cannot be planned: its key {one.parent.key} is of type {one.parent.key_type}, the "
            f"interval of its policy is {policy.interval}",
            "Give it an interval that fits: hour to year for time (day to year for dates), a whole number for numbers",
            bad=True,
        )
    return None


@dataclass(frozen=True)
class _Begun:
    """A parent's plan but for the names of its new partitions."""

    plan: ParentPlan
    labels: tuple[str, ...]

    @property
    def parent(self) -> Parent:
        return self.plan.parent

    def finish(self, given: list[str]) -> ParentPlan:
        created = (replace(new, name=name) for new, name in zip(self.plan.create, given, strict=True))
        return replace(self.plan, create=tuple(created))


def _begin(connection: Connection, parent: Parent, policy: PartitionPolicy, now: datetime) -> _Begun:
    findings: list[Finding] = []
    try:
        greatest = _greatest(connection, parent) if parent.kind == "integer" else None
    except psycopg2.Error as error:
        if connection.closed:
            raise
        findings.append(_not_looked(parent, "Its greatest key", error))
        return _Begun(ParentPlan(parent, policy, _pending(parent), (), (), None, tuple(findings)), ())
    grid, position = _grid(parent, policy), _position(parent, policy, now, greatest)
    ranges = _needed(parent, policy, grid, position)
    default_rows = [0] * len(ranges)
    if parent.default is not None and (parent.default.bytes or parent.default.has_partitions):
        try:
            default_rows, finding = _default_rows(connection, parent, policy, ranges)
            findings += [finding] if finding else []
        except psycopg2.Error as error:
            if connection.closed:
                raise
            findings.append(_not_looked(parent, "The rows in its DEFAULT partition", error))
    horizon = _horizon(parent, position)
    findings += _findings(parent, policy, grid, position, horizon)
    return _Begun(
        ParentPlan(
            parent=parent,
            policy=policy,
            finalize=_pending(parent),
            create=tuple(NewPartition("", one, rows) for one, rows in zip(ranges, default_rows, strict=True)),
            retire=_beyond_retention(parent, policy, grid, position),
            horizon=horizon,
            findings=tuple(findings),
        ),
        tuple(grid.label(one.lower) for one in ranges),
    )


def _grid(parent: Parent, policy: PartitionPolicy) -> Any:
    """A grid of the parent's kind of edges."""
    if isinstance(policy.interval, int):
        # Partitions of 1 to 1000000 go on so, and do not become 1000001 to 2000000 in two pieces.
        newest = parent.attached[-1].range if parent.attached else None
        edges = (newest.lower, newest.upper) if newest else (None, None)
        regular = isinstance(edges[0], int) and isinstance(edges[1], int) and edges[1] - edges[0] == policy.interval
        return NumberGrid(policy.interval, edges[0] % policy.interval if regular and isinstance(edges[0], int) else 0)
    return TimeGrid(policy.interval, ZoneInfo(policy.timezone), wall=parent.kind in ("timestamp", "date"))


def _position(parent: Parent, policy: PartitionPolicy, now: datetime, greatest: int | None) -> Edge:
    """Where the table is: now, or at its greatest key; at its first partition while it is empty."""
    if parent.kind != "integer":
        shown: datetime = _grid(parent, policy).now(now)
        return shown
    if greatest is not None:
        return greatest
    lowers = [one.range.lower for one in parent.attached if one.range and isinstance(one.range.lower, int)]
    return min(lowers, default=0)


def _needed(parent: Parent, policy: PartitionPolicy, grid: Any, position: Edge) -> list[Range]:
    start = end = grid.floor(position)
    for _ in range(policy.premake + 1):
        end = grid.after(end)
    if parent.within is not None:
        start = start if parent.within.lower is None else max(start, parent.within.lower)
        end = end if parent.within.upper is None else min(end, parent.within.upper)
    ranges = missing([one.range for one in parent.attached if one.range], start, end, grid.after)
    last = GREATEST_NUMBER.get(parent.key_type)
    return [one for one in (_cut(one, last) for one in ranges) if one is not None]


def _cut(one: Range, last: int | None) -> Range | None:
    """Nothing lies beyond the greatest number of a type, and a bound cannot name it: such a range has no end."""
    if last is None or not isinstance(one.lower, int) or not isinstance(one.upper, int) or one.upper <= last:
        return one
    return Range(one.lower, None) if one.lower <= last else None


def _horizon(parent: Parent, position: Edge) -> Edge | None:
    last: Edge = GREATEST_NUMBER.get(parent.key_type, 2**63 - 1) if parent.kind == "integer" else LAST_INSTANT
    return covered_until((one.range for one in parent.attached if one.range), position, last)


def _beyond_retention(parent: Parent, policy: PartitionPolicy, grid: Any, position: Edge) -> tuple[Partition, ...]:
    if policy.retention is None or policy.legal_hold is not None:
        return ()
    cut: Any = position - policy.retention if isinstance(policy.retention, int) else None  # type: ignore[operator]
    if cut is None:
        cut = grid.before(position, policy.retention)
    return tuple(
        one
        for one in parent.attached
        if one.range is not None and one.range.upper is not None and one.range.upper <= cut
    )


def _pending(parent: Parent) -> tuple[Partition, ...]:
    return tuple(one for one in parent.partitions if one.pending)


# --- looks into rows: bounded, and one that fails is a finding ---


def _greatest(connection: Connection, parent: Parent) -> int | None:
    """The greatest key, looked for in the newest partition that has rows."""
    for partition in reversed(parent.attached):
        statement = query(
            "partitions/plan/greatest.sql",
            key=sql.Identifier(parent.key),
            partition=sql.Identifier(partition.schema, partition.name),
        )
        ((greatest,),) = _look(connection, statement)
        if greatest is not None:
            return int(greatest)
    return None


def _default_rows(
    connection: Connection, parent: Parent, policy: PartitionPolicy, ranges: list[Range]
) -> tuple[list[int], Finding | None]:
    default = parent.default
    assert default is not None
    key = sql.Identifier(parent.key)
    counts = (sql.SQL("count(*) FILTER (WHERE {})").format(condition(one, parent)) for one in ranges)
    statement = query(
        "partitions/plan/default_rows.sql",
        key=sql.SQL("{}::text").format(key) if parent.kind == "uuidv7" else key,  # no min(uuid) before PostgreSQL 18
        counts=sql.SQL(", ").join(counts),
        default=sql.Identifier(default.schema, default.name),
    )
    ((rows, least, greatest, in_ranges),) = _look(connection, statement)
    if not rows:
        return [0] * len(ranges), None
    in_the_way = sum(in_ranges)
    drained = policy.default == "drain" and max(in_ranges, default=0) <= policy.drain_rows
    what = f"{rows} rows are in DEFAULT, with {parent.key} from {least} to {greatest}"
    if in_the_way and drained:
        return in_ranges, Finding(f"{what}; {in_the_way} of them move into new partitions", "Nothing: it is done")
    if in_the_way:
        per_range = ", ".join(
            f"{count} from {text(one.lower)} to {text(one.upper)}"
            for one, count in zip(ranges, in_ranges, strict=True)
            if count
        )
        remedy = (
            f"Raise drain_rows above {max(in_ranges)}, or move them by hand"
            if policy.default == "drain"
            else "Set default: drain in the policy, or move them by hand"
        )
        return in_ranges, Finding(f"{what}; they stand in the way of new partitions: {per_range}", remedy, bad=True)
    return in_ranges, Finding(f"{what}, outside of what is planned", "Move them, or delete them, by hand")


def _look(connection: Connection, statement: sql.Composed) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql_text("partitions/plan/limit.sql"), {"milliseconds": int(LOOK_SECONDS * 1000)})
        cursor.execute(statement)
        return list(cursor.fetchall())


def _not_looked(parent: Parent, what: str, error: psycopg2.Error) -> Finding:
    said = " ".join(str(error).split())
    return Finding(
        f"{what} could not be found out within {LOOK_SECONDS:.0f} s: {said}",
        f"Look at {parent.title}: has {parent.key} an index, the role its privileges, is there a lock in the way?",
        bad=True,
    )


def _taken(connection: Connection, wanted: list[tuple[str, str]]) -> set[tuple[str, str]]:
    if not wanted:
        return set()
    schemas, tables = zip(*wanted, strict=True)
    with connection.cursor() as cursor:
        cursor.execute(sql_text("partitions/plan/names.sql"), {"schemas": list(schemas), "names": list(tables)})
        return {(schema, name) for schema, name in cursor.fetchall()}


# --- findings about one parent ---


def _findings(
    parent: Parent, policy: PartitionPolicy, grid: Any, position: Edge, horizon: Edge | None
) -> Iterable[Finding]:
    for one in _pending(parent):
        yield Finding(
            f"The detaching of {one.schema}.{one.name} was interrupted: it shows no rows and takes none",
            "Nothing: it is finalized first of all",
            bad=True,
        )
    start = grid.floor(position)
    outside = parent.within is not None and not contains(parent.within, position)
    if horizon is None and not outside:
        fate = "they go into DEFAULT" if parent.default else "inserts fail"
        yield Finding(f"There is no partition for {text(position)}: {fate}", "Nothing: it is made now", bad=True)
    elif not outside and _ends_early(parent, grid, position, horizon):
        yield Finding(
            f"The partitions end at {text(horizon)}, with the current interval",
            "Nothing: the next are made now. Find out why they were not made before",
            bad=True,
        )
    gaps = holes((one.range for one in parent.attached if one.range), start)
    if gaps:
        listed = ", ".join(f"{text(gap.lower)} to {text(gap.upper)}" for gap in gaps[:5])
        more = f" and {len(gaps) - 5} more" if len(gaps) > 5 else ""
        yield Finding(
            f"There are gaps in the past: {listed}{more}",
            "Create partitions by hand if rows of that time may come, or restore them from the archive",
        )
    if policy.legal_hold is not None and policy.retention is not None:
        yield Finding(f"Nothing is retired: legal hold ({policy.legal_hold})", "Take legal_hold out when it has ended")


def _ends_early(parent: Parent, grid: Any, position: Any, horizon: Any) -> bool:
    ends_with_parent = parent.within is not None and parent.within.upper == horizon
    return bool(horizon <= grid.after(position)) and not ends_with_parent
