"""What the ledger knows of retired partitions: a row for each, written before every act."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from pgops.ledger.store import Ledger

State = Literal["attached", "detaching", "detached", "archived", "verified", "grace", "dropping", "dropped", "restored"]


@dataclass(frozen=True)
class PartitionState:
    """How far a partition has come.

    Attributes:
        parent: "schema.table", as messages name it.
        range: the bound as the catalog prints it.
        archive: full key of its archive's folder, from "archived" on.
        drop_after: from "grace" on; of a restored one: until when it is left alone.
    """

    database: str
    oid: int
    schema: str
    name: str
    parent: str
    range: str
    state: State
    archive: str | None = None
    drop_after: datetime | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


def record_partition_state(ledger: Ledger, state: PartitionState) -> None:
    """Write a partition's row, over the one before; its facts are added to what is known."""
    ledger.rows(
        "record_partition_state",
        database=state.database,
        oid=state.oid,
        schema=state.schema,
        name=state.name,
        parent=state.parent,
        range=state.range,
        state=state.state,
        archive=state.archive,
        drop_after=state.drop_after,
        facts=json.dumps(dict(state.facts)),
    )


def partition_state(ledger: Ledger, database: str, oid: int) -> PartitionState | None:
    """A partition's row."""
    found = ledger.rows("partition_states", database=database, oid=oid)
    return PartitionState(**found[0]) if found else None


def partition_states(ledger: Ledger, database: str) -> list[PartitionState]:
    """All rows of a database, those that changed last first."""
    return [PartitionState(**row) for row in ledger.rows("partition_states", database=database, oid=None)]
