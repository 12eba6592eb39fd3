"""Retires a partition step by step: attached, detaching, detached, archived, verified, grace, dropped.

The process may die between any two lines. Each step asks the catalog and the bucket how things stand, writes what it is
about to do into the ledger, does it. The table's comment and the manifests tell the same as the ledger, so that losing
the ledger loses no more than a period of grace.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg2 import errors, sql
from psycopg2.extensions import connection as Connection

from pgops.catalog import NotProven
from pgops.errors import PgOpsError, Refused
from pgops.fleet.partitions import PartitionPolicy
from pgops.include import query, sql_text
from pgops.ledger.partitions import PartitionState, State, partition_state, record_partition_state
from pgops.partitions.archive import Subject, archive, columns_of, fingerprint_like, verify
from pgops.partitions.finalize import finalize
from pgops.partitions.locks import with_ladder
from pgops.partitions.manifest import (
    Archive,
    folders_of,
    missing_objects,
    read_archive,
    read_draft,
    remove_folder,
)
from pgops.partitions.place import ARCHIVES, RESTORED, RETIRING, Found, Marker, Place, alone, find, session, together
from pgops.partitions.unfinished import parent_of, subject_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Advanced:
    """How far a partition has come; small enough for XCom.

    Attributes:
        state: as in the ledger.
        archive: full key of its archive's folder.
        drop_after: ISO 8601; of a restored one: until when it is left alone.
        notes: why it did not go further, or what else a person should know.
    """

    oid: int
    schema: str
    name: str
    parent: str
    range: str
    state: State
    archive: str | None = None
    drop_after: str | None = None
    rows: int | None = None
    bytes: int | None = None
    notes: tuple[str, ...] = ()


class _Changed(PgOpsError):
    """The table is not what its archive holds."""


def advance(place: Place, oid: int, policy: PartitionPolicy, now: datetime | None = None) -> Advanced:
    """Take a partition as far as it may go now.

    Args:
        place: where.
        oid: of a partition beyond retention, or of a table from `unfinished`.
        policy: its parent's.
        now: the time, for tests.

    Raises:
        Refused: it is no partition that may be retired, or something refers to it: names the constraint.
        NotProven: its archive is damaged; it is not dropped.
        PgOpsError: what else stood in the way. The next call goes on from there.
    """
    with alone(place, f"table {oid}"), session(place, place.policies.parent_budget_seconds) as connection:
        row = partition_state(place.ledger, place.database, oid)
        found = find(connection, oid)
        if found is None:
            return _gone(place, oid, row)
        subject = subject_of(found, row)
        if subject is None:
            raise Refused(
                f"{found.title} is no partition, and nothing says that it was one",
                where=place.source.where,
                remedy="Retire partitions only; a table whose comment was overwritten is archived by hand",
            )
        path = _Path(place, connection, policy, subject, row, now)
        if found.attached:
            if (reason := _why_kept(found, policy, path.time())) is not None:
                return path.stays("restored" if _is_restored(found) else "attached", found, reason)
            found = path.detach(found)
        elif found.pending:
            found = path.finalize(found)
        return path.through_grace(found)


def _is_restored(found: Found) -> bool:
    return found.marker is not None and found.marker.kind == RESTORED


def _why_kept(found: Found, policy: PartitionPolicy, now: datetime) -> str | None:
    marker = found.marker
    if marker is not None and marker.kind == RESTORED and marker.until and now < datetime.fromisoformat(marker.until):
        return f"restored, and left alone until {marker.until}"
    return _hold(policy)


def _hold(policy: PartitionPolicy) -> str | None:
    return f"legal hold: {policy.legal_hold}" if policy.legal_hold else None


def _gone(place: Place, oid: int, row: PartitionState | None) -> Advanced:
    """The table is not there: dropped by the try before, which died before it could say so, or by somebody else."""
    if row is None:
        raise Refused(
            f"There is no table with oid {oid}, and the ledger knows of none",
            where=place.source.where,
            remedy="Make a new plan: this one is older than the database",
        )
    notes: tuple[str, ...] = ()
    if row.state not in ("dropping", "dropped"):
        notes = (f"it was {row.state} and is gone: somebody else dropped it",)
        log.warning("%s.%s: %s", row.schema, row.name, notes[0])
    if row.state != "dropped":
        record_partition_state(place.ledger, replace(row, state="dropped", facts={"notes": list(notes)}))
    return Advanced(oid, row.schema, row.name, row.parent, row.range, "dropped", row.archive, notes=notes)


def _execute(connection: Connection, name: str, **parts: sql.Composable) -> None:
    with connection.cursor() as cursor:
        cursor.execute(query(f"partitions/retire/{name}.sql", **parts))


def _identifiers(found: Found) -> dict[str, sql.Composable]:
    assert found.parent_schema is not None and found.parent_name is not None
    return {
        "parent": sql.Identifier(found.parent_schema, found.parent_name),
        "partition": sql.Identifier(found.schema, found.name),
    }


def _still_waiting(connection: Connection, found: Found) -> PgOpsError:
    return PgOpsError(
        f"Detaching {found.title} waits for transactions that are older than it",
        where=f"{connection.info.host}:{connection.info.port}/{connection.info.dbname}",
        remedy="Nobody is held up and the next run finishes it; pg_stat_activity shows the long transaction",
        retry=True,
    )


@dataclass
class _Path:
    """One partition on its way, during one call."""

    place: Place
    connection: Connection
    policy: PartitionPolicy
    subject: Subject
    row: PartitionState | None
    now: datetime | None
    notes: tuple[str, ...] = ()

    def time(self) -> datetime:
        """The time; a call may take hours."""
        return self.now or datetime.now(UTC)

    # --- records ---

    def record(
        self, state: State, archive: str | None = None, drop_after: datetime | None = None, **facts: Any
    ) -> None:
        subject = self.subject
        self.row = PartitionState(
            database=self.place.database,
            oid=subject.oid,
            schema=subject.schema,
            name=subject.name,
            parent=parent_of(subject),
            range=subject.range,
            state=state,
            archive=archive or (self.row.archive if self.row else None),
            drop_after=drop_after,
            facts={**facts, "parent": [subject.parent_schema, subject.parent_name], "by": self.place.by},
        )
        record_partition_state(self.place.ledger, self.row)

    def stays(self, state: State, found: Found, reason: str) -> Advanced:
        """It may not go further now."""
        marker = found.marker
        return replace(
            self.result(state),
            drop_after=marker.until if marker else None,
            notes=(*self.notes, reason),
        )

    def result(self, state: State, archive: Archive | None = None, drop_after: datetime | None = None) -> Advanced:
        """What there is to say."""
        subject = self.subject
        return Advanced(
            oid=subject.oid,
            schema=subject.schema,
            name=subject.name,
            parent=parent_of(subject),
            range=subject.range,
            state=state,
            archive=archive.folder(self.place.bucket) if archive else None,
            drop_after=drop_after.isoformat() if drop_after else None,
            rows=archive.rows if archive else None,
            bytes=archive.bytes if archive else None,
            notes=self.notes,
        )

    # --- detaching ---

    def detach(self, found: Found) -> Found:
        """Take it out of its parent, concurrently where that is allowed."""
        self.refuse_odd(found)
        self.finalize_siblings()
        self.record("detaching")
        self.mark(found)
        try:
            if found.has_default:  # PostgreSQL refuses to do it concurrently then
                statement = query("partitions/retire/detach.sql", **_identifiers(found))
                with_ladder(self.connection, self.place.policies, statement, what=f"detaching {found.title}")
            else:
                _execute(self.connection, "detach_concurrently", **_identifiers(found))
        except errors.ForeignKeyViolation as error:
            self.unmark(found)
            self.record("attached", refused=str(error))
            raise self.referenced(found, " ".join(str(error).split())) from error
        except (errors.LockNotAvailable, errors.QueryCanceled) as error:
            raise _still_waiting(self.connection, found) from error
        return self.detached()

    def finalize(self, found: Found) -> Found:
        """End its interrupted detaching."""
        self.record("detaching")
        self.mark(found)
        finalize(self.place.source, found.oid, self.place.policies)
        return self.detached()

    def finalize_siblings(self) -> None:
        """No partition can be detached concurrently while another one's detaching is pending."""
        names = {"schema": self.subject.parent_schema, "name": self.subject.parent_name}
        with self.connection.cursor() as cursor:
            cursor.execute(sql_text("partitions/retire/pending.sql"), names)
            pending = cursor.fetchall()
        for (oid,) in pending:
            finalize(self.place.source, oid, self.place.policies)

    def detached(self) -> Found:
        """It as it is now, on its own."""
        found = find(self.connection, self.subject.oid)
        if found is None or found.parent_name is not None:
            raise PgOpsError(
                f"{self.subject.schema}.{self.subject.name} is not detached though the server said so",
                where=self.place.source.where,
                remedy="Look who else is altering this table; the next run tries again",
                retry=True,
            )
        self.record("detached")
        return found

    def refuse_odd(self, found: Found) -> None:
        """Refuse what is no range of plain rows."""
        if found.kind != "r" or found.is_default:
            what = "the DEFAULT partition" if found.is_default else "partitioned itself, or a foreign table"
            raise Refused(
                f"{found.title} is {what}: it is not retired",
                where=self.place.source.where,
                remedy="Retire its own partitions by a policy of their own, or take it out by hand",
            )

    def referenced(self, found: Found, said: str) -> Refused:
        """Foreign keys stand in the way."""
        names = ", ".join(found.referenced_by) or "a foreign key"
        return Refused(
            f"{found.title} is referred to by {names}: {said}",
            where=self.place.source.where,
            remedy="Retire the rows that refer to it first, or put the table on legal_hold",
        )

    def mark(self, found: Found) -> None:
        """Write into the table's comment what it is; once."""
        marker = found.marker
        if marker is not None and marker.kind == RETIRING:
            return
        mark = Marker(
            kind=RETIRING,
            parent_schema=self.subject.parent_schema,
            parent_name=self.subject.parent_name,
            range=self.subject.range,
            comment=marker.comment if marker else found.comment,
            archive=marker.archive if marker else None,
        )
        self.comment(found, mark.text())

    def unmark(self, found: Found) -> None:
        """Put the table's own comment back."""
        marker = found.marker
        self.comment(found, found.comment if marker is None else marker.comment)

    def comment(self, found: Found, text: str | None) -> None:
        """COMMENT ON TABLE."""
        statement = query(
            "partitions/retire/comment.sql",
            table=sql.Identifier(found.schema, found.name),
            comment=sql.Literal(text),
        )
        with_ladder(self.connection, self.place.policies, statement, what=f"the comment on {found.title}")

    # --- archive, grace, drop ---

    def through_grace(self, found: Found) -> Advanced:
        """From detached on."""
        if self.row is None or self.row.state in ("attached", "detaching", "restored"):
            self.record("detached")
        while True:
            proven = self.archived(found) if self.policy.archive else None
            drop_after = self.drop_after(proven)
            if self.row is None or self.row.state != "dropping":
                self.record("grace", proven.folder(self.place.bucket) if proven else None, drop_after)
            if self.time() < drop_after:
                return self.result("grace", proven, drop_after)
            if (reason := _hold(self.policy)) is not None:
                self.notes = (*self.notes, reason)
                return self.result("grace", proven, drop_after)
            try:
                self.drop(found, proven)
            except _Changed as error:
                if error.what in self.notes:
                    raise  # somebody keeps writing to it
                log.warning("%s", error)
                self.notes = (*self.notes, error.what)
                self.row = replace(self.row, archive=None) if self.row else None
                self.record("detached", changed=error.what)
                continue
            return self.result("dropped", proven)

    def drop_after(self, proven: Archive | None) -> datetime:
        """When grace is over: counted from the proof, without an archive from the detaching as far as that is known."""
        grace = timedelta(days=self.policy.grace_days)
        if proven is not None:
            assert proven.proof is not None
            return proven.proof.at + grace
        known = self.row.drop_after if self.row and self.row.state in ("grace", "dropping") else None
        return known or self.time() + grace

    def archived(self, found: Found) -> Archive:
        """Its proven archive: the one that is known, one that holds the same, or a new one."""
        bucket = self.place.bucket
        known = self.row.archive if self.row else None
        proven = read_archive(bucket, known) if known else None
        proven = proven or self.same_archive(found)
        if proven is not None:
            return proven
        # What an erasure does not see yet must not become an archive behind its back.
        with together(self.place, ARCHIVES):
            draft = self.own_draft()
            if draft is None:
                self.sweep()
                draft = archive(bucket, self.place.database, self.place.source, self.subject, self.place.by)
            self.record("archived", draft.folder(bucket))
            try:
                proven = verify(bucket, draft, self.place.scratch)
            except NotProven:
                remove_folder(bucket, draft.folder(bucket))  # the table is still there: the next try makes another one
                raise
        self.record("verified", proven.folder(bucket), rows=proven.rows, bytes=proven.bytes)
        return proven

    def folders(self) -> list[str]:
        """Everything in the bucket that was made of this partition."""
        subject = self.subject
        names = (subject.parent_schema, subject.parent_name, subject.name)
        return folders_of(self.place.bucket, self.place.database, *names)

    def same_archive(self, found: Found) -> Archive | None:
        """A proven archive that holds exactly these rows: of a restored partition, or when the ledger was lost."""
        for folder in reversed(self.folders()):
            proven = read_archive(self.place.bucket, folder)
            if proven is not None and proven.range == self.subject.range and not self.differs(found, proven):
                log.info("%s is proven already by %s", found.title, folder)
                return proven
        return None

    def own_draft(self) -> Archive | None:
        """What a try before this one has uploaded whole."""
        drafts = (read_draft(self.place.bucket, folder) for folder in reversed(self.folders()))
        return next((draft for draft in drafts if draft is not None and draft.oid == self.subject.oid), None)

    def sweep(self) -> None:
        """Remove what a dead try left half uploaded."""
        for folder in self.folders():
            if read_archive(self.place.bucket, folder) is None:
                remove_folder(self.place.bucket, folder)

    def differs(self, found: Found, proven: Archive) -> str | None:
        """In what the table is not what the archive holds."""
        own = {(column.name, column.type, column.generated) for column in columns_of(self.connection, found.oid)}
        if own != {(column.name, column.type, column.generated) for column in proven.columns}:
            return "its columns are other ones"
        rows, hash_sum = fingerprint_like(self.place.source, proven, found.schema, found.name, jobs=2)
        if (rows, hash_sum) != (proven.rows, proven.hash):
            return f"it holds {rows} rows, the archive {proven.rows}, or other values"
        return None

    def drop(self, found: Found, proven: Archive | None) -> None:
        """Drop it, if it is on its own, unreferenced, and is what its archive holds."""
        if found.referenced_by:
            raise self.referenced(found, "it cannot be dropped")
        if proven is not None and (missing := missing_objects(self.place.bucket, proven)):
            raise NotProven(
                f"The archive of {found.title} is no longer whole: {missing[0]} is gone or cut off",
                self.place.bucket.where(proven.folder(self.place.bucket)),
            )
        self.record("dropping", drop_after=self.row.drop_after if self.row else None)
        table = sql.Identifier(found.schema, found.name)
        for name in found.foreign_keys:
            statement = query("partitions/retire/drop_constraint.sql", table=table, constraint=sql.Identifier(name))
            with_ladder(self.connection, self.place.policies, statement, what=f"{name} of {found.title}")
        try:
            with_ladder(
                self.connection,
                self.place.policies,
                lambda cursor: self.drop_unless_changed(cursor, table, proven),
                what=f"dropping {found.title}",
            )
        except errors.DependentObjectsStillExist as error:
            raise Refused(
                f"{found.title} is not dropped: {' '.join(str(error).split())}",
                where=self.place.source.where,
                remedy="Drop what depends on it, if nobody needs it; nothing is ever dropped with CASCADE",
            ) from error
        self.record("dropped")
        log.info("dropped %s", found.title)

    def drop_unless_changed(self, cursor: Any, table: sql.Identifier, proven: Archive | None) -> None:
        """In one transaction: nobody can write between the comparison, which reads every row again, and the drop."""
        cursor.execute(query("partitions/retire/lock.sql", table=table))
        now = find(self.connection, self.subject.oid)
        if now is None or now.parent_name is not None or (now.schema, now.name) != table.strings:
            raise PgOpsError(
                f"{self.subject.schema}.{self.subject.name} was attached or renamed meanwhile: it is not dropped",
                where=self.place.source.where,
                remedy="Somebody works on it; the next run looks again",
            )
        if proven is not None and (why := self.differs(now, proven)) is not None:
            raise _Changed(
                f"{now.title} was changed after it had been archived ({why}): it is archived again",
                where=self.place.source.where,
                remedy="Find out who writes to a detached partition",
            )
        cursor.execute(query("partitions/retire/drop.sql", table=table))
