"""recovery_drill and what backup_watch asks of the archives, in process, on real servers."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from pgops.operators import recovery_drill
from pgops.physical.state import Place
from tests import servers
from tests.dags.conftest import Site
from tests.dags.recoveries import admit, connect, lead_to, recoverable_source, recovered_at
from tests.inbox import shown
from tests.physical.archived import archived_server, sealed_walg, secret_keys
from tests.physical.recovery.sources import Source, some_ports

pytestmark = pytest.mark.airflow
DAG = "recovery_drill"


@pytest.fixture(scope="module")
def shared_source():
    with recoverable_source() as source:
        yield source


@pytest.fixture
def source(site: Site, shared_source: Source):
    """The module's server; its settings are put back."""
    lead_to(site, shared_source, rpo_minutes=0.1)
    shared_source.server.execute("alter system set archive_timeout = '1s'")
    shared_source.server.execute("alter system reset archive_command")
    shared_source.server.execute("select pg_reload_conf()")
    yield shared_source
    shared_source.clean()


@contextmanager
def no_base_backup(source: Source):
    """As before the first one."""
    base = source.engine.folder / "base"
    base.rename(base.with_name("base-away"))
    base.mkdir()
    try:
        yield
    finally:
        base.rmdir()
        base.with_name("base-away").rename(base)


def left_behind(source: Source) -> tuple[list[str], int]:
    """Copies on the recovery host, and markers in the server."""
    folders = sorted(file.name for file in source.folder.joinpath("recoveries").glob("[!.]*"))
    [(rows,)] = source.sql("select count(*) from pgops.recovery_markers")
    return folders, int(rows)


def test_a_drill_finds_its_marker_and_nothing_later_and_measures_rpo_and_rto(site, source):
    before = source.archive_files()
    run = site.run(DAG)
    assert run.state == "success", run.states
    [(passed, rpo, rto, kind)] = site.ledger("select passed, rpo_seconds, rto_seconds, kind from pgops.recoveries")
    assert passed and kind == "drill" and rto > 0 and 0 <= rpo < 60
    [message] = site.messages()
    assert "primary: recovery to a point in time proven" in shown(message) and "RPO" in shown(message)
    assert left_behind(source) == ([], 0)
    [(intervals,)] = site.ledger("select intervals from pgops.restorable where server = 'primary'")
    assert len(intervals) == 1 and intervals[0]["exact"]
    changed = {name for name, facts in source.archive_files().items() if before.get(name, facts) != facts}
    assert changed == set(), "what was in the archive is as it was"
    # Its copy is gone, so a step that is cleared alone fails; what find_marker found once proves nothing now.
    run = site.clear(run, "primary.recover_drill_copy", "primary.find_marker", "primary.report")
    assert run.states["primary.find_marker"] == "upstream_failed" and run.states["primary.report"] == "failed"
    assert site.ledger("select passed from pgops.recoveries") == [(False,)]


def test_the_drill_of_a_sealed_archive_proves_that_its_key_opens_it(site, stand):
    with secret_keys() as new_key:
        key = new_key()
    site.monkeypatch.setenv("AIRFLOW_CONN_WALG_KEY", json.dumps({"conn_type": "generic", "password": key}))
    sealed = archived_server(sealed_walg(key), servers.MAJORS[0], stand.s3, site.bucket, archive_timeout="1s")
    with sealed as archived:
        server = archived.server
        archived.engine.push(print)
        admit(server)
        server.execute("create table items (id int primary key); insert into items values (1)")
        bindir = server.identity.reachable(server.binaries.bindir)
        base = server.identity.folder(archived.folder / "recoveries")
        recovered_at(site, Place(archived.host, base, bindir, some_ports()), server, "walg", "walg_key")
        connect(site, server)
        run = site.run(DAG)
        assert run.state == "success", run.states
        assert site.ledger("select passed from pgops.recoveries") == [(True,)]


