"""Partitions: made before they are needed, retired with proof, and brought back."""

from pgops.partitions.create import Created, CreatedPartition, RowsInDefault, create, create_all
from pgops.partitions.describe import lines
from pgops.partitions.finalize import finalize
from pgops.partitions.locks import Blocked, CircuitOpen
from pgops.partitions.model import Finding, NewPartition, Parent, ParentPlan, Partition, Plan, Range
from pgops.partitions.plan import plan, policy_for

__all__ = [
    "Blocked",
    "CircuitOpen",
    "Created",
    "CreatedPartition",
    "Finding",
    "NewPartition",
    "Parent",
    "ParentPlan",
    "Partition",
    "Plan",
    "Range",
    "RowsInDefault",
    "create",
    "create_all",
    "finalize",
    "lines",
    "plan",
    "policy_for",
]
