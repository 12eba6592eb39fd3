"""daily_health_check and health_mute, in process, on real servers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from sandbox.postgres import free_port
from tests.dags.conftest import DATABASES, Run, Site
from tests.inbox import shown

pytestmark = pytest.mark.airflow

# Three faults that are critical: the end of a sequence, no partition for now, a publication that breaks UPDATE.
FAULTS = {
    "next_partitions": "create table visits (at timestamptz not null) partition by range (at);"
    "create table visits_old partition of visits for values from ('2023-01-01') to ('2023-02-01')",
    "replica_identity_missing": "create table orphans (a int); create publication everything for table orphans",
    "sequences_used": "create sequence planted maxvalue 100; select setval('planted', 95)",
}
MENDS = (
    "drop table if exists visits; drop publication if exists everything; drop table if exists orphans;"
    " drop sequence if exists planted"
)


@pytest.fixture
def quiet(site: Site) -> Iterator[Site]:
    """A site whose usual findings were told yesterday."""
    execute(site, MENDS)
    assert site.run("daily_health_check").state == "success"
    site.messages()
    yield site
    execute(site, MENDS)


def execute(site: Site, statement: str) -> None:
    site.stand.postgres.execute(statement, "app")


def checks(lines: list[str]) -> list[str]:
    """Names of checks in a run's result, of the critical ones."""
    return sorted(line.split()[3] for line in lines if line.startswith("crit "))


def result(run: Run) -> dict[str, list[str]]:
    assert run.state == "success", run.states
    found: dict[str, list[str]] = run.xcom("report")
    return found


def test_three_faults_are_named_first_then_nothing_changes_then_they_are_resolved(quiet: Site) -> None:
    for fault in FAULTS.values():
        execute(quiet, fault)
    first = result(quiet.run("daily_health_check"))
    assert checks(first["changed"][:3]) == checks(first["changed"]) == sorted(FAULTS)
    alert, told = map(shown, quiet.messages())
    assert "CRITICAL" in alert and "health-finding-is-critical" in alert
    assert "Health of 3 databases: 3 critical" in told
    for mend in ("zero_downtime_column", "partition_maintenance", "REPLICA IDENTITY"):
        assert mend in told and mend in alert, mend

    second = result(quiet.run("daily_health_check"))
    assert (second["changed"], second["better"]) == ([], [])
    (told,) = map(shown, quiet.messages())
    assert "no change" in told

    execute(quiet, MENDS)
    third = result(quiet.run("daily_health_check"))
    assert third["changed"] == [] and checks(third["better"]) == sorted(FAULTS)
    (told,) = map(shown, quiet.messages())
    assert "resolved" in told and "CRITICAL" not in told


def test_what_the_dashboard_reads_is_there(quiet: Site) -> None:
    figures = quiet.ledger(
        "select distinct name, object, facts ->> 'unit' from pgops.health_figures"
        " where name in ('database_size', 'connections_used') and database = 'app' order by 1"
    )
    assert figures == [("connections_used", "", "percent"), ("database_size", "", "bytes")]
    runs = quiet.ledger("select database, run_id, report from pgops.health_runs order by 1")
    assert [name for name, _, _ in runs] == sorted(DATABASES)
    recorded = quiet.ledger("select database, run_id from pgops.runs where dag_id = 'daily_health_check' order by 1")
    assert recorded == [(name, run_id) for name, run_id, _ in runs]
    pages = quiet.objects()
    assert all(b"<h1>Health of " in pages[key] for _, _, key in runs)


def test_the_server_is_looked_at_once(quiet: Site) -> None:
    instance = quiet.ledger("select distinct database from pgops.health_figures where name = 'connections_used'")
    assert instance == [("app",)]


def test_a_database_that_is_down_is_a_finding_and_the_others_are_looked_at(quiet: Site) -> None:
    quiet.connect("pg_crm_monitor", port=free_port())
    found = result(quiet.run("daily_health_check"))
    assert found["changed"][0] == "crit new crm unreachable" and found["grades"]["crm"] == "crit"
    alert, told = map(shown, quiet.messages())
    assert "cannot be reached" in alert and "cannot be reached" in told
    quiet.connect("pg_crm_monitor")
    assert result(quiet.run("daily_health_check"))["better"] == ["crit resolved crm unreachable"]


