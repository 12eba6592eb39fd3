"""The shapes of include/fleet.yaml. Every key is documented here; an unknown key is an error."""

from __future__ import annotations

import zoneinfo
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

from croniter import croniter  # type: ignore[import-untyped]
from pydantic import Field, field_validator, model_validator

from pgops.errors import Refused
from pgops.fleet.backfills import BackfillPolicy
from pgops.fleet.base import Canary, ConnectionId, Name, Policy, Tls
from pgops.fleet.health import HealthPolicy
from pgops.fleet.migrations import MigrationPolicy
from pgops.fleet.partitions import PartitionPolicies
from pgops.fleet.physical import PhysicalPolicy
from pgops.fleet.privacy import PrivacyPolicy
from pgops.fleet.problems import FleetProblem
from pgops.fleet.queries import QueryPolicy
from pgops.fleet.tuning import TuningPolicy

SCHEDULED = (
    *("nightly_backup", "backup_watch", "partition_maintenance", "daily_health_check"),
    *("recovery_drill", "query_snapshot", "query_review", "configuration_review"),
)


class Retention(Policy):
    """How many proven backups stay. A backup stays when any rule keeps it; the newest proven one always stays."""

    keep_last: int = Field(7, ge=1, le=3650)
    keep_days: int = Field(7, ge=0, le=36500)
    keep_weekly: int = Field(4, ge=0, le=1000)
    keep_monthly: int = Field(12, ge=0, le=1000)
    keep_yearly: int = Field(0, ge=0, le=100)


class LocalCopy(Policy):
    """A copy of each dump on the worker's disk (the worker must be the same machine every night)."""

    directory: str
    keep_days: int = Field(7, ge=1, le=3650)

    @field_validator("directory")
    @classmethod
    def _absolute(cls, value: str) -> str:
        if not PurePosixPath(value).is_absolute() or PurePosixPath(value) == PurePosixPath("/"):
            raise ValueError("give an absolute folder, such as /backups/postgresql")
        return value


class EncryptionPolicy(Policy):
    """Client-side encryption of a database's dumps, in the age format. Secret keys: storage.identity_connection.

    recipients: public keys (age1...) by a name for each; any one of them opens a dump alone. Those of `defaults` are
        added to a database's own.
    verify: decrypted reads every dump back through its decryption at night, which takes a secret key; stored only
        proves that the bytes are those that were sent, and leaves the rest to the restore drill.
    """

    recipients: dict[Name, str] = Field(min_length=1)
    verify: Literal["decrypted", "stored"] = "decrypted"

    @field_validator("recipients")
    @classmethod
    def _public_keys(cls, value: dict[str, str]) -> dict[str, str]:
        import pyrage  # only where somebody encrypts: DAG files are parsed often

        for name, key in value.items():  # whose values are not repeated: one may be a secret that was put here
            if key.upper().startswith("AGE-SECRET-KEY"):
                raise ValueError(f"{name} is a secret key: it is known now; make another with age-keygen")
            try:
                pyrage.x25519.Recipient.from_str(key)
            except pyrage.RecipientError as error:
                raise ValueError(f"{name} is no public key of age: it begins with age1") from error
        if len(set(value.values())) < len(value):
            raise ValueError("two recipients have the same key")
        return value


class BackupPolicy(Policy):
    """How a database is backed up.

    storage_class: as S3 names it; the bucket's default when empty.
    prefer_standby: dump from `standby_connection` while it follows closely, else from the primary.
    max_standby_lag_seconds: a standby further behind than this is not used.
    fingerprint_jobs: sessions that read the tables beside pg_dump.
    lock_wait_seconds: how long pg_dump waits for a table that somebody has locked.
    rpo_hours: the newest proven backup is never older than this; backup_watch alerts when it is.
    encryption: to which keys dumps are encrypted; they are not when it is empty.
    """

    compression: Literal["zstd", "gzip", "none"] = "zstd"
    level: int = Field(2, ge=1, le=19)
    storage_class: str = "STANDARD_IA"
    prefer_standby: bool = False
    max_standby_lag_seconds: int = Field(300, ge=1)
    fingerprint_jobs: int = Field(2, ge=1, le=32)
    lock_wait_seconds: int = Field(60, ge=1, le=86400)
    rpo_hours: float = Field(26, gt=0, le=24 * 366)
    retention: Retention = Retention()  # type: ignore[call-arg]
    local_copy: LocalCopy | None = None
    encryption: EncryptionPolicy | None = None

    @model_validator(mode="after")
    def _gzip_levels(self) -> BackupPolicy:
        if self.compression == "gzip" and self.level > 9:
            raise ValueError("gzip knows levels 1 to 9")
        return self


