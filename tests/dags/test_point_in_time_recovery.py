"""point_in_time_recovery, in process, on real servers: beside, in place, planned, refused."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg2
import pytest

from tests.dags.conftest import Site
from tests.dags.recoveries import answer_approvals, recoverable_site
from tests.inbox import shown
from tests.physical.recovery.sources import CONTENT, Source, backed_up

pytestmark = pytest.mark.airflow
DAG = "point_in_time_recovery"


@pytest.fixture
def source(site: Site):
    with recoverable_site(site) as source:
        backed_up(source)
        yield source


def destroyed(source: Source) -> tuple[str, str]:
    source.sql("insert into items select n, 'kept' from generate_series(10001, 10100) n")
    at, content = source.now(), source.content()
    source.sql("delete from items where id < 1000; insert into items values (70000, 'too late')")
    return at.isoformat(), content


def test_the_rows_of_an_instant_come_back_beside_the_server_and_can_be_looked_at(site, source):
    """Nothing was archived since the destruction: the plan has the live server archive it."""
    at, content = destroyed(source)
    run = site.run(DAG, database="app", target_time=at)
    assert run.state == "success", run.states
    assert run.states["approve_recovery"] == "skipped"
    report = run.xcom("report")
    assert (report["state"], report["error"]) == ("recovered", "")
    assert "recovery stopping before commit" in report["stopped"]
    _, _, port = report["address"].rpartition(":")
    reach = {"host": "127.0.0.1", "port": int(port), "dbname": "postgres", "user": "pgops_backup"}
    with psycopg2.connect(password="of-the-tests-reader", **reach) as copy, copy.cursor() as cursor:
        cursor.execute(CONTENT)
        assert cursor.fetchone() == (content,)
    assert source.content() != content, "the live server is as it was"
    [message] = site.messages()
    assert (
        report["address"] in shown(message) and "pg_dump" in shown(message) and "items are there" not in shown(message)
    )
    assert site.ledger("select server, kind, passed, target from pgops.recoveries") == [
        ("primary", "side_by_side", True, report["target"])
    ]
    assert site.ledger("select count(*) from pgops.leases where expires_at > now()") == [(0,)]


def test_a_server_that_is_dead_is_recovered_from_what_it_had_archived(site, source):
    at, content = destroyed(source)
    source.archived()
    source.server.kill()
    run = site.run(DAG, database="app", target_time=at)
    assert run.state == "success", run.states
    port = int(run.xcom("report")["address"].rpartition(":")[2])
    with (
        psycopg2.connect(
            host="127.0.0.1", port=port, dbname="postgres", user="pgops_backup", password="of-the-tests-reader"
        ) as copy,
        copy.cursor() as cursor,
    ):
        cursor.execute(CONTENT)
        assert cursor.fetchone() == (content,)
    # In place somebody must say where its data lies, since it cannot.
    answer_approvals(site)
    run = site.run(DAG, database="app", target_time=at, mode="in_place")
    assert "Set physical.data_directory" in run.xcom("plan_recovery", "problem")["error"]
    directory = str(source.server.data)
    site.fleet(lambda fleet: fleet["servers"][0]["physical"].update(data_directory=directory))
    run = site.run(DAG, database="app", target_time=at, mode="in_place")
    assert run.state == "success", run.states
    assert source.content() == content


def test_who_was_erased_since_is_erased_again_before_anybody_is_let_in(site, source):
    def persons(fleet):
        fleet["databases"][0]["privacy"] |= {"subject": "public.items", "tables": []}

    site.fleet(persons)
    at, content = destroyed(source)
    bury(site, "1500")
    run = site.run(DAG, database="app", target_time=at)
    assert run.state == "success", run.states
    port = int(run.xcom("report")["address"].rpartition(":")[2])
    reach = {"host": "127.0.0.1", "port": port, "dbname": "postgres", "user": "pgops_backup"}
    with psycopg2.connect(password="of-the-tests-reader", **reach) as copy, copy.cursor() as cursor:
        cursor.execute("select count(*), count(*) filter (where id = 1500) from items")
        assert cursor.fetchone() == (int(content.split()[0]) - 1, 0)
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
        ({"target": "FF/0"}, "the archived WAL ends at"),
        ({}, "No target is given"),
        ({"target": "latest", "timeline": 7}, "no timeline 7"),
    ],
    ids=["no zone", "before the first backup", "the future", "beyond the WAL", "none", "no such timeline"],
)
def test_what_cannot_be_reached_is_refused_before_anything_is_touched(site, source, conf, says):
    destroyed(source)
    run = site.run(DAG, database="app", **conf)
    assert run.state == "failed"
    assert set(run.states.values()) <= {"failed", "upstream_failed", "skipped"}
    problem = run.xcom("plan_recovery", "problem")
    assert says in problem["error"]
    assert run.xcom("report", "report")["state"] == "refused"
    assert list((source.folder / "recoveries").glob("[!.]*")) == []
    assert source.server.ready()


def test_a_dry_run_ends_with_the_plan(site, source):
    at, _ = destroyed(source)
    run = site.run(DAG, database="app", target_time=at, dry_run=True)
    assert run.state == "success", run.states
    assert run.xcom("report")["state"] == "planned"
    assert {run.states[step] for step in ("restore_copy", "recover", "check_copy", "hand_over")} == {"skipped"}
    [message] = site.messages()
    assert "every segment is there" in shown(message)


def test_in_place_the_approver_sees_the_way_back_and_the_server_serves_the_state(site, source):
    asked = answer_approvals(site)
    at, content = destroyed(source)
    run = site.run(DAG, database="app", target_time=at, mode="in_place")
    assert run.state == "success", run.states
    assert source.content() == content
    assert source.engine.backups()[-1].timeline == 2
    [question] = asked
    assert "before-recovery-" in question and "every segment is there" in question
    report = run.xcom("report")
    assert report["approved_by"] == "op" and any(".given-up" in line for line in report["commands"])
    assert site.ledger("select kind, passed from pgops.recoveries") == [("in_place", True)]


def test_without_an_approval_nothing_is_touched(site, source):
    from airflow.sdk.exceptions import AirflowSkipException

    from pgops.operators.recovery import ApproveRecoveryOperator

    def marked(task, context):
        raise AirflowSkipException("somebody marked it")

    site.monkeypatch.setattr(ApproveRecoveryOperator, "execute", marked)
    at, _ = destroyed(source)
    run = site.run(DAG, database="app", target_time=at, mode="in_place")
    assert run.states["restore_copy"] == "failed" and source.server.ready()
    assert "Nobody has approved" in run.xcom("restore_copy", "problem")["error"]
