"""Which tables hold data of a person: what foreign keys lead to, and what the policy names.

Rows belong to the subject when the column that the policy names holds the key, or when a foreign key leads to a row
that belongs to the subject. References back up, such as users.manager_id -> users or orders.last_item -> items, make
nobody else's row the subject's: they become NULL before the row that they name goes. A foreign key from a table to
itself with ON DELETE CASCADE is the exception: the database would delete those rows, so they count and are shown.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import Any

from psycopg2.extras import RealDictCursor

from pgops.errors import Refused
from pgops.fleet.privacy import PrivacyPolicy, SubjectTable
from pgops.include import sql_text
from pgops.postgres import Dsn, connect
from pgops.privacy.model import Column, Link, MappedTable, Relation, SubjectMap
from pgops.privacy.sessions import APPLICATION

_TOO_COMMON = ("id", "key", "name", "uuid")


@dataclass(frozen=True)
class _Table:
    oid: int
    relation: Relation
    root: int | None
    pending: bool
    columns: tuple[Column, ...]

    def column(self, name: str) -> Column | None:
        return next((one for one in self.columns if one.name == name), None)


@dataclass
class _Reached:
    """A table on the way to being mapped; `level` is how many steps it is away from the subject."""

    table: _Table
    level: int
    column: str = ""
    policy: SubjectTable | None = None


def read_map(dsn: Dsn, database: str, policy: PrivacyPolicy) -> SubjectMap:
    """Read the catalog and map where the data of a person lies.

    Raises:
        Refused: the table of the persons, or its key, is not there.
    """
    with (
        connect(dsn, APPLICATION, readonly=True, system_names=True) as connection,
        connection.cursor(cursor_factory=RealDictCursor) as cursor,
    ):
        cursor.execute(sql_text("privacy/tables.sql"))
        tables = [_table(row) for row in cursor.fetchall()]
        cursor.execute(sql_text("privacy/foreign_keys.sql"))
        links = [
            Link(**row | {"columns": tuple(row["columns"]), "referenced": tuple(row["referenced"])})
            for row in cursor.fetchall()
        ]
        mapped = _Mapper(dsn, database, policy, tables, links).map()
        oids = [table.oid for table in tables if any(table.relation in one.relations for one in mapped.tables)]
        cursor.execute(sql_text("privacy/materialized_views.sql"), {"tables": oids})
        copies = tuple(
            f"materialized view {row['schema']}.{row['name']} holds a copy of what was read at its last refresh"
            for row in cursor.fetchall()
        )
    return replace(mapped, warnings=mapped.warnings + copies)


def _table(row: Mapping[str, Any]) -> _Table:
    return _Table(
        oid=row["oid"],
        relation=Relation(row["schema"], row["name"]),
        root=row["root"],
        pending=row["pending"],
        columns=tuple(Column(**one) for one in row["columns"]),
    )


class _Mapper:
    """One reading of a catalog, with a policy in hand."""

    def __init__(
        self, dsn: Dsn, database: str, policy: PrivacyPolicy, tables: Sequence[_Table], links: Sequence[Link]
    ) -> None:
        self.dsn, self.database, self.policy = dsn, database, policy
        self.tables = {table.oid: table for table in tables}
        self.by_name = {str(table.relation): table for table in tables}
        self.links = links
        self.warnings: list[str] = []
        self.obstacles: list[str] = []
        self.reached: dict[int, _Reached] = {}

    def map(self) -> SubjectMap:
        """The map, with what is wrong about it."""
        subject, key = self._subject()
        self.reached[subject.oid] = _Reached(subject, 0, key.name)
        self._add_named()
        self._follow()
        self._check_reached()
        order, back = self._order(subject.oid)
        tables = self._tables(subject.oid, order, back)
        self._find_rows_that_stay(tables)
        unnamed = self._unnamed(subject, key)
        self.warnings += [
            f"{table}.{column} looks as if it named a person, and is neither reached nor named"
            for table, column, _ in unnamed
        ]
        return SubjectMap(
            database=self.database,
            subject=subject.oid,
            key=key.name,
            key_type=key.type,
            tables=tuple(tables),
            warnings=tuple(self.warnings),
            obstacles=tuple(self.obstacles),
            unnamed=tuple(unnamed),
        )

    def _subject(self) -> tuple[_Table, Column]:
        table = self.by_name.get(self.policy.subject)
        key = table.column(self.policy.key) if table else None
        if table is None or key is None:
            raise Refused(
                f"There is no {self.policy.subject}" if table is None else f"It has no column {self.policy.key}",
                where=f"{self.dsn.where}, {self.policy.subject}",
                remedy="Correct privacy.subject and privacy.key in include/fleet.yaml",
            )
        return table, key

    def _add_named(self) -> None:
        """What the policy names; a partition is part of its root, and a pattern takes what no name took."""
        for named in sorted(self.policy.tables, key=lambda one: "*" in one.table):
            pattern = "*" in named.table
            found = [
                table
                for name, table in self.by_name.items()
                if (fnmatchcase(name, named.table) and table.root is None if pattern else name == named.table)
            ]
            if not found and not pattern:
                self.warnings.append(f"{named.table}, which the policy names, is not there")
            for table in found:
                known = self.reached.get(table.oid)
                if pattern and known is not None:
                    continue
                if table.root is not None:
                    self.obstacles.append(f"{table.relation} is a partition: name its root")
                elif named.column and table.column(named.column) is None:
                    self.obstacles.append(f"{table.relation} has no column {named.column}")
                elif known is not None:
                    known.policy = named
                else:
                    self.reached[table.oid] = _Reached(table, 1 if named.column else -1, named.column, named)

    def _follow(self) -> None:
        """Every table that references one that was reached, nearest first."""
        children: dict[int, list[Link]] = {}
        for link in self.links:
            children.setdefault(link.parent, []).append(link)
        queue = deque(sorted((oid for oid, one in self.reached.items() if one.level >= 0), key=self._level))
        while queue:
            parent = queue.popleft()
            for link in children.get(parent, ()):
                known = self.reached.get(link.child)
                if known is None:
                    known = self.reached[link.child] = _Reached(self.tables[link.child], -1)
                if known.level < 0:
                    known.level = self._level(parent) + 1
                    queue.append(link.child)

    def _level(self, oid: int) -> int:
        return self.reached[oid].level

    def _check_reached(self) -> None:
        for oid, one in list(self.reached.items()):
            if one.level < 0:
                self.obstacles.append(f"no foreign key leads from {one.table.relation} to a person: name its column")
                del self.reached[oid]

    def _order(self, subject: int) -> tuple[list[int], set[Link]]:
        """Children first, and the references that had to be left aside for there to be an order."""
        links = [one for one in self.links if one.child in self.reached and one.parent in self.reached]
        back = {one for one in links if one.child == subject or one.child == one.parent}
        while True:
            graph: dict[int, set[int]] = {oid: set() for oid in sorted(self.reached)}
            for link in links:
                if link not in back:
                    graph[link.parent].add(link.child)
            try:
                return list(TopologicalSorter(graph).static_order()), back
            except CycleError as error:
                cycle = error.args[1]
                steps = set(pairwise(cycle))
                # Of a cycle at least one reference does not lead further away from the subject.
                back |= {
                    one
                    for one in links
                    if ((one.child, one.parent) in steps or (one.parent, one.child) in steps)
                    and self._level(one.child) <= self._level(one.parent)
                }

    def _tables(self, subject: int, order: Sequence[int], back: set[Link]) -> list[MappedTable]:
        links = [one for one in self.links if one.child in self.reached and one.parent in self.reached]
        tables: dict[int, MappedTable] = {}
        for oid in reversed(order):  # parents first: whether they stay decides about their children
            one = self.reached[oid]
            parents = tuple(link for link in links if link.child == oid and link not in back)
            references = [link for link in links if link.parent == oid and link in back]
            itself = [link for link in references if link.child == oid]
            cascades = tuple(link for link in itself if link.on_delete == "c" and oid != subject)
            broken = [link for link in references if link not in cascades and link.on_delete not in ("n", "d")]
            tables[oid] = MappedTable(
                oid=oid,
                relations=(one.table.relation, *self._unseen(oid)),
                columns=one.table.columns,
                column=one.column,
                column_type=column.type if (column := one.table.column(one.column)) else "",
                parents=parents,
                cascades=cascades,
                unlink=tuple(link for link in broken if self._nullable(link)),
                stuck=tuple(link for link in broken if not self._nullable(link)),
                path=self._path(one, parents),
                named=one.policy is not None,
                **self._action(one, parents, tables, subject),
            )
        return [tables[oid] for oid in order]

    def _unseen(self, root: int) -> Iterable[Relation]:
        return (table.relation for table in self.tables.values() if table.root == root and table.pending)

    def _nullable(self, link: Link) -> bool:
        """Whether the reference can be taken out: without MATCH FULL one NULL is enough, but all are clearer."""
        return not any((one := self.tables[link.child].column(name)) and one.not_null for name in link.columns)

    def _path(self, one: _Reached, parents: Sequence[Link]) -> str:
        """How its rows are joined to the subject, in words."""
        ways = [f"{one.column} is the key"] if one.column else []
        ways += [
            f"{', '.join(link.columns)} -> {self.tables[link.parent].relation} ({', '.join(link.referenced)})"
            for link in parents
        ]
        return " or ".join(ways)

    @staticmethod
    def _action(
        one: _Reached, parents: Sequence[Link], tables: Mapping[int, MappedTable], subject: int
    ) -> dict[str, Any]:
        if one.policy is not None:
            return {"action": one.policy.action, "reason": one.policy.reason, "set": dict(one.policy.set)}
        above = [tables[link.parent] for link in parents]
        if not one.column and above and all(two.oid != subject and two.action != "delete" for two in above):
            names = ", ".join(sorted({two.title for two in above}))
            return {"action": "keep", "reason": f"belongs to rows of {names}, which stay"}
        return {"action": "delete"}

    def _find_rows_that_stay(self, tables: Sequence[MappedTable]) -> None:
        """A row cannot go while one that stays references it."""
        by_oid = {one.oid: one for one in tables}
        for link in self.links:
            child, parent = by_oid.get(link.child), by_oid.get(link.parent)
            if child is None or parent is None or parent.action != "delete" or child.action == "delete":
                continue
            if any(name in child.set for name in link.columns) or link in parent.unlink:
                continue
            if link.on_delete == "n" and self._nullable(link):
                continue
            self.obstacles.append(
                f"rows of {child.title} stay ({child.action}) and reference {parent.title}, whose rows would go:"
                f" anonymise {parent.title}, or set {link.columns[0]} of {child.title}"
            )

    def _unnamed(self, subject: _Table, key: Column) -> list[tuple[Relation, str, bool]]:
        """Columns of tables that were not reached, by names that hold a person elsewhere."""
        singular = subject.relation.name.removesuffix("s")
        names = {f"{singular}_{key.name}", f"{subject.relation.name}_{key.name}", key.name}
        names |= {one.column for one in self.reached.values() if one.column}
        names |= {
            link.columns[0]
            for link in self.links
            if link.parent == subject.oid and link.referenced == (key.name,) and link.child != subject.oid
        }
        names |= {one.name for one in subject.columns if one.unique}
        names = {name.lower() for name in names} - set(_TOO_COMMON)
        reached = {relation for one in self.reached.values() for relation in (one.table.relation,)}
        roots = set(self.reached)
        return [
            (table.relation, column.name, self._same(subject, column))
            for table in self.tables.values()
            if table.relation not in reached and (table.root is None or (table.pending and table.root not in roots))
            for column in table.columns
            if column.name.lower() in names
        ]

    @staticmethod
    def _same(subject: _Table, column: Column) -> bool:
        mine = subject.column(column.name)
        return mine is not None and mine.type == column.type
