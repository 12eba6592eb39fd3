"""What configuration_review must know of a server that the server cannot tell: its machine, its work, what is meant."""

from __future__ import annotations

from typing import Literal

from pydantic import ByteSize, Field, field_validator

from pgops.fleet.base import ConnectionId, Policy


class Deliberate(Policy):
    """A setting that somebody wants so, whatever the rules say, and why."""

    value: str
    reason: str = Field(min_length=1)

    @field_validator("value", mode="before")
    @classmethod
    def _as_written(cls, value: object) -> object:
        """YAML reads `on` as true and 4 as a number; a configuration file takes text."""
        if isinstance(value, bool):
            return "on" if value else "off"
        return str(value) if isinstance(value, int | float) else value


class TuningPolicy(Policy):
    """How a server's settings are judged, and who lets them be changed.

    connection: of the role pgops_tuner, in any database of the server. Its login is used on the standbys too.
    memory: of the machine or the container, such as 16GiB; what other programs need is taken off before.
    cpus: of the machine or the container.
    disk, disk_kind: the volume of the data directory.
    wal_disk: the volume of pg_wal, where it is another one.
    workload: web (many short statements), oltp, dw (few large ones), mixed.
    connections: how many sessions the applications open at their peak.
    managed: whose service the server is; its settings are then a list of parameters, and nothing is applied from here.
    standbys: Airflow connections to standbys beside the databases' standby_connection.
    deliberate: setting to the value that is meant, with the reason: never advised against.
    approvers: users as Airflow names them, who may approve a change; never the one who asked for it.
    approval_minutes: without an answer by then a change is rejected.
    effect_hours: how long a change has been in place when its effect is measured, by the first run after that.
    """

    connection: ConnectionId
    memory: ByteSize
    cpus: float = Field(gt=0, le=4096)
    disk: ByteSize
    disk_kind: Literal["ssd", "hdd", "network"] = "ssd"
    wal_disk: ByteSize | None = None
    workload: Literal["web", "oltp", "dw", "mixed"] = "mixed"
    connections: int = Field(ge=1, le=100_000)
    managed: Literal["none", "rds", "cloudsql", "azure"] = "none"
    standbys: tuple[ConnectionId, ...] = ()
    deliberate: dict[str, Deliberate] = Field(default_factory=dict)
    approvers: tuple[str, ...] = Field(min_length=1)
    approval_minutes: float = Field(1440, gt=0, le=60 * 24 * 30)
    effect_hours: float = Field(20, ge=0, le=24 * 30)

    @field_validator("memory", "disk", "wal_disk")
    @classmethod
    def _plausible(cls, value: ByteSize | None) -> ByteSize | None:
        # A bare number is bytes: who writes 16 means something else.
        if value is not None and value < 64 * 1024**2:
            raise ValueError(f"{int(value)} bytes are too few; give a unit, such as 16GiB")
        return value
