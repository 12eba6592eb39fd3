"""How a database's schema changes: where its migrations lie, what they may cost, and who lets them into production."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Literal

from pydantic import Field, field_validator, model_validator

from pgops.fleet.base import Canary, ConnectionId, Policy


class LockBudget(Policy):
    """How long, in milliseconds, a migration may hold a lock on a table that was there before it.

    reads_and_writes: AccessExclusive: nobody can use the table.
    writes: Share, ShareRowExclusive, Exclusive: nobody can write it.
    """

    reads_and_writes: int = Field(1000, ge=1)
    writes: int = Field(5000, ge=1)


class Golden(Policy):
    """The template from which copies are made; it lies on the server for copies and nobody connects to it.

    source: "backup" restores the newest proven backup; "staging" copies the database of `connection`.
    connection: of the staging database, for source "staging".
    max_age_hours: an older template is made anew before the next copy.
    """

    source: Literal["backup", "staging"] = "backup"
    connection: ConnectionId | None = None
    max_age_hours: float = Field(24, gt=0)

    @model_validator(mode="after")
    def _staging(self) -> Golden:
        if self.source == "staging" and self.connection is None:
            raise ValueError("source: staging needs connection")
        return self


class Watch(Policy):
    """The window after a deployment, and what counts as a breach against what was usual before it.

    minutes: how long to watch.
    baseline_seconds: how long to look at what is usual, before the deployment.
    max_errors: rolled-back transactions a minute above what was usual before.
    max_slowdown: mean time of the application's queries, as a multiple of what it was.
    max_lag_mb: what a standby may be behind.
    max_latency_ms: of a read of a touched table; or max_slowdown times what it was, whichever is more.
    """

    minutes: float = Field(10, gt=0, le=600)
    baseline_seconds: float = Field(60, gt=0, le=3600)
    max_errors: float = Field(10, ge=0)
    max_slowdown: float = Field(2, gt=1)
    max_lag_mb: float = Field(256, gt=0)
    max_latency_ms: float = Field(50, gt=0)


class DeployPolicy(Policy):
    """How a validated migration gets into production.

    connection: of the role that owns the schema, on the primary.
    approvers: who may approve, as Airflow names its users; empty: anybody who may edit the run.
    requester_may_approve: whether whoever triggered the deployment may also approve it.
    approval_minutes: without an answer by then it is rejected.
    backup_max_age_hours: there must be a proven backup younger than this.
    downtime_seconds: the estimate must stay below; the estimate is the longest time a table cannot be used.
    lock_timeout_ms: for each attempt to get a lock; a statement that waits keeps everybody behind it waiting too.
    lock_attempts: how often it is tried again, with a pause in between.
    smoke_tests: questions to the deployed database with their known answers.
    maintenance, monitoring: Airflow HTTP connections that are told before and after (JSON, POST); none: nobody is.
    """

    connection: ConnectionId
    approvers: tuple[str, ...] = ()
    requester_may_approve: bool = False
    approval_minutes: float = Field(60, gt=0, le=7 * 24 * 60)
    backup_max_age_hours: float = Field(24, gt=0)
    downtime_seconds: float = Field(30, gt=0)
    lock_timeout_ms: int = Field(500, ge=10, le=60_000)
    lock_attempts: int = Field(30, ge=1, le=1000)
    smoke_tests: tuple[Canary, ...] = ()
    watch: Watch = Watch()  # type: ignore[call-arg]
    maintenance: ConnectionId | None = None
    monitoring: ConnectionId | None = None


class MigrationPolicy(Policy):
    """How a database's migrations are rehearsed.

    folder: of the SQL pairs, under include/, such as migrations/app.
    alembic: instead of that, an Alembic script location under include/, the folder that holds versions/.
    baseline: the version up to which a database that was there before this project has everything.
    connection: the server for copies (its maintenance database): never production, never a standby.
    golden: what the copies are copies of.
    budget_seconds: a migration that takes longer is cut off; the rollback has as long.
    locks: how long locks may be held.
    max_stall_ms: the longest that a reader or writer beside the migration may have to wait.
    big_table_mb: from this size on a rewrite or a full scan under a lock is an error, and partitioning is asked for.
    rules: a rule's name to "error", "warning" or "off".
    deploy: without it nothing of this database is deployed.
    """

    folder: str | None = None
    alembic: str | None = None
    baseline: str | None = None
    connection: ConnectionId
    golden: Golden = Golden()  # type: ignore[call-arg]
    budget_seconds: float = Field(300, gt=0, le=86_400)
    locks: LockBudget = LockBudget()  # type: ignore[call-arg]
    max_stall_ms: int = Field(2000, ge=1)
    big_table_mb: int = Field(1000, ge=1)
    rules: dict[str, Literal["error", "warning", "off"]] = Field(default_factory=dict)
    deploy: DeployPolicy | None = None

    @field_validator("folder", "alembic")
    @classmethod
    def _under_include(cls, value: str | None) -> str | None:
        if value is not None and (PurePosixPath(value).is_absolute() or ".." in PurePosixPath(value).parts):
            raise ValueError("give a folder under include/, such as migrations/app")
        return value

    @model_validator(mode="after")
    def _one_kind(self) -> MigrationPolicy:
        if (self.folder is None) == (self.alembic is None):
            raise ValueError("give either folder (SQL pairs) or alembic (a script location)")
        return self
