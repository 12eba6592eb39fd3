"""What is said about a worker's walk: how it shall work, how a range fares, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pgops.backfill.job import RangeState
from pgops.backfill.statements import Position, Statements
from pgops.backfill.steering import Steering
from pgops.errors import PgOpsError

_WHOLE = ("smallint", "integer", "bigint")
Outcome = Literal["done", "idle", "stopped", "cancelled", "throttled"]


@dataclass(frozen=True)
class Options:
    """How a worker works.

    Attributes:
        target_ms: how long a batch shall take; the application waits no longer than that for a row.
        first_batch, least_batch, most_batch: rows.
        lock_timeout, statement_timeout: seconds, of one statement of a batch.
        proof_timeout: seconds, of the one scan that proves that a table without key is done.
        patience: seconds without progress (rows locked, server away) after which the work fails, to be tried again.
        on_error: what becomes of a row that cannot be changed: "stop" the work, or "skip" it and write it down.
        vacuum_dead_share: dead rows, as a share of all, from which on the table is vacuumed in between; None never.
        vacuum_least_rows: rows changed between two looks at that.
        vacuum_cost_limit: how much such a vacuum does between two sleeps of 2 ms (the server's vacuum_cost_limit); it
            never sleeps when None.
        most_passes: sweeps after which rows that keep coming are an error.
        progress_every: seconds between calls of on_progress.
        stall_after: seconds without a batch of any worker after which on_stall is called.
    """

    target_ms: float = 40
    first_batch: int = 1_000
    least_batch: int = 100
    most_batch: int = 20_000
    lock_timeout: float = 0.5
    statement_timeout: float = 5
    proof_timeout: float = 3600
    patience: float = 600
    on_error: Literal["stop", "skip"] = "stop"
    vacuum_dead_share: float | None = 0.2
    vacuum_least_rows: int = 100_000
    vacuum_cost_limit: int | None = None
    most_passes: int = 10
    progress_every: float = 5
    stall_after: float = 600


@dataclass(frozen=True)
class Worked:
    """What a worker has done.

    Attributes:
        outcome: "done": the whole job is finished; "idle": nothing is left for this worker, others are at work;
            "stopped": it was asked to; "cancelled": by the operator; "throttled": a critical limit, see `reason`.
        rows: changed and committed by this call.
    """

    job: int
    outcome: Outcome
    rows: int
    batches: int
    retries: int
    skipped: int
    seconds: float
    waited: float
    reason: str = ""


class BadRow(PgOpsError):
    """A row that a trigger, a constraint or the expression refuses."""


class Ended(Exception):
    """The work ends before its ranges do."""

    def __init__(self, outcome: Outcome, reason: str = "") -> None:
        super().__init__(outcome, reason)
        self.outcome, self.reason = outcome, reason


@dataclass
class Walk:
    """A range that this worker owns, and how it fares."""

    state: RangeState
    statements: Statements
    steering: Steering
    rows_per_unit: float
    last: Position | None
    known: Position | None  # what the checkpoint has; behind `last` only in a sweep that finds nothing
    pass_: int
    pass_rows: int
    left_behind: bool
    attempts: int = 0
    retries: int = 0
    unlocked: bool = False
    left_at: str | None = None
    pages: int | None = None
    dense: bool = False  # the newest batch met no gap in the keys: the end of the next can be counted

    @property
    def n(self) -> int:
        """The number of the range."""
        return self.state.n

    @property
    def begin(self) -> Position | None:
        """Where the next batch begins."""
        return self.last if self.last is not None else self.state.lo

    def counted(self, rows: int) -> Position | None:
        """The key so many whole numbers further on; None where keys are none, or the range ends before."""
        key = self.statements.part.key
        begin, end = self.begin, self.state.hi
        if len(key) != 1 or key[0].type not in _WHOLE or not isinstance(begin, tuple) or not isinstance(end, tuple):
            return None
        upto = int(begin[0]) + rows
        return (str(upto),) if upto < int(end[0]) else None

    @property
    def is_one_page(self) -> bool:
        """Whether the next batch cannot be smaller: it is one page of a table without key."""
        return self.state.kind != "keys" and self.steering.rows <= self.rows_per_unit


@dataclass
class Count:
    """Of one call of `work`, over all its sessions."""

    before: dict[int, RangeState] = field(default_factory=dict)
    waited: float = 0.0
    unsaved_wait: float = 0.0
    reason: str = ""
    since_vacuum: int = 0

    def wait(self, seconds: float) -> None:
        """The worker has stood still; the next checkpoint saves it."""
        self.waited += seconds
        self.unsaved_wait += seconds
