"""point_in_time_recovery, in process, on real servers: beside, in place, planned, refused."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime

import pytest

from pgops.physical.state import Place
from sandbox.postgres import stop_servers_in
from tests import servers
from tests.dags.conftest import Site, Stand
from tests.dags.recoveries import (
    admit,
    answer_approvals,
    asked,
    connect,
    destroyed,
    lead_to,
    recoverable_source,
    recovered_at,
)
from tests.inbox import shown
from tests.physical.archived import archived_server, walg
from tests.physical.recovery.sources import CONTENT, following, run_as, some_ports

pytestmark = pytest.mark.airflow
DAG = "point_in_time_recovery"
STEPS = ("plan_recovery", "restore_copy", "recover", "check_copy", "hand_over", "report")


@pytest.fixture(scope="module")
def shared_source():
    with recoverable_source() as source:
        yield source


@pytest.fixture
def source(site: Site, shared_source):
    """The module's server; a test's copies go with it."""
    lead_to(site, shared_source)
    yield shared_source
    shared_source.clean()


@pytest.fixture
def own_source(site: Site):
    """A server that is killed or recovered over."""
    with recoverable_source() as source:
        lead_to(site, source)
        yield source


def test_the_rows_of_an_instant_come_back_beside_the_server_and_can_be_looked_at(site, source):
    """Nothing was archived since the destruction: the plan has the live server archive it."""
    at, content = destroyed(source.server)
    run = site.run(DAG, database="app", target_time=at)
    assert run.state == "success", run.states
    assert run.states["approve_recovery"] == "skipped"
    report = run.xcom("report")
    assert (report["state"], report["error"]) == ("recovered", "")
    assert "recovery stopping before commit" in report["stopped"]
    assert asked(report["address"]) == (content,)
    assert source.content() != content, "the live server is as it was"
    [message] = site.messages()
    assert (
        report["address"] in shown(message) and "pg_dump" in shown(message) and "items are there" not in shown(message)
    )
    assert site.ledger("select server, kind, passed, target from pgops.recoveries") == [
        ("primary", "side_by_side", True, report["target"])
    ]
    assert site.ledger("select count(*) from pgops.leases where expires_at > now()") == [(0,)]


def test_the_same_with_wal_g(site: Site, stand: Stand):
    """The engine's own program, an S3 server, and an archive of its own."""
    with archived_server(walg, servers.MAJORS[0], stand.s3, site.bucket) as archived:
        server = archived.server
        archived.engine.push(print)
        admit(server)
        bindir = server.identity.reachable(server.binaries.bindir)
        base = server.identity.folder(archived.folder / "recoveries")
        recovered_at(site, Place(archived.host, base, bindir, some_ports()), server, "walg")
        connect(site, server)
        at, content = destroyed(server)
        run = site.run(DAG, database="app", target_time=at)
        try:
            assert run.state == "success", run.states
            report = run.xcom("report")
            assert "recovery stopping before commit" in report["stopped"]
            assert asked(report["address"]) == (content,)
            [(now,)] = server.execute(CONTENT)
            assert now != content and {name[:8] for name in archived.engine.archive().segments} == {"00000001"}
        finally:
            stop_servers_in(base)


def test_a_server_that_is_dead_is_recovered_from_what_it_had_archived(site, own_source):
    source = own_source
    at, content = destroyed(source.server)
    source.archived()
    source.server.kill()
    run = site.run(DAG, database="app", target_time=at)
    assert run.state == "success", run.states
    assert asked(run.xcom("report")["address"]) == (content,)
    # In place somebody must say where its data lies, since it cannot.
    answer_approvals(site)
    run = site.run(DAG, database="app", target_time=at, mode="in_place")
    assert "Set physical.data_directory" in run.xcom("plan_recovery", "problem")["error"]
    directory = str(source.server.data)
    site.fleet(lambda fleet: fleet["servers"][0]["physical"].update(data_directory=directory))
    run = site.run(DAG, database="app", target_time=at, mode="in_place")
    assert run.state == "success", run.states
    assert source.content() == content
    assert any("slots and standbys it had is not known" in line for line in run.xcom("report")["commands"])


