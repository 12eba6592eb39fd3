"""What a new partition takes over from its parent and from its newest sibling.

Columns, constraints, indexes, triggers and foreign keys are the parent's, by LIKE and ATTACH. A partition inherits no
storage options, privileges, replica identity, row security, persistence or publications: somebody has set them on the
partitions that are there, and the newest shows what is wanted now.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from pgops.include import query, sql_text
from pgops.partitions.bounds import parse
from pgops.partitions.locks import LockLevel
from pgops.partitions.model import Parent, Partition, Range
from pgops.partitions.session import ask

_DEFAULT, _NOTHING, _FULL, _INDEX = "d", "n", "f", "i"
_NONE = sql.SQL("")


@dataclass(frozen=True)
class Family:
    """A parent as it is now, and its newest sibling.

    Attributes:
        parent: of the plan.
        facts: the row of parent.sql; None when the parent is gone.
    """

    parent: Parent
    facts: dict[str, Any] | None

    # --- is the plan still right? ---

    def ranges(self) -> list[tuple[str, Range | None]]:
        """Names and ranges of the partitions that are there now; None for DEFAULT. Half detached ones are left out."""
        there = (one for one in self._facts["partitions"] if not one[2])
        return [(name, parse(bound, self.parent.kind)) for _, bound, _, name in there]

    def default(self) -> int | None:
        """The oid of DEFAULT."""
        return next((oid for oid, bound, *_ in self._facts["partitions"] if bound == "DEFAULT"), None)

    def watched(self) -> dict[int, LockLevel]:
        """The locks that ATTACH will ask for, by the relation's oid."""
        levels: dict[int, LockLevel] = dict.fromkeys(self._facts["related"], "ShareRowExclusiveLock")
        levels[self.parent.oid] = "ShareUpdateExclusiveLock"
        if (default := self.default()) is not None:
            levels[default] = "AccessExclusiveLock"
        return levels

    # --- statements ---

    def create(self, table: sql.Identifier) -> sql.Composed:
        """The table by itself."""
        facts = self._facts
        partitioned = facts["partition_key"] is not None
        options = [
            sql.SQL("{} = {}").format(_option(name), sql.Literal(value)) for name, value in facts["options"] or ()
        ]
        return query(
            "partitions/create/table.sql",
            persistence=sql.SQL("UNLOGGED") if facts["persistence"] == "u" and not partitioned else _NONE,
            table=table,
            parent=self.identifier,
            statistics=_NONE if facts["own_statistics"] else sql.SQL("EXCLUDING STATISTICS"),
            partition_by=sql.SQL("PARTITION BY {}").format(sql.SQL(facts["partition_key"])) if partitioned else _NONE,
            access_method=self._clause("USING", facts["access_method"]) if facts["access_method"] else _NONE,
            options=sql.SQL("WITH ({})").format(sql.SQL(", ").join(options)) if options and not partitioned else _NONE,
            tablespace=self.tablespace,
        )

    def dress(self, table: sql.Identifier) -> Iterator[sql.Composed]:
        """Owner, privileges, replica identity but for an index, row security."""
        facts = self._facts
        if not facts["is_owner"]:
            yield query("partitions/create/owner.sql", table=table, owner=sql.Identifier(facts["owner"]))
        if facts["sibling"] is None:
            return
        for role in facts["default_grantees"]:
            yield query("partitions/create/revoke.sql", table=table, role=_role(role))
        for column, role, privilege, grantable in facts["grants"]:
            on = sql.SQL("{} ({})").format(sql.SQL(privilege), sql.Identifier(column)) if column else None
            yield query(
                "partitions/create/grant.sql",
                privilege=on or sql.SQL(privilege),
                table=table,
                role=_role(role),
                option=sql.SQL("WITH GRANT OPTION") if grantable else _NONE,
            )
        identity = {_NOTHING: "NOTHING", _FULL: "FULL"}.get(facts["replica_identity"])
        if identity:
            yield query("partitions/create/replica_identity.sql", table=table, identity=sql.SQL(identity))
        for action, wanted in (("ENABLE", facts["row_security"]), ("FORCE", facts["force_row_security"])):
            if wanted:
                yield query("partitions/create/row_security.sql", table=table, action=sql.SQL(action))

    @property
    def adopts(self) -> bool:
        """Whether there is something for `adopt` to do."""
        facts = self._facts
        return bool(facts["publications"]) or (
            facts["replica_identity"] == _INDEX and facts["replica_index"] is not None
        )

    def adopt(self, connection: Connection, table: sql.Identifier) -> None:
        """What can be done after ATTACH only: the index of the replica identity, publications."""
        facts = self._facts
        with connection.cursor() as cursor:
            if facts["replica_identity"] == _INDEX and facts["replica_index"] is not None:
                values = {"index": facts["replica_index"], "table": table.as_string(connection)}
                cursor.execute(sql_text("partitions/create/replica_index.sql"), values)
                if (row := cursor.fetchone()) is not None:
                    using = self._clause("USING INDEX", row[0])
                    cursor.execute(query("partitions/create/replica_identity.sql", table=table, identity=using))
            for publication, restricted in facts["publications"] or ():
                if not restricted:
                    name = sql.Identifier(publication)
                    cursor.execute(query("partitions/create/publish.sql", publication=name, table=table))

    def notes(self) -> tuple[str, ...]:
        """What the sibling has and a new partition does not get."""
        facts, found = self._facts, []
        if facts["policies"]:
            found.append(
                f"The newest partition has {facts['policies']} row security policies of its own, which are not copied: "
                "whoever reads the new partition itself sees nothing until it has some"
            )
        if facts["replica_identity"] == _INDEX and facts["replica_index"] is None:
            found.append(
                "The newest partition's replica identity is an index that its parent does not have: not copied"
            )
        found += [
            f"Publication {name} shows the newest partition with a filter or a column list: the new one is not added"
            for name, restricted in facts["publications"] or ()
            if restricted
        ]
        return tuple(found)

    @property
    def identifier(self) -> sql.Identifier:
        """The parent, for statements."""
        return sql.Identifier(self.parent.schema, self.parent.name)

    @property
    def deadlock_timeout_ms(self) -> int:
        """Of the server."""
        return int(self._facts["deadlock_timeout_ms"])

    @property
    def sub_strategy(self) -> str | None:
        """How the newest sibling is partitioned itself: r, l or h."""
        strategy = self._facts["sub_strategy"]
        return None if strategy is None else str(strategy)

    @property
    def siblings_children(self) -> list[tuple[str, str, bool]]:
        """Its partitions: name, bounds as the catalog writes them, whether they are partitioned again."""
        return [(name, bounds, kind == "p") for name, bounds, kind in self._facts["children"] or ()]

    @property
    def sibling(self) -> Partition | None:
        """The newest partition."""
        there = (one for one in reversed(self.parent.attached) if one.oid == self._facts["sibling"])
        return next(there, None)

    @property
    def tablespace(self) -> sql.Composable:
        """TABLESPACE, as PARTITION OF takes it from the parent."""
        name = self._facts["tablespace"]
        return self._clause("TABLESPACE", name) if name else _NONE

    @property
    def _facts(self) -> dict[str, Any]:
        assert self.facts is not None
        return self.facts

    @staticmethod
    def _clause(word: str, name: str) -> sql.Composed:
        return sql.SQL("{} {}").format(sql.SQL(word), sql.Identifier(name))


def read_family(connection: Connection, parent: Parent) -> Family:
    """The parent as it is now."""
    sibling = next((one.oid for one in reversed(parent.attached)), None)
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        ask(cursor, "create/parent", parent.oid, sibling)
        return Family(parent, cursor.fetchone())


def _role(name: str | None) -> sql.Composable:
    return sql.SQL("PUBLIC") if name is None else sql.Identifier(name)


def _option(name: str) -> sql.Composable:
    """A storage option: toast.autovacuum_enabled is two names."""
    return sql.SQL(".").join(sql.Identifier(part) for part in name.split(".", 1))
