"""recovery_drill and what backup_watch asks of the archives, in process, on real servers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pgops.operators import recovery_drill
from tests.dags.conftest import Site
from tests.dags.recoveries import recoverable_site
from tests.inbox import shown
from tests.physical.recovery.sources import Source, backed_up

pytestmark = pytest.mark.airflow
DAG = "recovery_drill"


@pytest.fixture
def source(site: Site):
    with recoverable_site(site, rpo_minutes=0.1) as source:
        source.server.execute("alter system set archive_timeout = '1s'")
        source.server.execute("select pg_reload_conf()")
        yield source


def left_behind(source: Source) -> tuple[list[str], int]:
    """Copies on the recovery host, and markers in the server."""
    folders = sorted(file.name for file in source.folder.joinpath("recoveries").glob("[!.]*"))
    [(rows,)] = source.sql("select count(*) from pgops.recovery_markers")
    return folders, int(rows)


def test_a_drill_finds_its_marker_and_nothing_later_and_measures_rpo_and_rto(site, source):
    backed_up(source)
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
    backed_up(source)
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
    backed_up(source)
    run = site.run(DAG)
    assert run.state == "failed" and run.states["primary.find_marker"] == "success"
    failures = run.xcom("primary.report", "report")["failures"]
    assert any("RPO missed: archive_timeout is 0" in one for one in failures)
    assert any("RTO missed" in one for one in failures)
    assert left_behind(source) == ([], 0)


def test_a_drill_says_so_when_wal_flows_but_there_is_no_base_backup(site, source):
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
    source.server.execute("alter system reset archive_command")
    source.server.execute("select pg_reload_conf()")


# --- every hour ---


def test_the_watch_keeps_what_is_restorable_and_removes_copies_whose_time_is_over(site, source):
    backed_up(source)
    source.commit_later()
    source.archived()
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
    run = site.run("backup_watch")
    assert run.states["recoverability[0]"] == "failed"
    assert "there is no usable base backup" in run.xcom("recoverability", "problem", 0)["error"]
    backed_up(source)
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
    source.server.execute("alter system reset archive_command")
    source.server.execute("select pg_reload_conf()")
