"""What the fleet file may say about keys, locks and TLS; and that a secret which was put there is not repeated."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fleet.test_loader import GOOD, changed, load, refusal
from tests.storage.test_encryption import Key


def encrypted_to(**recipients: str) -> dict[str, Any]:
    return changed("databases", 0, "backup", "encryption", to={"recipients": recipients})


def test_public_keys_are_taken_and_those_of_the_defaults_are_added(tmp_path):
    mine, everybodys = Key().public, Key().public
    document = encrypted_to(mine=mine)
    document["defaults"]["backup"]["encryption"] = {"recipients": {"escrow": everybodys}}
    fleet = load(tmp_path, document)
    assert fleet.database("app").backup.encryption.recipients == {"escrow": everybodys, "mine": mine}
    assert fleet.database("crm").backup.encryption.recipients == {"escrow": everybodys}


def test_a_secret_key_in_the_fleet_file_is_refused_and_not_repeated(tmp_path):
    key = Key()
    error = refusal(load(tmp_path, encrypted_to(oncall=key.secret)))
    assert "oncall is a secret key" in error.what
    assert key.secret not in str(error) and key.secret[15:40] not in repr(error)


@pytest.mark.parametrize("wrong", ["age1", "ssh-ed25519 AAAA", "age1" + 58 * "q"])
def test_what_is_no_public_key_is_refused_by_its_name(tmp_path, wrong):
    assert "oncall is no public key of age" in refusal(load(tmp_path, encrypted_to(oncall=wrong))).what


def test_the_same_key_twice_is_no_second_way_in(tmp_path):
    public = Key().public
    assert "two recipients have the same key" in refusal(load(tmp_path, encrypted_to(one=public, other=public))).what


def test_encryption_without_a_key_is_refused(tmp_path):
    assert "recipients" in refusal(load(tmp_path, encrypted_to())).where


@pytest.mark.parametrize(
    ("key", "value", "fact"),
    [
        ("sse", "AES128", "AES256"),
        ("kms_key_id", "some-key", "kms_key_id needs sse: aws:kms"),
        ("object_lock", {"days": 0}, "greater than or equal to 1"),
        ("object_lock", {"mode": "LEGAL", "days": 3}, "GOVERNANCE"),
        ("object_lock", {"mode": "GOVERNANCE"}, "missing"),
    ],
)
def test_a_mistake_about_the_store_is_one_of_the_whole_file(tmp_path, key, value, fact):
    error = refusal(load(tmp_path, changed("storage", key, to=value)))
    assert fact in error.what


def test_nothing_of_custody_is_on_by_default_and_tls_is_looked_at(tmp_path):
    fleet = load(tmp_path, GOOD)
    storage = fleet.checked_settings().storage
    given = (storage.prune_connection, storage.identity_connection, storage.sse, storage.object_lock)
    assert given == (None, None, "none", None)
    assert fleet.database("app").backup.encryption is None
    assert fleet.server("primary").tls == "warn"


def test_a_wrong_word_about_tls_fails_its_server(tmp_path):
    fleet = load(tmp_path, changed("servers", 0, "tls", to="maybe"))
    assert any("tls" in problem.key and "'maybe'" in problem.what for problem in fleet.problems)