class DrillPolicy(Policy):
    """How a backup is proven by restoring it.

    connection: Airflow connection to the server on which the scratch database is made.
    jobs: parallel jobs of pg_restore.
    rto_minutes: the restore must not take longer.
    amcheck: also check heap and B-tree structure with pg_amcheck.
    """

    connection: ConnectionId
    jobs: int = Field(2, ge=1, le=64)
    rto_minutes: float = Field(60, gt=0)
    amcheck: bool = True
    canaries: tuple[Canary, ...] = ()


class Server(Policy):
    """A PostgreSQL server.

    pool: the Airflow pool that limits what runs on it at a time.
    tls: what backups do when the way to it is not encrypted, or nobody checks that it is this server. off does not
        look, warn says so in the report (not of this machine's own addresses), required refuses what is not encrypted
        for certain (sslmode require or more), verified refuses what is not sslmode=verify-full.
    physical: how its base backups and WAL are kept; none are when it is empty.
    """

    name: Name
    pool: str = "default_pool"
    tls: Tls = "warn"
    physical: PhysicalPolicy | None = None
    tuning: TuningPolicy | None = None


class Database(Policy):
    """One database and its policies."""

    name: Name
    server: Name
    connection: ConnectionId
    standby_connection: ConnectionId | None = None
    backup: BackupPolicy = BackupPolicy()  # type: ignore[call-arg]
    drill: DrillPolicy | None = None
    migrations: MigrationPolicy | None = None
    backfill: BackfillPolicy | None = None
    partitions: PartitionPolicies | None = None
    privacy: PrivacyPolicy | None = None
    health: HealthPolicy | None = None
    queries: QueryPolicy | None = None

    @model_validator(mode="after")
    def _standby(self) -> Database:
        if self.backup.prefer_standby and self.standby_connection is None:
            raise ValueError("backup.prefer_standby needs standby_connection")
        return self


class ObjectLockPolicy(Policy):
    """For how long nobody may remove a backup; the bucket must have been made with object lock.

    mode: GOVERNANCE can be lifted by whoever has s3:BypassGovernanceRetention, COMPLIANCE by nobody.
    """

    mode: Literal["GOVERNANCE", "COMPLIANCE"] = "GOVERNANCE"
    days: int = Field(ge=1, le=36500)


class Storage(Policy):
    """The bucket that holds the backups.

    connection: of whoever writes and reads; its key needs no right to delete where prune_connection is given.
    prune_connection: of whoever removes what no rule keeps.
    identity_connection: its password holds the age identities (secret keys, one a line) that open encrypted dumps.
    sse: encryption by the store; none leaves it to the bucket's default.
    kms_key_id: with aws:kms, another key than the account's own.
    object_lock: of dumps and their manifests; what the engines of base backups write has the bucket's default lock.
    """

    connection: ConnectionId
    bucket: str = Field(min_length=3, max_length=63)
    prefix: str = ""
    prune_connection: ConnectionId | None = None
    identity_connection: ConnectionId | None = None
    sse: Literal["none", "AES256", "aws:kms"] = "none"
    kms_key_id: str = ""
    object_lock: ObjectLockPolicy | None = None

    @field_validator("prefix")
    @classmethod
    def _no_slashes_around(cls, value: str) -> str:
        return value.strip("/")

    @model_validator(mode="after")
    def _kms(self) -> Storage:
        if self.kms_key_id and self.sse != "aws:kms":
            raise ValueError("kms_key_id needs sse: aws:kms")
        return self


class Slack(Policy):
    """Where messages go."""

    connection: ConnectionId
    channel: str


class Ledger(Policy):
    """The operations database in which every run leaves its record; never one of the databases it looks after."""

    connection: ConnectionId


