"""What partition maintenance talks about: parents, their partitions, and what is to be done.

The truth about a partition is its bound in the catalog, never its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pgops.fleet.partitions import PartitionPolicy

KeyKind = Literal["timestamptz", "timestamp", "date", "integer", "uuidv7"]
# An instant (aware, in UTC) or a whole number. A timestamp without time zone, and a date, is taken as if it were UTC; a
# uuidv7 as the instant that it holds.
Edge = datetime | int


@dataclass(frozen=True)
class Range:
    """From `lower` (inclusive) to `upper` (exclusive); None is MINVALUE and MAXVALUE."""

    lower: Edge | None
    upper: Edge | None


@dataclass(frozen=True)
class Partition:
    """A partition as the catalog has it.

    Attributes:
        range: None for DEFAULT.
        pending: an interrupted DETACH CONCURRENTLY: invisible through the parent until it is finalized.
        rows: the planner's estimate; -1 when never analyzed.
        bytes: with indexes and TOAST, as of the last VACUUM or ANALYZE; of DEFAULT the heap's true size.
        has_partitions: it is itself partitioned.
    """

    oid: int
    schema: str
    name: str
    range: Range | None
    pending: bool
    rows: int
    bytes: int
    has_partitions: bool


@dataclass(frozen=True)
class Parent:
    """A table partitioned by the range of one column, with its partitions in the order of their bounds.

    Attributes:
        key_type: the key's type by its name in the catalog; of a domain that which it is based on.
        within: of a table that is a partition itself, by the same column: it can have no rows outside.
        uuid_tail: the 80 bits of a uuid bound after its instant, as the partitions there have them.
    """

    oid: int
    schema: str
    name: str
    key: str
    kind: KeyKind
    partitions: tuple[Partition, ...]
    key_type: str = ""
    within: Range | None = None
    uuid_tail: int = 0

    @property
    def title(self) -> str:
        """As messages name it."""
        return f"{self.schema}.{self.name}"

    @property
    def default(self) -> Partition | None:
        """The DEFAULT partition."""
        return next((one for one in self.partitions if one.range is None), None)

    @property
    def attached(self) -> tuple[Partition, ...]:
        """The partitions that take rows by their bounds: neither DEFAULT nor half detached."""
        return tuple(one for one in self.partitions if one.range is not None and not one.pending)


@dataclass(frozen=True)
class NewPartition:
    """A partition that is to be made. `default_rows`: how many rows of DEFAULT belong into it."""

    name: str
    range: Range
    default_rows: int = 0


@dataclass(frozen=True)
class Finding:
    """Something that a person should know about a parent; `bad`: it endangers inserts or data."""

    what: str
    remedy: str
    bad: bool = False


@dataclass(frozen=True)
class ParentPlan:
    """What is to be done about one parent.

    Attributes:
        finalize: detaches that were interrupted; first of all.
        create: in the order of their bounds.
        retire: attached partitions beyond retention, the oldest first.
        horizon: up to where partitions exist without a gap, from now on; None when there is not even a current one;
            the last instant or number there is when the last has no end.
    """

    parent: Parent
    policy: PartitionPolicy
    finalize: tuple[Partition, ...]
    create: tuple[NewPartition, ...]
    retire: tuple[Partition, ...]
    horizon: Edge | None
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Plan:
    """A database's plan; `findings` are about parents without a plan (no policy, not one range column)."""

    parents: tuple[ParentPlan, ...]
    findings: tuple[Finding, ...]
