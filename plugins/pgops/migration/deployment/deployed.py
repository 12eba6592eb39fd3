"""What became of a deployment, in types and words."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg2

from pgops.errors import PgOpsError
from pgops.migration.deployment.lockwatch import Blocker
from pgops.migration.model import Direction, Executed


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
