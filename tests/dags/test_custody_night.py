"""Nights and drills with encrypted dumps, as Airflow runs them: keys from a connection, and from nowhere else."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from pgops.errors import Refused
from pgops.fleet import PhysicalPolicy
from pgops.operators import resources
from sandbox.settings import Connection
from tests.dags.conftest import Site
from tests.storage.test_encryption import Key

pytestmark = pytest.mark.airflow


def encrypt(
    site: Site, key: Key, verify: str = "decrypted", identity_connection: str | None = "age_identities"
) -> None:
    def change(document: dict[str, Any]) -> None:
        document["storage"]["identity_connection"] = identity_connection
        document["defaults"]["backup"]["encryption"] = {"recipients": {"oncall": key.public}, "verify": verify}

    site.fleet(change)


def hold(site: Site, *keys: Key) -> None:
    """Give Airflow the connection with these identities."""
    any_one = next(iter(site.stand.connections.values()))
    text = "".join(f"# a key\n{key.secret}\n" for key in keys)
    identities: Connection = replace(any_one, id="age_identities", type="generic", extra={})
    site.stand.connections["age_identities"] = identities
    try:
        site.connect("age_identities", host=None, port=None, schema=None, login=None, password=text)
    finally:
        del site.stand.connections["age_identities"]


def test_an_encrypted_night_is_proven_restored_and_lost_to_whoever_has_another_key(site):
    key = Key()
    encrypt(site, key)
    hold(site, Key(), key)
    night = site.run("nightly_backup", databases=["app"])
    assert night.state == "success"
    backup = night.xcom("report")["databases"]["app"]["backup"]
    assert backup["level"] == "L3"
    assert any(name.endswith("dump.zst.age") for name in site.objects())
    assert site.run("restore_drill", database="app", backup_id=backup["backup_id"]).state == "success"

    hold(site, Key())
    drill = site.run("restore_drill", database="app", backup_id=backup["backup_id"])
    assert drill.state == "failed"
    assert "oncall" in drill.xcom("report", "report")["failures"][0]
    assert key.secret not in repr([night.xcoms(), drill.xcoms(), site.messages()])


def test_a_night_that_could_not_read_its_dump_back_is_refused_before_anything_is_dumped(site):
    encrypt(site, Key())
    hold(site, Key())
    night = site.run("nightly_backup", databases=["app"])
    assert night.state == "failed"
    error = night.xcom("report")["databases"]["app"]["error"]
    assert error.startswith("preflight: ") and "No identity here opens this" in error
    assert not any("dump" in name for name in site.objects())


def test_a_night_without_any_secret_key_ends_at_l2_and_says_so_and_a_drill_proves_that_the_key_decrypts(site):
    key = Key()
    encrypt(site, key, verify="stored", identity_connection=None)
    night = site.run("nightly_backup", databases=["app"])
    assert night.state == "success"
    outcome = night.xcom("report")["databases"]["app"]
    assert outcome["backup"]["level"] == "L2"
    assert any("nothing was decrypted" in note for note in outcome["notes"])
    encrypt(site, key, verify="stored")
    hold(site, key)
    assert site.run("restore_drill", database="app", backup_id=outcome["backup"]["backup_id"]).state == "success"


def test_what_must_be_deleted_is_deleted_with_the_pruners_connection_and_only_then_is_it_needed(site):
    """Without the second connection a night gets as far as its probe."""
    site.fleet(lambda document: document["storage"].update(prune_connection="aws_pruner"))
    error = site.run("nightly_backup", databases=["app"]).xcom("report")["databases"]["app"]["error"]
    assert error.startswith("preflight: ") and "no Airflow connection 'aws_pruner'" in error
    site.stand.connections["aws_pruner"] = replace(site.stand.connections["aws_backups"], id="aws_pruner")
    try:
        site.connect("aws_pruner")
    finally:
        del site.stand.connections["aws_pruner"]
    night = site.run("nightly_backup", databases=["app"])
    assert night.state == "success"
    notes = night.xcom("report")["databases"]["app"]["notes"]
    assert any("prune_connection protects nothing" in note for note in notes), "both have the same key here"


def test_a_server_whose_policy_requires_tls_is_not_backed_up_without(site):
    site.fleet(lambda document: document["servers"][0].update(tls="required"))
    night = site.run("nightly_backup", databases=["app"])
    assert night.state == "failed"
    assert "sslmode=prefer" in night.xcom("report")["databases"]["app"]["error"]


def test_wal_gs_key_comes_from_a_connection_and_is_a_secret_one(monkeypatch):
    policy = PhysicalPolicy(engine="walg", connection="unused", encryption_connection="walg_key")
    for kind in ("PRIVATE", "PUBLIC"):
        armored = f"-----BEGIN PGP {kind} KEY BLOCK-----\n\nlQVYBGM\n-----END PGP {kind} KEY BLOCK-----"
        monkeypatch.setenv("AIRFLOW_CONN_WALG_KEY", json.dumps({"conn_type": "generic", "password": f"{armored}\n"}))
        if kind == "PRIVATE":
            assert resources.openpgp_key(policy) == armored
            continue
        with pytest.raises(Refused, match="'walg_key' holds no OpenPGP secret key") as caught:
            resources.openpgp_key(policy)
        assert "lQVYBGM" not in str(caught.value)
