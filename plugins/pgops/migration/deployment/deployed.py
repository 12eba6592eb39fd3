"""What became of a deployment, in types and words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg2

from pgops.errors import PgOpsError
from pgops.migration.deployment.lockwatch import Blocker
from pgops.migration.model import Direction, Executed, Statement

# lock_not_available, deadlock_detected, serialization_failure: the same again may succeed.
AGAIN = ("55P03", "40P01", "40001")
CANCELLED = "57014"
_LOCK_TIMEOUT = "55P03"


@dataclass(frozen=True)
class LockWait:
    """A lock that was not to be had in time: at which statement, at which attempt, and who held it."""

    line: int
    kind: str
    attempt: int
    waited_ms: float
    sqlstate: str
    blockers: tuple[Blocker, ...]


@dataclass(frozen=True)
class Deployed:
    """What a deployment did.

    Attributes:
        already: there was nothing left to do.
        first_segment: where it began, from 0: more than 0 when it went on with what an earlier run had begun.
        seconds: the whole of it, pauses included.
        statements: that ran now, in milliseconds each.
        lock_waits: attempts that got no lock.
        repaired: invalid indexes that were in the way and were dropped.
        notes: what a person should know.
    """

    version: str
    name: str
    checksum: str
    direction: Direction
    already: bool
    first_segment: int
    segments: int
    seconds: float
    statements: tuple[Executed, ...]
    lock_waits: tuple[LockWait, ...]
    repaired: tuple[str, ...]
    notes: tuple[str, ...]


class DeployFailed(PgOpsError):
    """A migration stopped. `committed` segments of it are in the database; `sqlstate` may be empty."""

    def __init__(
        self, what: str, *, where: str, remedy: str, committed: int, sqlstate: str = "", retry: bool = False
    ) -> None:
        super().__init__(what, where=where, remedy=remedy, retry=retry)
        self.committed = committed
        self.sqlstate = sqlstate


class HalfDone(PgOpsError):
    """A statement was cut off that commits by itself; only a person can say how far it came."""


class Lost(Exception):
    """The session is gone, and with it the answer to what it was doing."""

    def __init__(self, statement: Statement | None, error: psycopg2.Error) -> None:
        self.statement = statement
        self.error = error


def blamed(wait: LockWait) -> str:
    """Who was in the way."""
    if not wait.blockers:
        return "nobody was seen holding it"
    return f"blocked by {'; '.join(map(str, wait.blockers))}"


def message_of(error: psycopg2.Error) -> str:
    """The server's words in one line; never empty."""
    primary = error.diag.message_primary if error.diag else None
    detail = error.diag.message_detail if error.diag else None
    return " ".join(" ".join(filter(None, (primary, detail))).split()) or " ".join(str(error).split()) or "no answer"


def head_of(text: str) -> str:
    """A statement in one line, without the comments before it."""
    lines = text.strip().splitlines()
    while lines and (not lines[0].strip() or lines[0].lstrip().startswith("--")):
        lines.pop(0)
    return " ".join(" ".join(lines).split())[:120]


def remedy(code: str, waits: Sequence[LockWait], *, over_budget: bool, left: bool, in_doubt: bool) -> str:
    """What to do about a failure.

    Args:
        code: its SQLSTATE; may be empty.
        waits: the attempts that got no lock.
        left: it left an invalid index.
        in_doubt: nobody knows how far a statement came that commits by itself.
    """
    if over_budget:
        return "Find out in the rehearsal what takes so long, or raise migrations.budget_seconds; then run it again"
    if code == _LOCK_TIMEOUT:
        ask = "Ask those sessions to finish, or end them (SELECT pg_terminate_backend(pid)), then run this again"
        if waits and any(one.is_autovacuum for one in waits[-1].blockers):
            ask += "; autovacuum gives way by itself only to a lock_timeout_ms above deadlock_timeout"
        return ask
    if code == CANCELLED:
        return "Somebody cancelled it; ask why before you run this again"
    if in_doubt:
        return "Look how far it came before anything else; the next run will refuse until that is settled"
    if left:
        return "Mend the cause and run this again: it drops the invalid index and builds it anew"
    return "Mend the cause; if the file has to change, validate it again. What is committed can be rolled back"
