"""How a server's base backups and WAL are kept, and how it is recovered from them."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Literal

from pydantic import Field, field_validator, model_validator

from pgops.fleet.base import ConnectionId, Policy
from pgops.fleet.recoveries import RecoveryPolicy


class PhysicalRetention(Policy):
    """Which base backups stay. A full one and the differences to it are one thing, with the WAL that they need.

    keep_full: proven full backups that always stay.
    keep_days: any instant of so many days back stays restorable.
    """

    keep_full: int = Field(2, ge=1, le=1000)
    keep_days: float = Field(7, ge=0, le=3650)


class PhysicalPolicy(Policy):
    """Base backups and WAL of a server. Its archive_command is set by whoever runs the server: docs/physical.md.

    engine: barman (barman-cloud: on the database's host; a process for each WAL segment, half a second each, so about
        32 MB of WAL a second; no differences) or walg (WAL-G, installed by whoever runs the hosts: parallel, with
        differences where the host can be reached).
    connection: of a role that may take base backups (include/sql/roles/physical.sql).
    host: where the server's files are: local, or an Airflow connection of type ssh; nowhere when empty: then WAL-G
        alone can work, over the replication protocol (full backups, one stream, no tablespaces; newer than 3.0.8).
    run_as: what goes before a command there, so that it runs as the owner of the files: [sudo, -n, -u, postgres].
    data_directory: asked from the server when empty.
    programs: the folder of the engine's programs on the hosts; PATH when empty.
    envdir: a folder of the hosts with the store's settings, one variable a file; when empty, a recovery host gets them
        as a file that only the owner of its files can read.
    full_every_days: how old the newest full backup may become; 1 is every night.
    max_deltas: how many differences may follow a full one (walg).
    compression: of barman's base backups and WAL.
    jobs: processes that upload barman's base backups.
    encryption_connection: its password holds the armored OpenPGP secret key with which WAL-G encrypts base backups and
        WAL before they leave the host, and decrypts them; they are not encrypted when it is empty (docs/custody.md).
    settings: further settings of WAL-G, such as {WALG_UPLOAD_CONCURRENCY: "4"}; no secrets.
    archive_delay_minutes: a finished WAL segment that waits longer to be archived is an error at night.
    wait_minutes: how long a new backup may wait for the WAL that it needs.
    """

    engine: Literal["barman", "walg"] = "barman"
    connection: ConnectionId
    host: str | None = None
    run_as: tuple[str, ...] = ()
    data_directory: str | None = None
    programs: str | None = None
    envdir: str | None = None
    full_every_days: float = Field(1, gt=0, le=366)
    max_deltas: int = Field(6, ge=0, le=100)
    compression: Literal["gzip", "none"] = "gzip"
    jobs: int = Field(2, ge=1, le=64)
    encryption_connection: ConnectionId | None = None
    settings: dict[str, str] = Field(default_factory=dict)
    archive_delay_minutes: float = Field(15, gt=0)
    wait_minutes: float = Field(10, gt=0, le=24 * 60)
    retention: PhysicalRetention = PhysicalRetention()  # type: ignore[call-arg]
    recovery: RecoveryPolicy | None = None

    @field_validator("data_directory", "programs", "envdir")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        if value is not None and not PurePosixPath(value).is_absolute():
            raise ValueError("give an absolute folder")
        return value

    @model_validator(mode="after")
    def _engine_can(self) -> PhysicalPolicy:
        if self.engine == "barman" and self.host is None:
            raise ValueError("barman runs on the database's host: set host to local or to an ssh connection")
        if self.settings and self.engine != "walg":
            raise ValueError("settings are WAL-G's: remove them, or set engine to walg")
        if self.encryption_connection and self.engine != "walg":
            raise ValueError(
                "barman-cloud cannot encrypt before it sends: remove encryption_connection and let the store encrypt "
                "(storage.sse), or set engine to walg"
            )
        if self.run_as and self.host is None:
            raise ValueError("run_as needs a host")
        return self
