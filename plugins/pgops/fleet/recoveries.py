"""Where copies of a server are recovered, and what recovery promises."""

from __future__ import annotations

import ipaddress
import os
from pathlib import PurePosixPath

from pydantic import Field, field_validator, model_validator

from pgops.fleet.base import ConnectionId, Policy


def _absolute_folder(value: str | None) -> str | None:
    if value is not None and (not PurePosixPath(value).is_absolute() or PurePosixPath(value) == PurePosixPath("/")):
        raise ValueError("give an absolute folder, such as /var/lib/postgresql/recoveries")
    return value


class ServicePolicy(Policy):
    """How a server's service is stopped and started.

    stop, start: its commands on its own host, such as [systemctl, stop, postgresql@15-main]; pg_ctl when empty.
    """

    stop: tuple[str, ...] = ()
    start: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _both(self) -> ServicePolicy:
        if bool(self.stop) != bool(self.start):
            raise ValueError("'stop' and 'start' belong together")
        return self


class StandbyPolicy(ServicePolicy):
    """A standby that is seeded anew after its primary was recovered in place.

    name: its application_name, as pg_stat_replication of the primary shows it; it keeps that name.
    host: "local", or an Airflow connection of type ssh. It reaches the primary as `connection` says, as that role.
    run_as: what goes before a command there, so that it runs as the owner of the files: [sudo, -n, -u, postgres].
    data_directory: on that host.
    slot: the primary's replication slot for it; its own configuration decides when empty.
    programs: the folder of PostgreSQL's programs there; as of the recovery when empty.
    """

    name: str = Field(pattern=r"^[ -~]{1,63}$")
    host: str = "local"
    run_as: tuple[str, ...] = ()
    data_directory: str
    slot: str = Field("", pattern=r"^[a-z0-9_]{0,63}$")
    programs: str | None = None

    @field_validator("data_directory", "programs")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        return _absolute_folder(value)


class InPlacePolicy(ServicePolicy):
    """How a server is recovered over itself.

    approvers: users as Airflow names them, who may approve it; never the one who asked for it.
    approval_minutes: without an answer by then it is rejected.
    standbys: which are seeded anew afterwards; for others the report prints the command.
    """

    approvers: tuple[str, ...] = Field(min_length=1)
    approval_minutes: float = Field(60, gt=0, le=7 * 24 * 60)
    standbys: tuple[StandbyPolicy, ...] = ()

    @field_validator("standbys")
    @classmethod
    def _each_once(cls, value: tuple[StandbyPolicy, ...]) -> tuple[StandbyPolicy, ...]:
        for what in ({one.name for one in value}, {(one.host, PurePosixPath(one.data_directory)) for one in value}):
            if len(what) < len(value):
                raise ValueError("two standbys have the same name, or the same data directory")
        return value


class RecoveryPolicy(Policy):
    """How a server is recovered to a point in time.

    connection: of a role that may leave the drill's marker and switch segments (include/sql/roles/recovery.sql), in a
        database of the live server; a superuser where it is recovered in place.
    host: "local", or an Airflow connection of type ssh.
    directory: on that host, of nothing else; each recovery gets a folder in it. When empty:
        $PGOPS_LOCAL_RECOVERIES on this machine, else /var/lib/postgresql/recoveries.
    ports: the first and the last that copies may use.
    programs: the folder of PostgreSQL's programs there; the usual places are tried when empty.
    run_as: what goes before a command there, so that it runs as the owner of the files: [sudo, -n, -u, postgres].
    superuser: a role of the server that is one; used on copies, over a socket that only the files' owner can reach.
    roles: who is let in to a copy, with the password of the source; the login of the database's connection when empty.
    listen, networks: the address on which copies are reached from elsewhere, and from where; the host alone when empty.
    settings: of copies, where the host is smaller than the source.
    keep_hours: how long a copy stays up unless its request says otherwise.
    patience_minutes: how long a recovery tries again when the archive does not answer.
    rpo_minutes, rto_minutes: what the weekly drill measures against.
    amcheck: also check heap and B-tree structure of the copy.
    """

    connection: ConnectionId
    host: str = "local"
    directory: str | None = None
    ports: tuple[int, int] = (5500, 5599)
    programs: str | None = None
    run_as: tuple[str, ...] = ()
    superuser: str = "postgres"
    roles: tuple[str, ...] = ()
    listen: str = ""
    networks: tuple[str, ...] = ()
    settings: dict[str, str] = Field(default_factory=dict)
    keep_hours: float = Field(24, gt=0, le=24 * 31)
    patience_minutes: float = Field(10, ge=0, le=24 * 60)
    rpo_minutes: float = Field(15, gt=0, le=24 * 60)
    rto_minutes: float = Field(60, gt=0, le=7 * 24 * 60)
    amcheck: bool = True
    in_place: InPlacePolicy | None = None

    @property
    def place(self) -> str:
        """The directory, named or not."""
        here = os.environ.get("PGOPS_LOCAL_RECOVERIES") if self.host == "local" else None
        return self.directory or here or "/var/lib/postgresql/recoveries"

    @field_validator("directory", "programs")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        return _absolute_folder(value)

    @field_validator("ports")
    @classmethod
    def _ports(cls, value: tuple[int, int]) -> tuple[int, int]:
        if not 1024 <= value[0] <= value[1] <= 65535:
            raise ValueError("give the first and the last port, between 1024 and 65535")
        return value

    @field_validator("networks")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            try:
                ipaddress.ip_network(one)
            except ValueError:
                raise ValueError(f"{one!r} is no network, such as 10.0.0.0/8") from None
        return value

    @model_validator(mode="after")
    def _reached_from_somewhere(self) -> RecoveryPolicy:
        if bool(self.listen) != bool(self.networks):
            raise ValueError("'listen' and 'networks' belong together")
        return self
