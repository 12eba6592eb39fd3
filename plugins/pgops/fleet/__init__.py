"""Which databases there are, and the policy of each: include/fleet.yaml as validated objects."""

from pgops.fleet.backfills import BackfillPolicy, LatencyPolicy
from pgops.fleet.base import Canary
from pgops.fleet.loader import fleet_file, load_fleet
from pgops.fleet.migrations import DeployPolicy, Golden, LockBudget, MigrationPolicy, Watch
from pgops.fleet.models import (
    BackupPolicy,
    Database,
    DrillPolicy,
    Fleet,
    LocalCopy,
    Retention,
    Server,
    Settings,
)
from pgops.fleet.problems import FleetProblem

__all__ = [
    "BackfillPolicy",
    "BackupPolicy",
    "Canary",
    "Database",
    "DeployPolicy",
    "DrillPolicy",
    "Fleet",
    "FleetProblem",
    "Golden",
    "LatencyPolicy",
    "LocalCopy",
    "LockBudget",
    "MigrationPolicy",
    "Retention",
    "Server",
    "Settings",
    "Watch",
    "fleet_file",
    "load_fleet",
]
