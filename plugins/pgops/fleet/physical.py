"""How a server's base backups and WAL are kept."""

from __future__ import annotations

from typing import Literal

from pgops.fleet.base import Policy
from pgops.fleet.recoveries import RecoveryPolicy


class PhysicalPolicy(Policy):
    """Of one server."""

    engine: Literal["barman", "walg", "none"] = "barman"
    recovery: RecoveryPolicy | None = None
