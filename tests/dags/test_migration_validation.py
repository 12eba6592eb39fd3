"""migration_validation from the static gate to its verdicts, in process, on real servers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.postgres import PostgresServer
from sandbox.servers import ROLES
from tests import servers
from tests.dags.conftest import Site, Stand, fresh_site
from tests.inbox import shown

pytestmark = pytest.mark.airflow
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def copies(stand: Stand) -> Iterator[PostgresServer]:
    """A server for copies: never the source's own."""
    with servers.running_postgres(servers.MAJORS[0]) as server:
        server.execute((ROLES / "drill.sql").read_text(), "template1")
        server.execute(f"alter role pgops_drill password '{stand.connections['pg_drill'].password}'")
        yield server


@pytest.fixture(scope="module")
def ready(stand: Stand, airflow_db: None, copies, tmp_path_factory) -> Iterator[Site]:
    """A site with a proven backup of app, and its own folder of migrations."""
    folder = tmp_path_factory.mktemp("validation")
    with fresh_site(stand, folder) as site:
        site.connect("pg_drill", port=copies.port, host="127.0.0.1")
        shutil.copytree(ROOT / "include", folder / "include")
        site.monkeypatch.setenv("PGOPS_INCLUDE", str(folder / "include"))
        site.back_up("app")
        yield site


def databases(server: PostgresServer) -> set[str]:
    return {str(name) for (name,) in server.execute("select datname from pg_database where datname like 'pgops%'")}


def put(site: Site, name: str, up: str, down: str) -> Path:
    folder = site.fleet_file.parent / "include" / "migrations" / "app"
    (folder / f"{name}.sql").write_text(up)
    (folder / f"{name}.rollback.sql").write_text(down)
    return folder


def reports(site: Site) -> dict[str, Any]:
    found = site.objects()
    return {key: data for key, data in found.items() if "/validations/" in key}


def test_the_samples_migrations_pass_and_their_reports_are_kept(ready, copies):
    run = ready.run("migration_validation", database="app")
    assert run.state == "success", run.states
    assert set(run.states.values()) == {"success"}
    assert run.xcom("report")["passed"] == ["001", "002"]
    kept = reports(ready)
    names = {key.rsplit("/", 1)[1] for key in kept}
    assert names == {"before.json", "after.json", "report.html", "report.json"} and len(kept) == 8
    page = next(data.decode() for key, data in kept.items() if key.endswith("report.html"))
    assert "PASSED" in page and "ShareRowExclusive public.users" in page
    assert ready.ledger("select version, passed from pgops.validations order by version") == [
        ("001", True),
        ("002", True),
    ]
    [message] = ready.messages()
    assert "2 migrations PASSED" in shown(message) and "about" in shown(message)
    assert databases(copies) == {"pgops_golden_app"}


def test_a_bad_migration_is_refused_with_its_reason_and_the_copy_is_gone(ready, copies):
    folder = put(
        ready,
        "V900__leaves_a_default",
        "ALTER TABLE orders ALTER COLUMN status SET DEFAULT 'pending'",
        "SELECT 1",
    )
    try:
        run = ready.run("migration_validation", database="app", version="900")
    finally:
        for file in folder.glob("V900*"):
            file.unlink()
    assert run.state == "failed"
    assert run.states["rehearse"] == "success" and run.states["report"] == "failed"
    assert run.states["drop_clone"] == "success"
    [reason] = run.xcom("report", "report")["refused"]["900"]
    assert "after the rollback it is not as before" in reason and "'pending'" in reason
    [message] = ready.messages()
    assert "REFUSED" in shown(message) and "is not as before" in shown(message)
    assert databases(copies) == {"pgops_golden_app"}


def test_a_syntax_error_refuses_the_migration_before_any_copy_is_touched(ready):
    folder = put(ready, "V901__typo", "CREATE TABEL x ()", "SELECT 1")
    try:
        run = ready.run("migration_validation", database="app", version="901")
    finally:
        for file in folder.glob("V901*"):
            file.unlink()
    assert run.state == "failed"
    [reason] = run.xcom("report", "report")["refused"]["901"]
    assert "V901__typo.sql:1" in reason and "TABEL" in reason
    ready.messages()


def test_an_unknown_version_is_refused_with_those_that_exist(ready):
    run = ready.run("migration_validation", database="app", version="777")
    assert run.state == "failed" and run.states["static_gate"] == "failed"
    assert "001" in run.xcom("static_gate", "problem")["error"]
    assert run.states["drop_clone"] in ("success", "skipped", "upstream_failed")
    ready.messages()


def test_a_template_that_is_young_is_used_again_and_refresh_makes_it_anew(ready, copies):
    note = "select shobj_description(oid, 'pg_database') from pg_database where datname = 'pgops_golden_app'"
    ready.run("migration_validation", database="app", version="001")
    [(first,)] = copies.execute(note)
    ready.run("migration_validation", database="app", version="001")
    assert copies.execute(note) == [(first,)]
    ready.run("migration_validation", database="app", version="001", refresh=True)
    [(anew,)] = copies.execute(note)
    assert json.loads(str(anew))["made_at"] > json.loads(str(first))["made_at"]
    ready.messages()


def test_without_a_backup_the_template_cannot_be_made_and_that_is_said(stand, airflow_db, copies, tmp_path):
    copies.execute("alter database pgops_golden_app with is_template false") if databases(copies) else None
    copies.execute("drop database if exists pgops_golden_app")
    with fresh_site(stand, tmp_path) as site:
        site.connect("pg_drill", port=copies.port, host="127.0.0.1")
        run = site.run("migration_validation", database="app")
        assert run.state == "failed" and run.states["golden_copy"] == "failed"
        assert "app has no backup" in run.xcom("golden_copy", "problem")["error"]
        assert any("not validated" in shown(message) for message in site.messages())