def test_a_drill_whose_copy_holds_what_came_later_fails_and_cleans_up(site, source, monkeypatch):
    """As if recovery had gone too far: the instant that is asked for lies after both rows."""
    from pgops.physical import drill

    leave = drill.leave_marker

    def late(dsn):
        from dataclasses import replace

        marker = leave(dsn)
        target = source.now()
        source.commit_later()
        return replace(marker, target=target)

    site.monkeypatch.setattr(drill, "leave_marker", late)
    run = site.run(DAG)
    assert run.state == "failed" and run.states["primary.find_marker"] == "failed"
    assert run.states["primary.clean_up"] == "success" and left_behind(source) == ([], 0)
    assert site.ledger("select passed from pgops.recoveries") == [(False,)]
    assert any("was committed after the target is there" in shown(message) for message in site.messages())


def test_an_rpo_and_an_rto_that_are_missed_fail_the_drill_though_it_recovers(site, source):
    def strict(fleet):
        fleet["servers"][0]["physical"]["recovery"] |= {"rpo_minutes": 0.02, "rto_minutes": 0.0001}

    source.server.execute("alter system set archive_timeout = 0")
    source.server.execute("select pg_reload_conf()")
    site.fleet(strict)
    run = site.run(DAG)
    assert run.state == "failed" and run.states["primary.find_marker"] == "success"
    failures = run.xcom("primary.report", "report")["failures"]
    assert any("RPO missed: archive_timeout is 0" in one for one in failures)
    assert any("RTO missed" in one for one in failures)
    assert left_behind(source) == ([], 0)


def test_a_drill_says_so_when_wal_flows_but_there_is_no_base_backup(site, source):
    with no_base_backup(source):
        run = site.run(DAG)
    assert run.state == "failed" and run.states["primary.plan_drill"] == "failed"
    assert any("no base backup from which it can be restored" in shown(message) for message in site.messages())
    assert left_behind(source) == ([], 0)


def test_a_drill_says_so_when_wal_stopped_arriving(site, source):
    source.server.execute("alter system set archive_command = 'false'")
    source.server.execute("select pg_reload_conf()")
    site.monkeypatch.setattr("pgops.physical.drill.FORCED_SECONDS", 1.0)
    run = site.run(DAG)
    assert run.state == "failed" and run.states["primary.wait_until_archived"] == "failed"
    error = run.xcom("primary.wait_until_archived", "problem")["error"]
    assert "WAL stopped arriving" in error and "archive_command failed on" in error
    assert left_behind(source) == ([], 0)


# --- every hour ---


def test_the_watch_keeps_what_is_restorable_and_removes_copies_whose_time_is_over(site, source):
    target = source.now().isoformat()
    source.commit_later()
    assert site.run("point_in_time_recovery", database="app", target_time=target, keep_hours=0.1).state == "success"
    assert len(left_folders(source)) == 1
    later = datetime.now(UTC) + timedelta(hours=1)

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return later

    site.monkeypatch.setattr(recovery_drill, "datetime", Later)
    run = site.run("backup_watch")
    assert run.states["recoverability[0]"] == "success", run.states
    assert run.states["expired_recoveries[0]"] == "success" and left_folders(source) == []
    [(intervals,)] = site.ledger("select intervals from pgops.restorable where server = 'primary'")
    assert intervals[0]["timeline"] == 1


def left_folders(source: Source) -> list[str]:
    return [file.name for file in source.folder.joinpath("recoveries").glob("[!.]*")]


def test_the_watch_fails_when_there_is_no_base_backup_and_when_wal_stopped_arriving(site, source):
    with no_base_backup(source):
        run = site.run("backup_watch")
    assert run.states["recoverability[0]"] == "failed"
    assert "there is no usable base backup" in run.xcom("recoverability", "problem", 0)["error"]
    source.commit_later()
    source.archived()
    source.server.execute("alter system set archive_command = 'false'")
    source.server.execute("select pg_reload_conf()")
    site.fleet(lambda fleet: fleet["servers"][0]["physical"]["recovery"].update(rpo_minutes=0.01))
    source.sql("insert into items select n, repeat('x', 100) from generate_series(80001, 84000) n")
    import time

    time.sleep(1)
    run = site.run("backup_watch")
    assert run.states["recoverability[0]"] == "failed"
    assert "WAL stopped arriving" in run.xcom("recoverability", "problem", 0)["error"]
