"""Which databases there are, and the policy of each: include/fleet.yaml as validated objects."""

from pgops.fleet.backfills import BackfillPolicy, LatencyPolicy
from pgops.fleet.base import Canary
from pgops.fleet.health import HealthPolicy
from pgops.fleet.loader import fleet_file, load_fleet
from pgops.fleet.migrations import DeployPolicy, Golden, LockBudget, MigrationPolicy, Watch
from pgops.fleet.models import (
    BackupPolicy,
    Database,
    DrillPolicy,
    EncryptionPolicy,
    Fleet,
    LocalCopy,
    Retention,
    Server,
    Settings,
)
from pgops.fleet.partitions import PartitionPolicies, PartitionPolicy
from pgops.fleet.physical import PhysicalPolicy, PhysicalRetention
from pgops.fleet.privacy import PrivacyPolicy, SubjectTable
from pgops.fleet.problems import FleetProblem
from pgops.fleet.queries import QueryPolicy
from pgops.fleet.recoveries import InPlacePolicy, RecoveryPolicy, StandbyPolicy
from pgops.fleet.tuning import Deliberate, TuningPolicy

__all__ = [
    "BackfillPolicy",
    "BackupPolicy",
    "Canary",
    "Database",
    "Deliberate",
    "DeployPolicy",
    "DrillPolicy",
    "EncryptionPolicy",
    "Fleet",
    "FleetProblem",
    "Golden",
    "HealthPolicy",
    "InPlacePolicy",
    "LatencyPolicy",
    "LocalCopy",
    "LockBudget",
    "MigrationPolicy",
    "PartitionPolicies",
    "PartitionPolicy",
    "PhysicalPolicy",
    "PhysicalRetention",
    "PrivacyPolicy",
    "QueryPolicy",
    "RecoveryPolicy",
    "Retention",
    "Server",
    "Settings",
    "StandbyPolicy",
    "SubjectTable",
    "TuningPolicy",
    "Watch",
    "fleet_file",
    "load_fleet",
]
