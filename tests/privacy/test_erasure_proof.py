"""What a proof says: what is gone, what stays and why, and which copies still hold the person until when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from pgops.errors import PgOpsError
from pgops.fleet import BackupPolicy, MigrationPolicy, Retention
from pgops.fleet.models import LocalCopy
from pgops.privacy import ArchivedSubject, erase, erase_archives, holders, identify, prove, read_map, search
from pgops.storage import Bucket, StoredObject

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


def backup_id(at: datetime) -> str:
    return f"{at:%Y%m%dT%H%M%SZ}-abcdef"


def ends(retention: Retention, *days_ago: int) -> dict[int, int]:
    """For backups so many days old: in how many days each is gone at the latest."""
    ids = {backup_id(NOW - timedelta(days=days)): days for days in days_ago}
    catalog = SimpleNamespace(backups=lambda: sorted(ids))
    found = holders(catalog, BackupPolicy(retention=retention), None, NOW)
    return {
        ids[one.what.removeprefix("backup ")]: (one.expires_at - NOW).days
        for one in found
        if one.what.startswith("backup ")
    }


def test_no_backup_is_said_to_go_before_the_retention_lets_it_go():
    """The plan of nightly_backup, night by night, is the judge."""
    from pgops.backup.retention import plan

    retention = Retention(keep_last=5, keep_days=3, keep_weekly=3, keep_monthly=2, keep_yearly=0)
    nights = [NOW - timedelta(days=days) for days in range(60, -1, -1)]
    there: list[str] = []
    for night in nights:
        there = [
            one
            for one in [*there, backup_id(night)]
            if one not in plan([*there, backup_id(night)], retention, night).remove
        ]
    said = holders(SimpleNamespace(backups=lambda: list(there)), BackupPolicy(retention=retention), None, NOW)
    until = {one.what.removeprefix("backup "): one.expires_at for one in said}
    left, night = list(there), NOW
    while any(one in left for one in there):
        night += timedelta(days=1)
        left = [
            one
            for one in [*left, backup_id(night)]
            if one not in plan([*left, backup_id(night)], retention, night).remove
        ]
        for one in there:
            if until[one] <= night:
                assert one not in left, f"{one} was said to be gone by {until[one]}, and is there on {night}"
    assert len(there) > 5


def test_backups_that_begin_after_the_erasure_do_not_hold_the_person():
    later = backup_id(NOW + timedelta(minutes=1))
    found = holders(SimpleNamespace(backups=lambda: [later]), BackupPolicy(), None, NOW)
    assert not [one for one in found if one.what.startswith("backup ")]


def test_copies_beside_the_backups_are_named_too():
    policy = BackupPolicy(local_copy=LocalCopy(directory="/backups", keep_days=3))
    migrations = MigrationPolicy.model_validate(
        {"folder": "migrations/app", "connection": "c", "golden": {"source": "backup", "max_age_hours": 24}}
    )
    found = {one.what: one.expires_at for one in holders(SimpleNamespace(backups=list), policy, migrations, NOW)}
    assert sorted(end for end in found.values() if end) == [NOW + timedelta(hours=24), NOW + timedelta(days=3)]
    assert [what for what, end in found.items() if end is None] == [
        "archived WAL and base backups of the server, for as long as its archive keeps them"
    ]


def test_somebody_who_is_still_there_is_no_proof(one_shop, policy):
    mapped = read_map(one_shop, "app", policy())
    with pytest.raises(PgOpsError, match=r"The person is still there: .*2 rows in public\.orders"):
        prove(one_shop, mapped, identify(one_shop, mapped, "7"), [])


def test_what_stays_is_listed_with_its_reason(one_shop, policy):
    users = {"table": "public.users", "action": "anonymise", "set": {"email": ""}}
    orders = {"table": "public.orders", "action": "keep", "reason": "tax law, ten years"}
    mapped = read_map(one_shop, "app", policy(users, orders))
    person = identify(one_shop, mapped, "7")
    erase(one_shop, mapped, person, batch_rows=10)
    proof = prove(one_shop, mapped, person, [])
    assert "public.orders: 2 rows, tax law, ten years" in proof.kept
    assert "public.users: 1 rows, anonymised" in proof.kept
    assert not proof.archives_searched


class TextArchives:
    """Archives of retired partitions, each one line a row: "table user". What the real ones have to do."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.prefix = bucket.key("app", "archives") + "/"

    def search(self, subject: ArchivedSubject) -> Mapping[str, int]:
        return {name: len(found) for name, lines in self._all().items() if (found := self._of(lines, subject))}

    def unsearched(self, subject: ArchivedSubject) -> tuple[str, ...]:
        return ()

    def left(self, subject: ArchivedSubject) -> Mapping[str, int]:
        return self.search(subject)

    def export(self, subject: ArchivedSubject, folder: str) -> tuple[StoredObject, ...]:
        return tuple(
            self.bucket.put(f"{folder}/{name}", "\n".join(found).encode(), "text/plain")
            for name, lines in self._all().items()
            if (found := self._of(lines, subject))
        )

    def erase(self, subject: ArchivedSubject) -> Mapping[str, int]:
        gone = {}
        for name, lines in self._all().items():
            found = self._of(lines, subject)
            if found:
                rest = "\n".join(line for line in lines if line not in found)
                self.bucket.put(self.prefix + name, rest.encode(), "text/plain")
                gone[name] = len(found)
        return gone

    def _all(self) -> dict[str, list[str]]:
        return {
            info.key.removeprefix(self.prefix): self.bucket.open([info.key]).read().decode().splitlines()
            for info in self.bucket.objects(self.prefix)
        }

    @staticmethod
    def _of(lines: list[str], subject: ArchivedSubject) -> list[str]:
        return [line for line in lines if line.split()[0] in subject.tables and line.split()[1] == subject.key]


def test_archives_are_searched_exported_and_erased_with_the_rest(one_shop, bucket, policy):
    from tests.privacy.test_subject_export import exported

    archives = TextArchives(bucket)
    bucket.put(archives.prefix + "2024-01", b"public.history 7\npublic.history 8\npublic.other 7", "text/plain")
    mapped = read_map(one_shop, "app", policy())
    person = identify(one_shop, mapped, "7")
    assert search(one_shop, mapped, person, archives).archives == {"2024-01": 1}
    made = exported(one_shop, bucket, policy(), archives=archives)
    assert made.archives is not None and [one.bytes for one in made.archives] == [len("public.history 7")]
    erase(one_shop, mapped, person, batch_rows=10)
    with pytest.raises(PgOpsError, match="1 rows in 2024-01"):
        prove(one_shop, mapped, person, [], archives)
    assert erase_archives(mapped, person, archives) == {"2024-01": 1}
    assert prove(one_shop, mapped, person, [], archives).archives_searched
    assert erase_archives(mapped, person, archives) == {}
