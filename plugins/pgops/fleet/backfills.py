"""How fast rows may be changed in a database that is in use, and when not at all."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from pgops.fleet.base import ConnectionId, Policy
from pgops.fleet.windows import window


class LatencyPolicy(Policy):
    """How slow a small read of the table may become.

    An absolute limit starves a backfill as soon as the usual moves, so it is a multiple of what was measured before the
    start and in pauses.

    factor: times the usual p95.
    floor_ms: below this a read is never too slow, whatever is usual.
    baseline_seconds: how long to look at what is usual, before the first batch.
    """

    factor: float = Field(2, gt=1)
    floor_ms: float = Field(10, gt=0)
    baseline_seconds: float = Field(20, gt=0, le=3600)


class BackfillPolicy(Policy):
    """How batched_backfill and zero_downtime_column treat a database.

    connection: of a role on the primary that may update the tables and is a member of pg_monitor.
    batch_ms: how long a batch may hold its row locks: about the longest that a writer of the same rows has to wait.
        Short batches and pauses cost speed and spare the application's slowest requests: benchmarks/README.md.
    on_error: a row that its trigger or constraint refuses stops the backfill, or is skipped and recorded.
    standbys: application_name of each standby that has to stream; one that does not is no standby without lag. Those
        that stream at the start are expected to the end in any case.
    max_lag_mb: WAL that a standby has yet to replay; beyond it no batch runs.
    critical_lag_mb: beyond this the backfill stops and fails.
    max_slot_mb: WAL that a replication slot may retain.
    latency: how slow reads of the table may become.
    max_blocked_sessions: that wait for a lock of the backfill in two looks in a row.
    max_wal_mb_s: WAL of the whole server a second; none: no limit.
    max_connections_share: of what max_connections lets in.
    max_pg_wal_mb: size of pg_wal, which grows when archiving fails; none: twice what max_wal_size and wal_keep_size
        allow.
    max_table_gb: of the table with its indexes, beyond which the backfill stops: it may double a table, and how much of
        the disk is free cannot be asked over SQL; none: no limit.
    max_transaction_minutes: age of an open transaction that keeps vacuum from removing what the backfill leaves.
    blackouts: when no batch runs, in the fleet's time zone, such as "Mon-Fri 09:00-17:00" or "22:30-01:00".
    vacuum_dead_share: of the table's rows; with more dead ones it is vacuumed before the backfill goes on.
    vacuum_cost_limit: how much that vacuum does between two sleeps of 2 ms, as PostgreSQL's setting of that name: at
        full speed it keeps the disk from those who commit.
    min_rows_per_second: slowed down by latency and its kind, it is still as fast as this, so that it ends some day.
        What does harm (lag, blocked sessions, blackouts) makes it wait in any case.
    min_sleep_ratio, max_sleep_ratio: the shortest and the longest sleep after a batch, as multiples of the time that
        the batch took; the shortest is that of a server that is well.
    stall_alert_minutes: a backfill that is held up for longer, by whatever or whomever, says so in Slack once, and once
        more when it goes on.
    max_blind_seconds: a signal that nobody could read for so long stops the backfill; until then no batch runs.
    """

    connection: ConnectionId
    batch_ms: float = Field(3, ge=1, le=5000)
    on_error: Literal["stop", "skip"] = "stop"
    standbys: tuple[str, ...] = ()
    max_lag_mb: float = Field(16, gt=0)
    critical_lag_mb: float = Field(1024, gt=0)
    max_slot_mb: float = Field(4096, gt=0)
    latency: LatencyPolicy = LatencyPolicy()  # type: ignore[call-arg]
    max_blocked_sessions: int = Field(0, ge=0)
    max_wal_mb_s: float | None = Field(None, gt=0)
    max_connections_share: float = Field(0.8, gt=0, le=1)
    max_pg_wal_mb: float | None = Field(None, gt=0)
    max_table_gb: float | None = Field(None, gt=0)
    max_transaction_minutes: float = Field(30, gt=0)
    blackouts: tuple[str, ...] = ()
    vacuum_dead_share: float = Field(0.2, gt=0, le=1)
    vacuum_cost_limit: int = Field(600, ge=1, le=10_000)
    min_rows_per_second: float = Field(200, ge=0)
    min_sleep_ratio: float = Field(0.6, ge=0, le=1000)
    max_sleep_ratio: float = Field(8, ge=0.05, le=1000)
    stall_alert_minutes: float = Field(10, gt=0)
    max_blind_seconds: float = Field(60, gt=0, le=3600)

    @field_validator("blackouts")
    @classmethod
    def _windows(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            window(text)
        return value

    @field_validator("standbys")
    @classmethod
    def _named(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(value):
            raise ValueError("give each standby's application_name")
        return value

    @model_validator(mode="after")
    def _order(self) -> BackfillPolicy:
        if self.critical_lag_mb <= self.max_lag_mb:
            raise ValueError("critical_lag_mb has to be above max_lag_mb")
        if self.max_sleep_ratio < self.min_sleep_ratio:
            raise ValueError("max_sleep_ratio has to be at least min_sleep_ratio")
        return self