class Settings(Policy):
    """What holds for the whole fleet.

    schedules: a DAG's id to its cron expression, in `timezone`.
    drill_pool: the Airflow pool of the tasks that load a server for drills, so that measured times mean something.
    late_after_minutes: nightly_backup still running so long after it was queued sends an alert.
    runbook_url: where docs/runbook.md can be read by whoever gets an alert.
    """

    timezone: str = "UTC"
    storage: Storage
    ledger: Ledger
    slack: Slack | None = None
    schedules: dict[str, str] = Field(default_factory=dict)
    late_after_minutes: int = Field(180, ge=1)
    drill_pool: str = "default_pool"
    runbook_url: str | None = None

    @field_validator("schedules")
    @classmethod
    def _cron(cls, value: dict[str, str]) -> dict[str, str]:
        # A DAG with a wrong expression vanishes from Airflow, and one for no DAG is not heard.
        for dag_id, expression in value.items():
            if dag_id not in SCHEDULED:
                raise ValueError(f"{dag_id!r} is no scheduled DAG: {', '.join(SCHEDULED)}")
            if not croniter.is_valid(expression):
                raise ValueError(f"{expression!r} is no cron expression, such as '0 2 * * *'")
        return value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in zoneinfo.available_timezones():
            raise ValueError(f"{value!r} is no time zone of the IANA database, such as Europe/Berlin")
        return value


@dataclass(frozen=True)
class Fleet:
    """The fleet file as read: what is valid, and what is wrong with the rest.

    `names` holds every database that the file names, valid or not, in the file's order, with its server: a bad entry
    is still a task of its own at night, and fails there with its own error.
    """

    path: str
    settings: Settings | None = None
    servers: tuple[Server, ...] = ()
    databases: tuple[Database, ...] = ()
    names: tuple[tuple[str, str], ...] = ()
    problems: tuple[FleetProblem, ...] = field(default=())

    def on_server(self, server: str) -> list[str]:
        """Names of the databases on `server`."""
        return [name for name, home in self.names if home == server]

    def server_names(self) -> list[str]:
        """Servers that have a database, in the file's order."""
        return list(dict.fromkeys(server for _, server in self.names))

    def databases_with(self, policy: str) -> list[str]:
        """Names of the databases that have a policy, such as "queries"; a bad entry is among them, and fails with its
        own error."""
        without = {database.name for database in self.databases if getattr(database, policy) is None}
        return [name for name, _ in self.names if name not in without]

    def pool(self, server: str) -> str:
        """The pool of a server; the default pool when its entry is unreadable."""
        return next((entry.pool for entry in self.servers if entry.name == server), "default_pool")

    @property
    def drill_pool(self) -> str:
        """The pool of the tasks that load a server for drills."""
        return self.settings.drill_pool if self.settings else "default_pool"

    def schedule(self, dag_id: str, default: str) -> str:
        """The cron expression of a DAG."""
        return self.settings.schedules.get(dag_id, default) if self.settings else default

    @property
    def timezone(self) -> str:
        """The fleet's time zone; UTC when the file is unreadable."""
        return self.settings.timezone if self.settings else "UTC"

    def checked_settings(self) -> Settings:
        """The settings.

        Raises:
            Refused: something that concerns the whole file is wrong.
        """
        for problem in self.problems:
            if problem.database is None and problem.server is None:
                raise problem.refusal()
        if self.settings is None:  # every way to get here leaves a problem; this is for the type checker
            raise Refused("The fleet file has no settings", where=self.path, remedy="Fill it in")
        return self.settings

    def server(self, name: str, policy: str = "") -> Server:
        """One server, or the reason why it cannot be worked on by that policy.

        Raises:
            Refused: the file, or this policy of the server, is wrong; or there is no such server.
        """
        self.checked_settings()
        for problem in self.problems:
            if (problem.server, problem.policy) == (name, policy):
                raise problem.refusal()
        for server in self.servers:
            if server.name == name:
                return server
        known = ", ".join(server.name for server in self.servers) or "none"
        raise Refused(f"There is no server {name!r}", where=self.path, remedy=f"Name one of: {known}")

    def physical_servers(self) -> list[str]:
        """Servers of which base backups are taken; one with a bad policy is among them, as in tuned_servers."""
        return self._servers_with("physical")

    def tuned_servers(self) -> list[str]:
        """Servers whose settings are reviewed; one with a bad policy is among them, and fails with its own error."""
        return self._servers_with("tuning")

    def _servers_with(self, policy: str) -> list[str]:
        bad = {problem.server for problem in self.problems if problem.policy == policy}
        return [server.name for server in self.servers if getattr(server, policy) or server.name in bad]

    def database(self, name: str) -> Database:
        """One database, or the reason why it cannot be worked on.

        Raises:
            Refused: the file, or this database's entry, is wrong; or there is no such database.
        """
        self.checked_settings()
        for problem in self.problems:
            if problem.database == name:
                raise problem.refusal()
        for database in self.databases:
            if database.name == name:
                return database
        known = ", ".join(known for known, _ in self.names) or "none"
        raise Refused(f"There is no database {name!r}", where=self.path, remedy=f"Name one of: {known}")
