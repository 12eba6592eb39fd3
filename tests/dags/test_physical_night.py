"""The physical steps of nightly_backup, in process, on a real server that archives its WAL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.servers import ROLES
from tests import servers
from tests.dags.conftest import Site, Stand
from tests.inbox import shown
from tests.physical.archived import Archived, archived_server, barman

pytestmark = pytest.mark.airflow
STEPS = ("base_backup", "verify_base_backup", "prune_base_backups")


@pytest.fixture
def archived(site: Site, stand: Stand) -> Iterator[Archived]:
    """A server of its own that archives into the site's bucket, and the fleet's server `primary` is that one."""
    with archived_server(barman, servers.MAJORS[0], stand.s3, site.bucket) as archived:
        archived.server.execute((ROLES / "physical.sql").read_text())
        login = stand.connections["pg_primary_physical"]
        archived.server.execute(f"ALTER ROLE {login.login} PASSWORD '{login.password}'")
        site.connect("pg_primary_physical", port=archived.server.port)
        policy = {"engine": "barman", "connection": "pg_primary_physical", "host": "local"}
        site.fleet(lambda fleet: fleet["servers"][0].update(physical=policy))
        yield archived


def test_a_server_gets_a_proven_base_backup_with_the_least_role_and_the_report_says_so(
    site: Site, archived: Archived
) -> None:
    run = site.run("nightly_backup", databases=["crm"], base_backup=True)
    assert run.state == "success"
    assert [run.states[f"primary_physical.{step}"] for step in STEPS] == ["success"] * 3
    [backup] = archived.engine.backups()
    outcome = run.xcom("report")["servers"]["primary"]
    assert outcome["ok"] and outcome["backup"]["backup_id"] == backup.backup_id
    assert archived.engine.shelf.proven() == {backup.backup_id}
    assert site.ledger("select server, backup_id, verified_at is not null from pgops.base_backups") == [
        ("primary", backup.backup_id, True)
    ]
    [report] = site.messages()
    assert "Base backups" in shown(report) and backup.backup_id in shown(report)

    some = site.run("nightly_backup", databases=["crm"])
    assert some.state == "success" and some.states["primary_physical.base_backup"] == "skipped"
    assert some.xcom("report")["servers"] == {}


def test_an_archiver_that_fails_fails_the_night_and_no_database(site: Site, archived: Archived) -> None:
    archived.archive_with("false")
    name = archived.switch()
    assert servers.eventually(
        lambda: archived.server.execute("SELECT last_failed_wal FROM pg_stat_archiver") == [(name,)], 30
    )
    run = site.run("nightly_backup", databases=["crm"], base_backup=True)
    assert run.state == "failed"
    result = run.xcom("report")
    assert (result["failed"], result["failed_servers"]) == ([], ["primary"])
    assert name in result["servers"]["primary"]["error"]
    assert result["databases"]["crm"]["ok"]
    *_, report = site.messages()
    assert "FAILED" in shown(report) and name in shown(report)
