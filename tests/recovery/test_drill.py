"""A drill passes on a good backup, finds what is wrong with a bad one, and leaves nothing behind."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg2
import pytest

from pgops.errors import PgOpsError, Refused
from pgops.fleet import BackupPolicy, Canary
from pgops.ledger import Lease
from pgops.postgres import Dsn
from pgops.recovery import (
    Check,
    Restored,
    compare,
    drop_scratch,
    prepare_scratch,
    report,
    restore,
    run_amcheck,
    run_canaries,
)
from pgops.recovery.scratch import scratch_name
from sandbox.account import nobody
from tests.nights import SAMPLE, Night, execute
from tests.servers import MAJORS, dsn_facts, fresh_database

ROOT = Path(__file__).parents[2]
ROLES = ROOT / "include" / "sql" / "roles"


class Drill:
    """A drill of one backup, step by step, as the DAG takes it."""

    def __init__(self, night: Night, backup_id: str, server: Dsn | None = None) -> None:
        self.night, self.backup_id = night, backup_id
        self.server = server or night.dsn.on("postgres")
        self.lease = Lease(night.ledger, f"drill/{night.bucket.name}", "drill-1")
        self.restored = self.server.on(scratch_name(night.name))

    def prepare(self):
        return prepare_scratch(self.night.catalog, self.backup_id, self.server, self.lease)

    def restore(self, jobs: int = 2) -> Restored:
        return restore(self.night.catalog, self.backup_id, self.restored, jobs)

    def compare(self) -> Check:
        return compare(self.night.catalog, self.backup_id, self.restored, 2)

    def drop(self) -> None:
        drop_scratch(self.night.name, self.server, self.lease)

    def report(self, restored: Restored | None, *checks: Check, rto: float = 60.0, unfinished: tuple[str, ...] = ()):
        return report(
            self.night.catalog, self.backup_id, datetime.now(UTC), rto, restored, checks, unfinished, self.night.ledger
        )


@pytest.fixture
def night(each_database, bucket, ledger) -> Night:
    return Night(each_database, bucket, ledger, name=f"app-{secrets.token_hex(3)}")


@pytest.fixture
def drill(night) -> Iterator[Drill]:
    """A backup of the sample, restored."""
    execute(night.dsn, *SAMPLE)
    one = Drill(night, night.backup().backup_id)
    one.prepare()
    one.took = one.restore()
    yield one
    one.drop()


def scratches(drill: Drill) -> list[tuple]:
    return execute(drill.server, f"SELECT datname FROM pg_database WHERE datname = '{drill.restored.dbname}'")


def test_a_good_backup_passes_and_nothing_is_left(drill):
    checks = (drill.compare(), run_amcheck(drill.restored, 2), run_canaries(drill.restored, ()))
    verdict = drill.report(drill.took, *checks)
    assert (verdict.passed, verdict.failures) == (True, ())
    assert [check.passed for check in checks] == [True, True, False]
    assert checks[2].skipped == "there are no questions in the fleet file"
    assert verdict.rto_seconds == drill.took.seconds > 0
    drill.drop()
    drill.drop()  # harmless
    assert scratches(drill) == []
    (key,) = [key for key in drill.night.stored() if "/drills/" in key]
    assert drill.night.bucket.get_json(key)["passed"] is True
    assert execute(
        drill.night.ledger.dsn, f"SELECT passed FROM pgops.drills WHERE backup_id = '{drill.backup_id}'"
    ) == [(True,)]


DIFFERENCES = {
    "a changed row": ("UPDATE orders SET note = 'x' WHERE id = 7", "public.orders has 3000 rows as the source, but"),
    "a missing row": ("DELETE FROM orders WHERE id = 7", "public.orders has 2999 rows, the source had 3000"),
    "a missing table": ("DROP TABLE no_rows", "public.no_rows was not restored"),
    "a table too many": ("CREATE TABLE extra ()", "public.extra was not in the source"),
    "a missing large object": ("SELECT lo_unlink(4712)", "2 large objects with other contents, the source had 3"),
    "a changed large object": ("SELECT lo_put(4711, 0, 'X')", "3 large objects with other contents"),
    "a sequence behind": ("SELECT setval('orders_id_seq', 5)", "sequence public.orders_id_seq is behind"),
    "a row in a hidden table": ("DELETE FROM secured WHERE x = 1", "public.secured has 1 rows, the source had 2"),
}


@pytest.mark.parametrize(("change", "said"), DIFFERENCES.values(), ids=DIFFERENCES)
def test_a_difference_is_found_and_named(drill, change, said):
    execute(drill.restored, change)
    check = drill.compare()
    assert not check.passed
    assert any(said in problem for problem in check.problems), check.problems
    verdict = drill.report(drill.took, check)
    assert not verdict.passed
    assert said in verdict.failures[0]


def test_canaries_know_right_from_wrong_and_cannot_write(drill):
    good = [
        Canary(name="count", sql="SELECT count(*) FROM orders", expect=3000),
        Canary(name="bool", sql="SELECT true", expect=True),
        Canary(name="text with %", sql="SELECT '100 %'", expect="100 %"),
    ]
    assert run_canaries(drill.restored, good).passed
    bad = {
        "wrong": Canary(name="wrong", sql="SELECT count(*) FROM orders", expect=1),
        "broken": Canary(name="broken", sql="SELEC 1", expect=1),
        "writes": Canary(name="writes", sql="DELETE FROM orders RETURNING 1", expect=1),
        "silent": Canary(name="silent", sql="SET work_mem = '1MB'", expect=1),
        "nothing": Canary(name="nothing", sql="SELECT 1 WHERE false", expect=1),
    }
    check = run_canaries(drill.restored, list(bad.values()))
    assert not check.passed
    said = dict(problem.split(": ", 1) for problem in check.problems)
    assert set(said) == set(bad)
    assert "the answer is 3000, expected 1" in said["wrong"]
    assert "42601" in said["broken"]
    assert "25006" in said["writes"]
    assert execute(drill.restored, "SELECT count(*) FROM orders") == [(3000,)]


@pytest.mark.parametrize("relation", ["orders", "orders_at"])
def test_amcheck_finds_a_damaged_block_and_says_where(drill, each_postgres, relation):
    (path,) = execute(drill.restored, f"CHECKPOINT; SELECT pg_relation_filepath('{relation}')")[0]
    each_postgres.stop()
    file = each_postgres.data / path
    data = bytearray(file.read_bytes())
    if relation == "orders":
        data[8192 + 4000 : 8192 + 4400] = os.urandom(400)
    else:
        data[8192 : 2 * 8192] = bytes(8192)  # a page of zeros: no checksum protects it
    file.write_bytes(data)
    each_postgres.start()
    check = run_amcheck(drill.restored, 1)
    assert not check.passed
    assert not check.skipped
    assert any(relation in problem or "invalid page" in problem for problem in check.problems), check.problems


def test_amcheck_is_skipped_and_not_claimed_where_the_role_may_not(drill):
    role = f"role_{secrets.token_hex(4)}"
    execute(drill.server, f"CREATE ROLE {role} LOGIN PASSWORD 'role-of-the-tests'")
    try:
        execute(drill.restored, "DROP EXTENSION amcheck")
        check = run_amcheck(dataclasses.replace(drill.restored, user=role, password="role-of-the-tests"), 1)
        assert not check.passed
        assert "permission denied" in check.skipped
        assert drill.report(drill.took, check).passed
        execute(drill.restored, "CREATE EXTENSION amcheck")
        check = run_amcheck(dataclasses.replace(drill.restored, user=role, password="role-of-the-tests"), 1)
        assert check.skipped
    finally:
        execute(drill.server, f"DROP ROLE {role}")


def test_a_missed_rto_fails_the_drill(drill):
    verdict = drill.report(Restored(100.0, 40.0, 60.0, 2), rto=60.0)
    assert not verdict.passed
    assert verdict.failures[0].startswith("RTO missed: ")
    assert drill.report(Restored(59.0, 20.0, 39.0, 2), rto=60.0).passed


def test_a_step_that_came_to_no_end_fails_the_drill(drill):
    verdict = drill.report(None, unfinished=("restore: the disk was full",))
    assert (verdict.passed, verdict.failures) == (False, ("restore: the disk was full",))


# --- refusals ---


def test_an_older_server_is_refused(postgres_of, bucket, ledger):
    if MAJORS != [15, 18]:
        pytest.skip("needs PostgreSQL 15 and 18")
    with fresh_database(postgres_of(18)) as dsn, fresh_database(postgres_of(15)) as old:
        night = Night(dsn, bucket, ledger)
        with pytest.raises(Refused, match="This server has version 15, the backup 18"):
            Drill(night, night.backup().backup_id, old).prepare()


def test_a_newer_server_restores_and_compares(postgres_of, bucket, ledger):
    if MAJORS != [15, 18]:
        pytest.skip("needs PostgreSQL 15 and 18")
    with fresh_database(postgres_of(15)) as dsn, fresh_database(postgres_of(18)) as new:
        execute(dsn, *SAMPLE)
        night = Night(dsn, bucket, ledger)
        drill = Drill(night, night.backup().backup_id, new)
        drill.prepare()
        drill.restore()
        assert drill.compare().passed
        assert run_amcheck(drill.restored, 2).passed
        drill.drop()


def test_an_extension_that_is_not_there_is_refused(night):
    backup_id = night.backup().backup_id
    manifest = night.catalog.manifest(backup_id)
    night.catalog.write_manifest(dataclasses.replace(manifest, extensions={"plpgsql": "1.0", "postgis": "3.4"}))
    with pytest.raises(Refused, match="lacks the extensions postgis"):
        Drill(night, backup_id).prepare()


def test_a_role_that_may_not_create_databases_is_refused(night):
    role = f"role_{secrets.token_hex(4)}"
    execute(night.dsn, f"CREATE ROLE {role} LOGIN PASSWORD 'role-of-the-tests'")
    try:
        server = dataclasses.replace(night.dsn.on("postgres"), user=role, password="role-of-the-tests")
        with pytest.raises(Refused, match="cannot create a database"):
            Drill(night, night.backup().backup_id, server).prepare()
    finally:
        execute(night.dsn, f"DROP ROLE {role}")


def test_a_worker_without_room_is_refused_before_the_download(night, monkeypatch):
    drill = Drill(night, night.backup().backup_id)
    drill.prepare()
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 10, 0))
    with pytest.raises(Refused, match="free are 0 B") as caught:
        drill.restore()
    assert "TMPDIR" in caught.value.remedy
    drill.drop()


@pytest.mark.parametrize("compression", ["zstd", "gzip", "none"])
def test_a_backup_that_was_damaged_after_its_proof_is_not_restored(night, compression):
    execute(night.dsn, *SAMPLE)
    night.policy = BackupPolicy(compression=compression)
    backup_id = night.backup().backup_id
    (key,) = night.catalog.keys(backup_id, night.catalog.manifest(backup_id).objects)
    good = night.bucket.open([key]).read()
    drill = Drill(night, backup_id)
    drill.prepare()
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 4
    for damaged in (bytes(flipped), good[: len(good) // 2], good[:-1], good + b"x", b""):
        night.bucket.client.put_object(Bucket=night.bucket.name, Key=key, Body=damaged)
        with pytest.raises(PgOpsError, match=r"came back as|cannot be decompressed"):
            drill.restore()
    night.bucket.delete([key])
    with pytest.raises(PgOpsError, match="NoSuchKey"):
        drill.restore()
    drill.drop()


def test_a_backup_that_was_never_proven_is_not_drilled(night):
    dumped = night.dump()
    with pytest.raises(PgOpsError, match="NoSuchKey"):
        Drill(night, dumped.backup_id).prepare()


# --- the scratch database ---


def test_what_a_dead_drill_left_is_replaced_also_with_sessions_on_it(night):
    drill = Drill(night, night.backup().backup_id)
    drill.prepare()
    left = psycopg2.connect(drill.restored.conninfo(), password=drill.restored.password)
    with left.cursor() as cursor:
        cursor.execute("CREATE TABLE left_over ()")
        left.commit()
    following = Drill(night, drill.backup_id)
    following.prepare()
    assert execute(drill.restored, "SELECT count(*) FROM pg_tables WHERE tablename = 'left_over'") == [(0,)]
    following.restore()
    assert following.compare().passed
    following.drop()
    assert scratches(drill) == []
    left.close()


def test_two_drills_of_a_database_do_not_touch_each_other(night):
    drill = Drill(night, night.backup().backup_id)
    drill.prepare()
    other = Drill(night, drill.backup_id)
    other.lease = dataclasses.replace(drill.lease, owner="drill-2")
    with pytest.raises(Refused, match="Another run is at work"):
        other.prepare()
    with pytest.raises(Refused, match="Another run is at work"):
        other.drop()
    assert scratches(drill) != []
    drill.drop()


def test_names_of_scratch_databases_fit_and_differ():
    long = "a" * 60
    names = {scratch_name(f"{long}{n}") for n in range(3)} | {scratch_name("app")}
    assert len(names) == 4
    assert all(len(name) <= 63 for name in names)


def test_a_process_whose_files_nobody_may_look_at_restores_too(night, s3, each_postgres):
    """Airflow makes its task processes non-dumpable: /proc/<pid>/fd is closed then to other programs of the user."""
    execute(night.dsn, *SAMPLE)
    drill = Drill(night, night.backup().backup_id)
    drill.prepare()
    facts = {
        "endpoint": s3.endpoint,
        "bucket": night.bucket.name,
        "prefix": night.bucket.prefix,
        "database": night.name,
        "backup_id": drill.backup_id,
        "target": dsn_facts(drill.restored),
    }
    programs = each_postgres.binaries.bindir
    if os.geteuid() == 0:
        programs = nobody().reachable(programs)
    subprocess.run(
        [sys.executable, "-m", "tests.recovery.undumpable_restore", json.dumps(facts)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}", "PGOPS_PG_BINDIRS": str(programs)},
        timeout=120,
        check=True,
    )
    assert drill.compare().passed
    drill.drop()


def test_the_drill_role_of_the_documents_is_enough(night):
    execute(night.dsn, *SAMPLE)
    server, template = night.dsn.on("postgres"), night.dsn.on("template1")
    execute(template, (ROLES / "drill.sql").read_text(), "ALTER ROLE pgops_drill PASSWORD 'drill-of-the-tests'")
    try:
        as_drill = dataclasses.replace(server, user="pgops_drill", password="drill-of-the-tests")
        drill = Drill(night, night.backup().backup_id, as_drill)
        drill.prepare()
        drill.restore()
        assert drill.compare().passed
        check = run_amcheck(drill.restored, 1)
        assert check.passed, check
        drill.drop()
    finally:
        execute(server, "DROP OWNED BY pgops_drill")  # other tests may have let it in there
        execute(template, "DROP EXTENSION amcheck", "DROP OWNED BY pgops_drill", "DROP ROLE pgops_drill")
