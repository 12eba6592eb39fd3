"""How far a deployment is, written into the version ledger of its database by the session that deploys."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg2
from psycopg2.extensions import connection as Connection

from pgops.include import sql_text
from pgops.migration.deployment import versions
from pgops.migration.deployment.deployed import message_of
from pgops.migration.deployment.versions import RunFacts
from pgops.migration.model import Direction, Migration

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Record:
    """The steps of one deployment."""

    connection: Connection
    migration: Migration
    direction: Direction
    segments: int
    facts: RunFacts

    def steps(self) -> list[versions.Step]:
        """All that the ledger holds."""
        with self._as_connected():
            return versions.steps(self.connection)

    def add(self, number: int, state: versions.State, *, ms: float | None = None, detail: str = "") -> int:
        """Add a step to the transaction that is open, and return its id."""
        return versions.add(
            self.connection,
            self.migration,
            self.direction,
            number,
            self.segments,
            state,
            self.facts,
            ms=ms,
            detail=detail,
        )

    def add_alone(self, number: int, state: versions.State, *, ms: float | None = None, detail: str = "") -> None:
        """Add a step in a transaction of its own."""
        with self._as_connected():
            self.add(number, state, ms=ms, detail=detail)

    def add_failure(self, number: int, detail: str) -> None:
        """Add that a segment failed, if that can be: the failure itself must be told whatever becomes of this."""
        try:
            self.add_alone(number, "failed", detail=detail)
        except psycopg2.Error as error:
            log.warning("the failure could not be recorded in the version ledger: %s", message_of(error))

    def holds(self, step: int) -> bool:
        """Read back whether a step is committed."""
        with self._as_connected():
            return versions.was_added(self.connection, step)

    @contextmanager
    def _as_connected(self) -> Iterator[None]:
        """A transaction with the rights of the role that connected, whatever role the file has set."""
        with self.connection.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(sql_text("migration/deploy/own_role.sql"))
            cursor.execute(sql_text("migration/deploy/own_limits.sql"))
            yield
            cursor.execute("COMMIT")