def test_one_that_cannot_be_looked_at_fails_the_run_and_no_other(quiet: Site) -> None:
    quiet.fleet(lambda fleet: fleet["databases"][1]["health"].update(connection="no_such_connection"))
    run = quiet.run("daily_health_check")
    assert run.state == "failed" and run.states["report"] == "failed"
    assert [run.states[f"check_health[{index}]"] for index in range(3)] == ["success", "failed", "success"]
    *_, told = map(shown, quiet.messages())
    assert "1 NOT CHECKED" in told and "no_such_connection" in told
    assert quiet.ledger("select count(*) from pgops.health_runs where database <> 'billing'") == [(4,)]


def test_the_fleet_files_thresholds_count_and_a_wrong_one_is_refused_before_anything_is_asked(quiet: Site) -> None:
    quiet.fleet(lambda fleet: fleet["databases"][0]["health"].update(thresholds={"database_size": {"crit": "> 1 B"}}))
    assert result(quiet.run("daily_health_check"))["changed"] == ["crit new app database_size"]
    for wrong in ({"database_sise": {"crit": "> 1 B"}}, {"database_size": {"crit": "> 1 h"}}):
        quiet.fleet(lambda fleet, wrong=wrong: fleet["databases"][0]["health"].update(thresholds=wrong))
        run = quiet.run("daily_health_check")
        assert run.state == "failed"
        assert "health.thresholds, database_si" in run.xcom("check_health", "problem", map_index=0)["error"]


def test_a_ledger_that_is_down_is_said_and_the_findings_come(quiet: Site) -> None:
    execute(quiet, FAULTS["sequences_used"])
    quiet.connect("pgops_ledger", port=free_port())
    found = result(quiet.run("daily_health_check"))
    assert "sequences_used" in checks(found["changed"])
    assert any("the ledger does not say" in note for note in found["notes"])
    *_, told = map(shown, quiet.messages())
    assert "not compared" in told and "Not whole" in told


def test_the_message_is_out_before_a_ledger_can_keep_the_report_waiting(
    quiet: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise RuntimeError("its time was over")

    monkeypatch.setattr("pgops.operators.health.record_run", killed)
    assert quiet.run("daily_health_check").states["report"] == "failed"
    *_, told = map(shown, quiet.messages())
    assert "Health of 3 databases" in told


def test_what_is_muted_is_told_again_when_it_is_unmuted(quiet: Site) -> None:
    execute(quiet, FAULTS["sequences_used"])
    result(quiet.run("daily_health_check"))
    ((fingerprint,),) = quiet.ledger(
        "select fingerprint from pgops.health_findings where check_name = 'sequences_used' and resolved_at is null"
    )
    until = f"{datetime.now(UTC) + timedelta(days=7):%Y-%m-%d}"
    about = {"database": "app", "fingerprint": fingerprint}
    assert quiet.run("health_mute", **about, until=until, reason="ends next week").state == "success"
    execute(quiet, MENDS)
    execute(quiet, FAULTS["sequences_used"])
    assert result(quiet.run("daily_health_check"))["changed"] == []
    assert quiet.run("health_mute", **about, action="unmute").state == "success"
    assert checks(result(quiet.run("daily_health_check"))["changed"]) == ["sequences_used"]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"fingerprint": "0123456789abcdef", "until": "2099-01-01", "reason": "x"}, "is open"),
        ({"until": "2020-01-01", "reason": "x"}, "no day to come"),
        ({"until": "2099-01-01"}, "no reason"),
        ({"action": "unmute"}, "is not muted"),
    ],
    ids=["no such finding", "a day that is over", "no reason", "not muted"],
)
def test_a_mute_that_makes_no_sense_is_refused(site: Site, params: dict[str, str], said: str) -> None:
    run = site.run("health_mute", database="app", **params)
    assert run.state == "failed"
    assert said in run.xcom("mute", "problem")["error"]


def test_partition_maintenance_tells_how_far_ahead_partitions_are(site: Site) -> None:
    execute(site, "set role pgops_migrate; create table visits (at timestamptz not null) partition by range (at)")
    try:
        site.document["databases"][0]["partitions"]["tables"] = [{"parent": "public.visits", "interval": "month"}]
        site.fleet()
        assert site.run("partition_maintenance").state == "success"
    finally:
        execute(site, "drop table visits")
    horizon = "select object, value / 86400, facts from pgops.health_figures where name = 'partition_horizon'"
    ((table, days, facts),) = site.ledger(horizon)
    assert table == "public.visits" and 88 < days < 125 and facts == {"unit": "seconds"}


def test_a_drill_leaves_its_run_for_the_dashboard(site: Site) -> None:
    site.back_up("crm")
    run = site.run("restore_drill", database="crm")
    assert site.ledger("select run_id, state from pgops.runs where dag_id = 'restore_drill'") == [
        (run.run_id, "success")
    ]
