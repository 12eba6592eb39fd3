"""How a database's health is looked at, and what its server cannot know of itself."""

from __future__ import annotations

import ipaddress
from typing import Literal

from pydantic import Field, field_validator

from pgops.fleet.base import ConnectionId, Policy


class HealthPolicy(Policy):
    """How daily_health_check looks at a database.

    connection: of the role pgops_monitor, in this database on the primary. Its login is also used on the standbys, to
        which roles and passwords replicate: the database's standby_connection and `standbys` only say where they are.
    standbys: Airflow connections to further standbys; an index is unused only where all standbys agree.
    thresholds: of checks, where the fleet's differ from their files': check to info, warn, crit, such as
        {connections_used: {warn: "> 60 %", crit: never}}.
    check_seconds, run_seconds: what one check and the whole look may take of the servers.

    The rest are facts for checks; those of the server count with the first database that the file names on it:
    disk_bytes: size of the volume of the server's data; without it nobody is warned of a full disk.
    superusers: roles that are meant to be superusers.
    trusted_networks: from where sessions need no TLS, beside the server itself.
    unused_days, bloat_bytes, slot_idle_minutes, wraparound_age: see docs/health.md.
    """

    connection: ConnectionId
    standbys: tuple[ConnectionId, ...] = ()
    thresholds: dict[str, dict[Literal["info", "warn", "crit"], str]] = Field(default_factory=dict)
    check_seconds: float = Field(5, gt=0, le=600)
    run_seconds: float = Field(60, gt=0, le=3600)
    disk_bytes: int | None = Field(None, ge=1)
    superusers: tuple[str, ...] = ()
    trusted_networks: tuple[str, ...] = ()
    unused_days: int | None = Field(None, ge=1)
    bloat_bytes: int | None = Field(None, ge=0)
    slot_idle_minutes: int | None = Field(None, ge=1)
    wraparound_age: int | None = Field(None, ge=1)

    @field_validator("trusted_networks")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            try:
                ipaddress.ip_network(one)
            except ValueError:
                raise ValueError(f"{one!r} is no network, such as 10.0.0.0/8") from None
        return value

    @property
    def facts(self) -> dict[str, str]:
        """Those that are told, as the checks read them."""
        told = {
            "disk_bytes": self.disk_bytes,
            "superusers": ",".join(self.superusers) or None,
            "trusted_networks": ",".join(self.trusted_networks) or None,
            "unused_days": self.unused_days,
            "bloat_bytes": self.bloat_bytes,
            "slot_idle_minutes": self.slot_idle_minutes,
            "wraparound_age": self.wraparound_age,
        }
        return {name: str(value) for name, value in told.items() if value is not None}
