"""Which partitions have to be there ahead of time, and what becomes of old ones."""

from __future__ import annotations

import re
import zoneinfo
from typing import Literal

from pydantic import Field, field_validator, model_validator

from pgops.fleet.base import ConnectionId, Policy

TimeInterval = Literal["hour", "day", "week", "month", "quarter", "year"]
RETENTION = re.compile(r"^([1-9][0-9]{0,4}) (hour|day|week|month|year)s?$")


class PartitionPolicy(Policy):
    """How one partitioned table is looked after, or several whose names fit a pattern; the first that fits counts.

    parent: "schema.table", or a pattern such as "public.events_*".
    interval: the width of a partition; a whole number for a key of whole numbers.
    timezone: in which a day begins; bounds are instants.
    premake: intervals that have to exist beyond the current one.
    retention: how long rows are kept in the table, such as "24 months"; for keys of whole numbers how far below the
        greatest key; none: for ever.
    archive: a retired partition is copied to the bucket, read back and compared before it may be dropped.
    grace_days: between the proven archive (or the detaching, without one) and the drop.
    legal_hold: a reason for which nothing is retired.
    default: what becomes of rows in the DEFAULT partition that stand in the way of a new one: drained with it, up to
        `drain_rows`, or only reported.
    """

    parent: str = Field(min_length=3, max_length=200)
    interval: TimeInterval | int
    timezone: str = "UTC"
    premake: int = Field(3, ge=1, le=1000)
    retention: str | int | None = None
    archive: bool = True
    grace_days: float = Field(7, ge=0, le=3650)
    legal_hold: str | None = Field(None, min_length=3)
    default: Literal["drain", "report"] = "report"
    drain_rows: int = Field(10_000, ge=1, le=1_000_000)

    @field_validator("parent")
    @classmethod
    def _with_schema(cls, value: str) -> str:
        if "." not in value:
            raise ValueError("name the schema too, such as public.events")
        return value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in zoneinfo.available_timezones():
            raise ValueError(f"{value!r} is no time zone of the IANA database, such as Europe/Berlin")
        return value

    @model_validator(mode="after")
    def _retention(self) -> PartitionPolicy:
        if isinstance(self.interval, int):
            if self.interval < 1:
                raise ValueError("interval has to be at least 1")
            if self.retention is not None and (not isinstance(self.retention, int) or self.retention < 1):
                raise ValueError("retention of a key of whole numbers is a whole number")
        elif self.retention is not None and not RETENTION.match(str(self.retention)):
            raise ValueError(f"retention is such as '24 months', not {self.retention!r}")
        return self


class PartitionPolicies(Policy):
    """How partition_maintenance treats a database.

    connection: of the role that owns the tables, on the primary.
    scratch_connection: server on which archives are proven; the drill's when none.
    create, retire: switches of their own: whoever stops the one does not stop the other.
    first_lock_timeout_ms, last_lock_timeout_ms: a lock is tried with ever longer timeouts, all below deadlock_timeout,
        since a longer wait freezes the application behind it and cancels autovacuum.
    lock_tries: of one statement.
    parent_budget_seconds: for one parent, all its waits included.
    max_waiting_sessions: sessions that wait for locks anywhere on the server; with more, nothing is begun.
    tables: the policies, in order.
    ignore: partitioned tables that need none, by name or pattern; any other without a policy is a finding.
    """

    connection: ConnectionId
    scratch_connection: ConnectionId | None = None
    create: bool = True
    retire: bool = True
    first_lock_timeout_ms: int = Field(100, ge=10, le=900)
    last_lock_timeout_ms: int = Field(900, ge=10, le=10_000)
    lock_tries: int = Field(10, ge=1, le=100)
    parent_budget_seconds: float = Field(120, gt=0, le=86400)
    max_waiting_sessions: int = Field(5, ge=0)
    tables: tuple[PartitionPolicy, ...] = ()
    ignore: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _ladder(self) -> PartitionPolicies:
        if self.last_lock_timeout_ms < self.first_lock_timeout_ms:
            raise ValueError("last_lock_timeout_ms has to be at least first_lock_timeout_ms")
        return self
