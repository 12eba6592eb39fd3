"""Which databases there are, and the policy of each: include/fleet.yaml as validated objects."""

from pgops.fleet.loader import fleet_file, load_fleet
from pgops.fleet.models import (
    BackupPolicy,
    Canary,
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
    "BackupPolicy",
    "Canary",
    "Database",
    "DrillPolicy",
    "Fleet",
    "FleetProblem",
    "LocalCopy",
    "Retention",
    "Server",
    "Settings",
    "fleet_file",
    "load_fleet",
]
