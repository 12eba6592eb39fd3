"""The words of this capability: what a migration is, what was found in it, and what running it did.

All are small and plain, so that they travel by XCom and stand in reports as they are.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning"]
Direction = Literal["apply", "rollback"]


@dataclass(frozen=True)
class Statement:
    """One SQL statement of a file.

    Attributes:
        text: without the semicolon; comments before it are kept.
        line: of its first word in the file, from 1.
        kind: what it is, in SQL's words: "ALTER TABLE", "CREATE INDEX CONCURRENTLY", "DO".
        transactional: False when the server refuses it inside a transaction.
    """

    text: str
    line: int
    kind: str
    transactional: bool


@dataclass(frozen=True)
class Segment:
    """Statements that commit together: several in one transaction, or a single one that can be in none."""

    transactional: bool
    statements: tuple[Statement, ...]


@dataclass(frozen=True)
class Script:
    """One direction of a migration, taken apart. `name` is what errors call it: its file, or its revision."""

    name: str
    text: str
    segments: tuple[Segment, ...]

    @property
    def statements(self) -> tuple[Statement, ...]:
        """All statements in order."""
        return tuple(statement for segment in self.segments for statement in segment.statements)


@dataclass(frozen=True)
class Source:
    """The text of one direction and where it was read. For an Alembic revision: the SQL that Alembic makes of it."""

    name: str
    text: str


@dataclass(frozen=True)
class Migration:
    """One step of a database's schema history.

    Attributes:
        version: what orders it: "001", or an Alembic revision.
        name: the rest of the file's name, in words.
        up: what applies it.
        down: what takes it back; None when there is none.
        origin: "sql" or "alembic".
    """

    version: str
    name: str
    up: Source
    down: Source | None
    origin: Literal["sql", "alembic"] = "sql"

    @property
    def checksum(self) -> str:
        """sha256 over both directions: what was validated is what is deployed."""
        texts = (self.up.text, "" if self.down is None else self.down.text)
        return hashlib.sha256("\0".join(texts).encode()).hexdigest()

    @property
    def label(self) -> str:
        """As people name it."""
        return f"{self.version} {self.name}".strip()


@dataclass(frozen=True)
class Finding:
    """Something that a person should know or must mend.

    Attributes:
        rule: its name, as policies and `-- pgops: allow <rule>` comments give it.
        level: an error refuses the migration.
        where: the file, or the object of the schema.
        line: in the file, from 1; 0 when it has none.
        message: what is wrong and why that matters.
        remedy: what to write instead.
    """

    rule: str
    level: Level
    where: str
    line: int
    message: str
    remedy: str

    @property
    def place(self) -> str:
        """The file with its line, or the object."""
        return f"{self.where}:{self.line}" if self.line else self.where

    def __str__(self) -> str:
        return f"{self.place}: {self.level}: {self.message} [{self.rule}] {self.remedy}"


@dataclass(frozen=True)
class Lock:
    """The strongest lock that a transaction held on one relation.

    Attributes:
        relation: schema and name.
        mode: as pg_locks spells it, such as "AccessExclusiveLock".
        held_ms: from the statement that took it to the end of its transaction.
        blocks: whom it keeps waiting: "reads and writes", "writes", or "" (schema changes only).
        existed: whether the relation was there before the migration; nobody waits for one that was not.
    """

    relation: str
    mode: str
    held_ms: float
    blocks: str
    existed: bool


@dataclass(frozen=True)
class Scan:
    """Rows that a statement read from a relation by reading all of it."""

    relation: str
    rows: int


@dataclass(frozen=True)
class Executed:
    """What one statement did.

    Attributes:
        line, kind, text: as in Statement; `text` shortened to one line for people.
        ms: how long it ran.
        wal_bytes: WAL that it wrote; None when the server cannot tell.
        locks: those that this statement was the first to take or made stronger.
        rewritten: relations that existed and got a new file (a table rewrite).
        scans: full scans of relations that existed.
        sampled: True when it ran outside a transaction, so locks are what was seen every few milliseconds.
        segment: which one of the script it belongs to, from 0.
    """

    line: int
    kind: str
    text: str
    ms: float
    wal_bytes: int | None
    locks: tuple[Lock, ...] = ()
    rewritten: tuple[str, ...] = ()
    scans: tuple[Scan, ...] = ()
    sampled: bool = False
    segment: int = 0


@dataclass(frozen=True)
class Failure:
    """Why a script did not come to its end: at which line, and in the server's words."""

    line: int
    kind: str
    sqlstate: str
    message: str


@dataclass(frozen=True)
class Ran:
    """One run of a script: what its statements did, and how it ended. `seconds` is the whole of it.

    `lock_retries` counts the attempts that ended without a lock that they waited for.
    """

    script: str
    direction: Direction
    seconds: float
    statements: tuple[Executed, ...]
    failure: Failure | None = None
    over_budget: bool = False
    lock_retries: int = 0

    @property
    def wal_bytes(self) -> int | None:
        """WAL of all statements; None when it is not known of each."""
        known = [one.wal_bytes for one in self.statements if one.wal_bytes is not None]
        return sum(known) if len(known) == len(self.statements) else None

    @property
    def locks(self) -> tuple[Lock, ...]:
        """Every lock on what existed before, the longest held first."""
        found = [lock for one in self.statements for lock in one.locks if lock.existed]
        return tuple(sorted(found, key=lambda lock: lock.held_ms, reverse=True))


@dataclass(frozen=True)
class Stall:
    """What an application beside the migration felt on one table, in milliseconds."""

    relation: str
    kind: Literal["read", "write"]
    attempts: int
    longest_ms: float
    median_ms: float
    errors: int = 0


@dataclass(frozen=True)
class Difference:
    """One thing that a rollback left behind or took away.

    Attributes:
        layer: which proof saw it: "schema", "catalog", "data" or "values".
        what: the object.
        before, after: as it was and as it is now; empty when it was not there.
        destructive: values that the rollback destroys, as opposed to something left behind.
    """

    layer: Literal["schema", "catalog", "data", "values"]
    what: str
    before: str
    after: str
    destructive: bool = False