def test_who_was_erased_since_is_erased_again_before_anybody_is_let_in(site, source):
    def persons(fleet):
        fleet["databases"][0]["privacy"] |= {"subject": "public.items", "tables": []}

    site.fleet(persons)
    at, content = destroyed(source.server)
    bury(site, "1500")
    run = site.run(DAG, database="app", target_time=at)
    assert run.state == "success", run.states
    question = "select count(*), count(*) filter (where id = 1500) from items"
    assert asked(run.xcom("report")["address"], question) == (int(content.split()[0]) - 1, 0)
    # A tombstone that cannot be replayed lets nobody in.
    site.connect("pgops_privacy", password="another-secret-than-that-of-the-tombstone")
    run = site.run(DAG, database="app", target_time=at)
    assert run.states["check_copy"] == "failed" and run.states["hand_over"] == "upstream_failed"
    assert "keyed with another secret" in run.xcom("check_copy", "problem")["error"]


def bury(site: Site, key: str) -> None:
    """Leave the tombstone of an erasure."""
    from pgops import privacy
    from pgops.fleet import load_fleet
    from pgops.operators import resources

    policy = load_fleet().database("app").privacy
    assert policy is not None
    secret, dsn = resources.privacy_secrets(policy)[0], resources.dsn(policy.connection)
    subject = privacy.identify(dsn, privacy.read_map(dsn, "app", policy), key)
    privacy.write_tombstone(
        site.bucket,
        privacy.Tombstone(
            id="20261123T000000Z-abcdef",
            database="app",
            table=policy.subject,
            column=policy.key,
            key_id=secret.id,
            hashes=privacy.hashes(secret, "app", policy, subject),
            requested_by="op",
            approved_by="oncall",
            at=datetime.now(UTC),
        ),
    )


@pytest.mark.parametrize(
    ("conf", "says"),
    [
        ({"target": "2026-11-23T10:00:00"}, "a time without its zone"),
        ({"target_time": "2020-01-01T00:00:00Z"}, "no base backup ended before it"),
        ({"target_time": "2100-01-01T00:00:00Z"}, "lies in the future"),
        ({"target": "2026-10-25 02:30:00 Europe/Berlin"}, "a zone's name can mean two instants"),
        ({"target": "FF/0"}, "the archived WAL ends at"),
        ({}, "No target is given"),
        ({"target": "latest", "timeline": 7}, "no timeline 7"),
    ],
    ids=[
        "no zone",
        "before the first backup",
        "the future",
        "a zone's name",
        "beyond the WAL",
        "none",
        "no such timeline",
    ],
)
def test_what_cannot_be_reached_is_refused_before_anything_is_touched(site, source, conf, says):
    destroyed(source.server)
    run = site.run(DAG, database="app", **conf)
    assert run.state == "failed"
    assert set(run.states.values()) <= {"failed", "upstream_failed", "skipped"}
    problem = run.xcom("plan_recovery", "problem")
    assert says in problem["error"]
    assert run.xcom("report", "report")["state"] == "refused"
    assert list((source.folder / "recoveries").glob("[!.]*")) == []
    assert source.server.ready()


def test_a_dry_run_ends_with_the_plan(site, source):
    at, _ = destroyed(source.server)
    run = site.run(DAG, database="app", target_time=at, dry_run=True)
    assert run.state == "success", run.states
    assert run.xcom("report")["state"] == "planned"
    assert {run.states[step] for step in ("restore_copy", "recover", "check_copy", "hand_over")} == {"skipped"}
    [message] = site.messages()
    assert "every segment is there" in shown(message)


def test_in_place_the_approver_sees_the_way_back_and_the_server_serves_the_state(site, own_source):
    source, questions = own_source, answer_approvals(site)
    at, content = destroyed(source.server)
    run = site.run(DAG, database="app", target_time=at, mode="in_place")
    assert run.state == "success", run.states
    assert source.content() == content
    assert source.engine.backups()[-1].timeline == 2
    [question] = questions
    assert "before-recovery-" in question and "every segment is there" in question
    report = run.xcom("report")
    assert report["approved_by"] == "op" and any(".given-up" in line for line in report["commands"])
    assert site.ledger("select kind, passed from pgops.recoveries") == [("in_place", True)]
    # Cleared from its beginning it throws away nothing that was written since.
    source.sql("insert into items values (80000, 'written since')")
    run = site.clear(run, *STEPS)
    assert run.state == "success" and run.xcom("report")["state"] == "recovered"
    assert source.sql("select count(*) from items where id = 80000") == [(1,)]


