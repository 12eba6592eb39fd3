"""Dumps that only the holder of a key can open: proven as far as each key allows, restored, rotated, opened by age."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pgops.backup import verify
from pgops.catalog import Catalog, NotProven
from pgops.errors import Refused
from pgops.fleet import BackupPolicy, EncryptionPolicy, LocalCopy, Retention
from pgops.postgres import client_program
from pgops.recovery import compare, restore
from pgops.storage import Bucket
from pgops.storage.encryption import fingerprint
from tests.drills import scratch_database
from tests.nights import Night, execute
from tests.storage.test_encryption import Key

SECRET_TEXT = "no line of this may lie readable in the bucket"


class SealedNight(Night):
    """A night whose dumps are encrypted; `opened_with` are the identities of whoever verifies and restores."""

    opened_with: tuple[Key, ...] = ()

    @property
    def catalog(self) -> Catalog:
        return Catalog(self.bucket, self.name, lambda: [key.secret for key in self.opened_with])


def policy_for(**keys: Key) -> BackupPolicy:
    return BackupPolicy(encryption=EncryptionPolicy(recipients={name: key.public for name, key in keys.items()}))


@pytest.fixture
def key() -> Key:
    return Key()


@pytest.fixture
def sealed(database, bucket, ledger, key) -> SealedNight:
    execute(
        database,
        "CREATE TABLE notes (id int PRIMARY KEY, note text)",
        f"INSERT INTO notes SELECT g, '{SECRET_TEXT}' || md5(g::text) FROM generate_series(1, 2000) g",
    )
    night = SealedNight(database, bucket, ledger, policy=policy_for(oncall=key))
    night.opened_with = (key,)
    return night


def drill(night: Night, backup_id: str) -> None:
    with scratch_database(night.dsn) as scratch:
        restore(night.catalog, backup_id, scratch, jobs=2)
        assert compare(night.catalog, backup_id, scratch, jobs=2).problems == ()


def test_an_encrypted_night_is_proven_by_its_key_and_restores_to_what_it_was(sealed, key):
    committed = sealed.backup()
    assert committed.level == "L3"
    manifest = sealed.catalog.manifest(committed.backup_id)
    assert manifest.encryption.recipients == {"oncall": fingerprint(key.public)}
    assert [stored.key for stored in (*manifest.objects, *manifest.globals)] == ["dump.zst.age", "globals.sql.zst.age"]
    drill(sealed, committed.backup_id)


def test_nothing_of_the_data_and_no_secret_key_lies_in_the_bucket(sealed, key):
    sealed.policy = sealed.policy.model_copy(update={"compression": "none"})
    sealed.backup()
    for name in sealed.stored():
        body = sealed.bucket.open([name]).read()
        assert SECRET_TEXT.encode() not in body
        assert b"CREATE ROLE" not in body
        assert key.secret.encode() not in body


def test_without_a_key_a_night_proves_what_is_stored_and_says_what_it_could_not(sealed):
    sealed.opened_with = ()
    dumped = sealed.dump()
    verified = verify(sealed.catalog, dumped.backup_id, sealed.lease, decrypt=False)
    assert verified.verification.level == "L2"
    assert any("nothing was decrypted" in note for note in verified.notes)
    committed = sealed.commit(verified)
    assert committed.level == "L2"


@pytest.mark.parametrize("decrypt", [True, False])
def test_damage_is_found_with_the_key_and_without(sealed, decrypt):
    dumped = sealed.dump()
    name = sealed.catalog.key(dumped.backup_id, "dump.zst.age")
    body = bytearray(sealed.bucket.open([name]).read())
    body[len(body) // 2] ^= 4
    sealed.bucket.client.put_object(Bucket=sealed.bucket.name, Key=name, Body=bytes(body))
    with pytest.raises(NotProven):
        verify(sealed.catalog, dumped.backup_id, sealed.lease, decrypt=decrypt)


def test_the_wrong_key_fails_the_drill_and_the_error_names_the_keys(sealed, key):
    committed = sealed.backup()
    sealed.opened_with = (Key(),)
    with pytest.raises(Refused) as caught, scratch_database(sealed.dsn) as scratch:
        restore(sealed.catalog, committed.backup_id, scratch, jobs=1)
    assert f"oncall ({fingerprint(key.public)})" in str(caught.value)
    assert fingerprint(sealed.opened_with[0].public) in str(caught.value)


def test_a_key_is_rotated_without_losing_a_backup(sealed, key):
    """Both keys for a while, then the new one alone: each backup opens with a key that it was made for."""
    before = sealed.backup().backup_id
    new = Key()
    sealed.policy = policy_for(oncall=key, oncall2=new)
    sealed.opened_with = (new, key)
    during = sealed.backup().backup_id
    sealed.policy = policy_for(oncall2=new)
    after = sealed.backup().backup_id
    for backup_id in (before, during, after):
        drill(sealed, backup_id)
    sealed.opened_with = (new,)
    drill(sealed, during)
    with pytest.raises(Refused, match="No identity here opens this"):
        drill(sealed, before)


def test_an_encrypted_dump_of_several_objects_is_one_stream(sealed):
    sealed.bucket = Bucket(sealed.bucket.client, sealed.bucket.name, "pre/fix", object_bytes=20_000)
    committed = sealed.backup()
    keys = [stored.key for stored in sealed.catalog.manifest(committed.backup_id).objects]
    assert keys[:2] == ["dump.zst.age", "dump.zst.age.001"]
    drill(sealed, committed.backup_id)


def test_the_local_copy_is_encrypted_too(sealed, tmp_path):
    sealed.policy = sealed.policy.model_copy(update={"local_copy": LocalCopy(directory=str(tmp_path))})
    backup_id = sealed.backup().backup_id
    (copy,) = (tmp_path / "app").iterdir()
    assert copy.name == f"{backup_id}.dump.zst.age"
    assert copy.read_bytes() == sealed.bucket.open([sealed.catalog.key(backup_id, "dump.zst.age")]).read()


def test_encrypted_backups_are_pruned_and_swept_up_like_others(sealed):
    first = sealed.backup().backup_id
    second = sealed.backup().backup_id
    sealed.prune(second, Retention(keep_last=1, keep_days=0, keep_weekly=0, keep_monthly=0))
    assert sealed.catalog.folders() == [second]
    sealed.dump()
    sealed.backup()
    assert first not in sealed.catalog.folders()
    assert sealed.incomplete() == []


def test_the_age_program_and_pg_restore_bring_it_back_without_this_project(sealed, key, tmp_path):
    age = shutil.which("age")
    if age is None:
        pytest.skip("the program age is not installed")
    backup_id = sealed.backup().backup_id
    manifest = sealed.catalog.manifest(backup_id)
    (tmp_path / "key.txt").write_text(f"# my key\n{key.secret}\n")
    (tmp_path / "dump.zst.age").write_bytes(sealed.bucket.open([sealed.catalog.key(backup_id, "dump.zst.age")]).read())
    opened = subprocess.run(
        [age, "--decrypt", "--identity", "key.txt", "dump.zst.age"], cwd=tmp_path, stdout=subprocess.PIPE, check=True
    ).stdout
    plain = subprocess.run(["zstd", "-dc"], input=opened, stdout=subprocess.PIPE, check=True).stdout
    pg_restore = Path(client_program("pg_restore", manifest.server_version))
    script = subprocess.run([pg_restore, "--file=-"], input=plain, stdout=subprocess.PIPE, check=True).stdout
    assert script.count(SECRET_TEXT.encode()) == 2000
