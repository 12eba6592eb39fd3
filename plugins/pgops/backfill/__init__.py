"""Backfills: millions of rows changed while the application feels nothing, and no matter who is killed meanwhile.

read -> check -> plan -> begin -> work (any number of workers, any number of times) -> state.
"""

from pgops.backfill.check import CheckedSpec, check
from pgops.backfill.job import Job, Run, Skipped, State, begin, control, jobs, skipped, state
from pgops.backfill.pace import Go, Pace, Stop, Unthrottled, Wait
from pgops.backfill.plan import Plan, plan
from pgops.backfill.spec import Spec, read, read_yaml
from pgops.backfill.stall import Stall
from pgops.backfill.walk import BadRow, Options, Worked
from pgops.backfill.worker import work

__all__ = [
    "BadRow",
    "CheckedSpec",
    "Go",
    "Job",
    "Options",
    "Pace",
    "Plan",
    "Run",
    "Skipped",
    "Spec",
    "Stall",
    "State",
    "Stop",
    "Unthrottled",
    "Wait",
    "Worked",
    "begin",
    "check",
    "control",
    "jobs",
    "plan",
    "read",
    "read_yaml",
    "skipped",
    "state",
    "work",
]
