"""The metrics are what Prometheus reads, and it can log in."""

from __future__ import annotations

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain

from pgops.ledger import Ledger
from pgops.physical.intervals import restorable as possible
from pgops.physical.recoverability import Surveyed, record
from tests.dashboard.facts import BACKUP, EVIL, HEALTH
from tests.dashboard.test_configuration import REVIEW
from tests.dashboard.test_pages import text
from tests.physical.recovery.test_plan import BACKUPS, NOON, archive, at

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


def samples(families) -> dict[tuple, float]:
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.mark.parametrize(("accept", "parse"), [("", plain), (OPEN_METRICS, open_metrics)], ids=["text", "OpenMetrics"])
def test_they_are_the_figures_of_the_pages(stand, accept, parse):
    stand.fleet("app", "crm", EVIL)
    stand.record(
        "DROP TABLE pgops.drills",
        HEALTH,
        BACKUP.format(hours=1),
        "INSERT INTO pgops.health_figures (database, name, at, value) VALUES ('app', 'database_size', now(), 123),"
        " ('app', 'connections_used', now(), 45)",
        REVIEW,
        "INSERT INTO pgops.deployments (run_id, database, version, checksum, requested_by, state)"
        " VALUES ('d1', 'app', '001', '', 'op', 'failed')",
    )
    answer = stand.visitor().get("/fleet/metrics", headers={"Accept": accept})
    assert answer.headers["content-type"].startswith(accept.partition(";")[0] or "text/plain")
    found = samples(parse(answer.text))
    assert found["pgops_ledger_up",] == 1
    assert found["pgops_backup_size_bytes", "app"] == 5242880
    assert found["pgops_backup_rpo_seconds", "crm"] == 26 * 3600
    assert found["pgops_health_findings", "app", "crit"] == 1
    assert found["pgops_health_grade", "app", "crit"] == 1 and found["pgops_health_grade", "app", "ok"] == 0
    assert found["pgops_database_size_bytes", "app"] == 123
    assert found["pgops_connections_used_ratio", "app"] == pytest.approx(0.45)
    assert found["pgops_settings_dangerous", "crm"] == 1 and found["pgops_migration_failed", "app"] == 1
    assert ("pgops_backup_size_bytes", "crm") not in found  # nothing is known: no figure, not zero
    assert found["pgops_ledger_area_missing", "drills"] == 1


def test_what_is_restorable_is_there_by_server(stand):
    wal = archive(*range(1, 12), *range(13, 18), 19)
    stand.fleet("app", "crm", servers=[{"name": "primary"}, {"name": "bare"}])
    for server, backups in (("primary", BACKUPS), ("bare", [])):
        found = Surveyed(tuple(backups), wal, possible(backups, wal), NOON)
        record(Ledger(stand.dsn), server, found)
    parsed = samples(plain(stand.visitor().get("/fleet/metrics").text))
    assert parsed["pgops_restorable_begin_timestamp_seconds", "primary"] == BACKUPS[2].ended_at.timestamp()
    assert parsed["pgops_restorable_end_timestamp_seconds", "primary"] == at(17).timestamp()
    assert parsed["pgops_restorable_gaps", "primary"] == 2  # one between two base backups, one after the last
    assert not [key for key in parsed if key[1:] == ("bare",)], "no database of the fleet is on it"
    page = text(stand.page("database/app"))
    assert page.index("any instant from 2026-11-23 12:15") < page.index("any instant from 2026-11-23 12:02")


def test_a_server_of_which_nothing_is_restorable_has_no_interval(stand):
    record(Ledger(stand.dsn), "primary", Surveyed((), archive(1), possible([], archive(1)), NOON))
    parsed = samples(plain(stand.visitor().get("/fleet/metrics").text))
    assert {key[0] for key in parsed if key[1:] == ("primary",)} == {"pgops_restorable_gaps"}


def test_prometheus_logs_in_with_the_token_of_a_variable(stand, monkeypatch):
    stand.record("SELECT 1")
    visitor = stand.visitor(None)
    bearer = {"Authorization": "Bearer a-long-secret"}
    assert visitor.get("/fleet/metrics", headers=bearer).status_code in (401, 403)
    monkeypatch.setenv("AIRFLOW_VAR_PGOPS_METRICS_TOKEN", "a-long-secret")
    assert visitor.get("/fleet/metrics", headers=bearer).status_code == 200
    assert visitor.get("/fleet/metrics", headers={"Authorization": "Bearer another"}).status_code in (401, 403)
    assert visitor.get("/fleet/metrics").status_code == 401
    assert visitor.get("/fleet/", headers=bearer).status_code in (401, 403)  # it opens nothing else
    monkeypatch.setenv("AIRFLOW_VAR_PGOPS_METRICS_TOKEN", "")
    assert visitor.get("/fleet/metrics", headers={"Authorization": "Bearer "}).status_code in (401, 403)