def test_a_standby_that_the_fleet_file_names_streams_again_and_can_be_cleared_by_itself(site, own_source):
    source, questions = own_source, answer_approvals(site)
    with following(source) as standby:
        named = {"name": "standby", "data_directory": str(standby.data), "slot": standby.slot}
        named["run_as"] = list(run_as(source.server.identity))
        broken = named | {"stop": ["true"], "start": ["false"]}
        lead_to(site, source, in_place={"approvers": ["op"], "standbys": [broken]})
        at, content = destroyed(source.server)
        run = site.run(DAG, database="app", target_time=at, mode="in_place")
        assert run.states["hand_over"] == "success" and run.states["seed_standbys"] == "failed"
        report = run.xcom("report", "report")
        assert report["state"] == "degraded" and report["standbys"] == ["standby was NOT seeded anew"]
        assert "standby: false ended with exit code 1" in report["error"] and source.content() == content
        assert any("standby was NOT seeded anew" in shown(message) for message in site.messages())
        [question] = questions
        assert "standby standby: afterwards it is stopped" in question and f"{standby.data}.given-up-" in question
        lead_to(site, source, in_place={"approvers": ["op"], "standbys": [named]})
        run = site.clear(run, "seed_standbys", "report")
        assert run.state == "success" and run.xcom("report")["state"] == "recovered"
        assert servers.eventually(lambda: standby.ready() and standby.execute(CONTENT) == [(content,)], 30)
        source.sql("insert into items values (80000, 'written since')")
        since = source.content()
        assert servers.eventually(lambda: standby.execute(CONTENT) == [(since,)], 30)
        [told] = run.xcom("report")["standbys"]
        assert told.startswith(f"standby streams; its old data directory is {standby.data}.before-recovery-")
        assert any(told in shown(message) for message in site.messages())
        assert not any("pg_basebackup" in line for line in run.xcom("report")["commands"])


def test_tasks_that_are_cleared_go_on_with_what_was_begun(site, source):
    """Its plan too: `latest` is another position by now."""
    destroyed(source.server)
    content = source.content()
    run = site.run(DAG, database="app", target="latest")
    report = run.xcom("report")
    source.sql("delete from items")
    again = site.clear(run, *STEPS)
    assert again.state == "success", again.states
    told = again.xcom("report")
    assert {name: told[name] for name in ("address", "stopped", "plan")} == {
        name: report[name] for name in ("address", "stopped", "plan")
    }
    assert asked(told["address"]) == (content,)


def test_a_recovery_that_failed_when_it_was_cleared_is_no_success_for_what_it_once_was(site, source):
    """hand_over does not run again then, and what it left stays in Airflow."""
    at, _ = destroyed(source.server)
    run = site.run(DAG, database="app", target_time=at)
    assert run.xcom("report")["state"] == "recovered"
    source.clean()
    away = source.engine.folder / "base-away"
    shutil.move(source.engine.folder / "base", away)
    try:
        run = site.clear(run, *STEPS[1:])
    finally:
        shutil.move(away, source.engine.folder / "base")
    assert (run.state, run.states["hand_over"]) == ("failed", "upstream_failed")
    assert run.xcom("report", "report")["state"] == "failed"
    assert site.ledger("select passed from pgops.recoveries") == [(False,)]


def test_without_an_approval_nothing_is_touched(site, source):
    from airflow.sdk.exceptions import AirflowSkipException

    from pgops.operators.recovery import ApproveRecoveryOperator

    def marked(task, context):
        raise AirflowSkipException("somebody marked it")

    site.monkeypatch.setattr(ApproveRecoveryOperator, "execute", marked)
    at, _ = destroyed(source.server)
    run = site.run(DAG, database="app", target_time=at, mode="in_place")
    assert run.states["restore_copy"] == "failed" and source.server.ready()
    assert "Nobody has approved" in run.xcom("restore_copy", "problem")["error"]
