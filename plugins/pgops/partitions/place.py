"""Where a database's partitions are retired and restored: its servers, its bucket, its records."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from pgops.errors import Refused
from pgops.fleet.partitions import PartitionPolicies
from pgops.include import sql_text
from pgops.ledger import Ledger
from pgops.partitions.session import prepare
from pgops.postgres import Dsn, Limits, connect
from pgops.storage import Bucket

_PREFIX = "pgops: "
RETIRING, RESTORED, COPY = "retiring", "restored", "copy"
# A lock of the whole database: held together by those who write archives, alone by who rewrites them.
ARCHIVES = "the archives"
_LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Place:
    """What every step needs.

    Attributes:
        database: its name in the fleet file.
        source: the primary, as the role that owns the tables.
        scratch: maintenance database of the server on which archives are proven.
        by: the run, as manifests and records name it.
    """

    database: str
    source: Dsn
    scratch: Dsn
    bucket: Bucket
    ledger: Ledger
    policies: PartitionPolicies
    by: str


@dataclass(frozen=True)
class Marker:
    """What is written into a table's comment, so that with the ledger lost the table itself tells what it is.

    In the comment, because that changes together with the table, follows it when it is renamed or restored, and asks
    for no table of ours in the application's database.

    Attributes:
        kind: "retiring", "restored" (attached again) or "copy" (beside).
        comment: what the comment was before.
        archive: id of the archive that it was restored from.
        until: ISO 8601, of a restored one.
    """

    kind: str
    parent_schema: str
    parent_name: str
    range: str
    comment: str | None = None
    archive: str | None = None
    until: str | None = None

    def text(self) -> str:
        """The comment."""
        return _PREFIX + json.dumps(self.__dict__, sort_keys=True)

    @classmethod
    def read(cls, comment: str | None) -> Marker | None:
        """The marker in a comment; None when somebody else wrote it."""
        if comment is None or not comment.startswith(_PREFIX):
            return None
        try:
            found: Mapping[str, Any] = json.loads(comment[len(_PREFIX) :])
            return cls(**found)
        except (ValueError, TypeError):
            return None


@dataclass(frozen=True)
class Found:
    """A table as the catalog has it now.

    Attributes:
        kind: relkind.
        parent_schema, parent_name, range: None unless it is attached (or its detaching is pending).
        has_default: whether the parent has a DEFAULT partition.
        is_default: whether it is that one.
        comment: as it is, marker or not.
        foreign_keys: its own, which a DROP would take strong locks for on the tables that they point to.
        referenced_by: foreign keys of other tables that point to it or to its parent, as "name on table".
    """

    oid: int
    schema: str
    name: str
    kind: str
    parent_schema: str | None
    parent_name: str | None
    range: str | None
    pending: bool
    has_default: bool
    is_default: bool
    comment: str | None
    foreign_keys: list[str]
    referenced_by: list[str]

    @property
    def title(self) -> str:
        """As messages name it."""
        return f"{self.schema}.{self.name}"

    @property
    def attached(self) -> bool:
        """Whether it is a partition still, visible through its parent."""
        return self.parent_name is not None and not self.pending

    @property
    def marker(self) -> Marker | None:
        """The marker in its comment."""
        return Marker.read(self.comment)


@contextmanager
def session(place: Place, patience_seconds: float = 60) -> Iterator[Connection]:
    """A session on the source in which text forms are the same everywhere."""
    limits = Limits(statement=max(patience_seconds, 60) * 2, lock=patience_seconds, idle_in_transaction=0)
    with connect(place.source, f"pgops.partitions {place.by}", limits, system_names=True) as connection:
        with connection.cursor() as cursor:
            cursor.execute(sql_text("fingerprint/settings.sql"))
        prepare(connection, "locks/look")
        yield connection


def find(connection: Connection, oid: int) -> Found | None:
    """The table with that oid; None when it is gone."""
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(sql_text("partitions/retire/table.sql"), {"oid": oid})
        row = cursor.fetchone()
    return Found(**row) if row else None


@contextmanager
def alone(place: Place, what: str, patience_seconds: float = 0) -> Iterator[None]:
    """Nobody else is at work on this: an advisory lock, which ends with the process that dies.

    Args:
        place: where.
        what: "table 16385", "archive ...", or ARCHIVES.
        patience_seconds: how long others are waited for.

    Raises:
        Refused: somebody is.
    """
    with _locked(place, "partitions/retire/take_lock.sql", what, patience_seconds):
        yield


@contextmanager
def together(place: Place, what: str) -> Iterator[None]:
    """Others may be at work on this, too, but nobody who has to be alone.

    Raises:
        Refused: somebody is alone.
    """
    with _locked(place, "partitions/retire/share_lock.sql", what, 0):
        yield


@contextmanager
def _locked(place: Place, name: str, what: str, patience_seconds: float) -> Iterator[None]:
    until = time.monotonic() + patience_seconds
    with session(place) as connection, connection.cursor() as cursor:
        while True:
            cursor.execute(sql_text(name), {"what": what})
            if cursor.fetchone() == (True,):
                break
            if time.monotonic() < until:
                time.sleep(_LOOK_SECONDS)
                continue
            raise Refused(
                f"Another run is at work on {what}",
                where=place.source.where,
                remedy="Wait for it; it shows in pg_stat_activity as pgops.partitions",
                retry=True,
            )
        yield
