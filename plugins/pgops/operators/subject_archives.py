"""A person in the archives of retired partitions: what privacy asks for, done by what partitions can do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from pgops.errors import Refused
from pgops.fleet import Database, PrivacyPolicy, Settings
from pgops.operators import resources

if TYPE_CHECKING:
    from pgops.partitions.manifest import Archive
    from pgops.partitions.place import Place
    from pgops.partitions.rewrite import Counted, RowsOf
    from pgops.privacy import ArchivedSubject, ArchivedTable, Archives
    from pgops.storage import StoredObject

# Archives are being written for as long as the copying of one large partition takes.
_PATIENCE_SECONDS = 3600.0


def subject_archives(settings: Settings, database: Database, context: Mapping[str, Any]) -> Archives | None:
    """Where copies of the database's retired partitions are searched; None when it has none.

    Raises:
        Refused: it has some, and the fleet file no longer says where they can be looked into.
    """
    from pgops.partitions.manifest import archives_of

    if database.partitions is not None:
        place = resources.partition_place(settings, database, context)
        return PartitionArchives(place, resources.privacy_policy(database))
    bucket = resources.bucket(settings)
    found = archives_of(bucket, database.name)
    if not found:
        return None
    raise Refused(
        f"{database.name} has {len(found)} archives of partitions and no partition policies any more",
        where=bucket.where(found[0].folder(bucket)),
        remedy="Add partitions.connection (and scratch_connection) in include/fleet.yaml; `tables` may stay empty",
    )


@dataclass(frozen=True)
class PartitionArchives:
    """As privacy's Archives. Each archive is loaded on the scratch server: it knows when values are equal."""

    place: Place
    policy: PrivacyPolicy

    def search(self, subject: ArchivedSubject) -> Mapping[str, int]:
        """Rows of the subject by archive."""
        return {title: counted.rows for title, counted in self._counted(subject).items() if counted.rows}

    def left(self, subject: ArchivedSubject) -> Mapping[str, int]:
        """Rows that an erasure would still delete or change, by archive."""
        found = self._counted(subject, erased=True)
        return {title: counted.left for title, counted in found.items() if counted.left}

    def unsearched(self, subject: ArchivedSubject) -> tuple[str, ...]:
        """Archives of the subject's tables that have no column with the key."""
        every = self._of_tables(subject)
        return tuple(_title(archive) for archive, _, wanted in every if not wanted.within(archive))

    def export(self, subject: ArchivedSubject, folder: str) -> tuple[StoredObject, ...]:
        """Write the subject's rows as CSV, a file for each archive that has some."""
        from pgops.partitions.rewrite import export_rows

        place = self.place
        written: list[StoredObject] = []
        with self._alone():
            for archive, wanted in self._searched(subject):
                name = archive.folder(place.bucket).rsplit("/", 1)[1]
                written += export_rows(place.bucket, archive, place.scratch, wanted, f"{folder}/{name}.csv")
        return tuple(written)

    def erase(self, subject: ArchivedSubject) -> Mapping[str, int]:
        """Rewrite and prove every archive that holds the subject; called when the tables no longer do."""
        from pgops.partitions.manifest import discard_unproven, finish_rewrites
        from pgops.partitions.rewrite import rewrite_archive

        place = self.place
        gone: Counter[str] = Counter()
        with self._alone():
            discard_unproven(place.bucket, place.database)
            for archive, wanted in self._searched(subject, erased=True):
                gone[_title(archive)] += rewrite_archive(place.bucket, archive, place.scratch, wanted, place.by).rows
            finish_rewrites(place.bucket, place.database)
        return +gone

    def _counted(self, subject: ArchivedSubject, *, erased: bool = False) -> dict[str, Counted]:
        from pgops.partitions.rewrite import count_rows

        place = self.place
        with self._alone():
            return {
                _title(archive): count_rows(place.bucket, archive, place.scratch, wanted)
                for archive, wanted in self._searched(subject, erased=erased)
            }

    def _alone(self) -> AbstractContextManager[None]:
        """One request at a time, and no archive that comes into being behind its back."""
        from pgops.partitions.place import ARCHIVES, alone

        return alone(self.place, ARCHIVES, _PATIENCE_SECONDS)

    def _searched(self, subject: ArchivedSubject, *, erased: bool = False) -> Iterator[tuple[Archive, RowsOf]]:
        """Archives that can be searched; with `erased`, those whose rows do not stay by policy."""
        for archive, table, wanted in self._of_tables(subject):
            if wanted.within(archive) and not (erased and table.action == "keep"):
                yield archive, wanted

    def _of_tables(self, subject: ArchivedSubject) -> Iterator[tuple[Archive, ArchivedTable, RowsOf]]:
        from pgops.partitions.manifest import archives_of
        from pgops.partitions.rewrite import RowsOf

        for archive in archives_of(self.place.bucket, self.place.database):
            table = subject.tables.get(archive.parent) or self._named(archive)
            if table is not None:
                yield archive, table, RowsOf(table.columns, subject.key, table.set)

    def _named(self, archive: Archive) -> ArchivedTable | None:
        """What the policy says of a table that is gone."""
        from pgops.privacy import ArchivedTable

        names = (archive.parent, f"{archive.schema}.{archive.name}")
        for one in self.policy.tables:
            if any(fnmatchcase(name, one.table) for name in names):
                return ArchivedTable((one.column,) if one.column else (), one.action, one.set)
        return None


def _title(archive: Archive) -> str:
    """As reports name it: a partition's name can have come twice."""
    return f"archive of {archive.schema}.{archive.name} from {archive.archived_at:%Y-%m-%d} ({archive.archive_id[-6:]})"
