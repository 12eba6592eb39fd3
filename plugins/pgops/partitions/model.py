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
        bytes: with indexes and TOAST.
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
    """A table partitioned by the range of one column, with its partitions in the order of their bounds."""

    oid: int
    schema: str
    name: str
    key: str
    kind: KeyKind
    partitions: tuple[Partition, ...]

    @property
    def title(self) -> str:
        """As messages name it."""
        return f"{self.schema}.{self.name}"

    @property
    def default(self) -> Partition | None:
        """The DEFAULT partition."""
        return next((one for one in self.partitions if one.range is None), None)


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
        horizon: up to where partitions exist without a gap, from now on; None when there is not even a current one.
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
