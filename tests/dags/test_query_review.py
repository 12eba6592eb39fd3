"""query_snapshot and query_review, in process, on real servers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import psycopg2
import pytest

from sandbox.servers import ROLES
from tests import servers
from tests.dags.conftest import DATABASES, ROOT, Site
from tests.inbox import shown
from tests.queries.test_regressions import BACKDATE

pytestmark = pytest.mark.airflow

TABLE = (
    "create table parcels (id int primary key, owner int not null, note text);"
    "insert into parcels select i, i % 3000, repeat('n', 40) from generate_series(1, 40000) i;"
    "create index parcels_owner on parcels (owner); analyze parcels"
)
QUERY = "select count(*) from parcels where owner = 7"


def ask(site: Site, statement: str, times: int = 1) -> None:
    connection = psycopg2.connect(site.stand.postgres.dsn("app"))
    connection.autocommit = True
    with connection.cursor() as cursor:
        for _ in range(times):
            cursor.execute(statement)
    connection.close()


@pytest.fixture
def parcels(site: Site) -> Iterator[Site]:
    limits = {"regression_seconds": 0.02, "regression_calls": 10, "new_seconds": 0}
    site.fleet(lambda fleet: fleet["databases"][0]["queries"].update(limits))
    ask(site, TABLE)
    yield site
    ask(site, "drop table if exists parcels")


def test_a_regression_is_told_first_and_its_index_is_a_migration_that_validation_would_take(parcels):
    assert parcels.run("query_snapshot").state == "success"
    ask(parcels, QUERY, 100)
    assert parcels.run("query_review").state == "success"
    parcels.messages()
    with psycopg2.connect(parcels.stand.postgres.dsn("ledger")) as ledger, ledger.cursor() as cursor:
        cursor.execute(BACKDATE, {"database": "app", "days": 7})
    ledger.close()
    ask(parcels, "drop index parcels_owner")
    ask(parcels, QUERY, 100)
    run = parcels.run("query_review")
    assert run.state == "success", run.states
    result = run.xcom("report")
    first = result["regressions"][0]
    assert (first["database"], first["cause"]) == ("app", "changed plan") and "parcels" in first["query"]
    (told,) = map(shown, parcels.messages())
    assert "1 regression" in told and "changed plan" in told and "parcels" in told
    files = parcels.objects()
    up, down = (files[key].decode() for key in result["migrations"]["app"][:2])
    assert "CREATE INDEX CONCURRENTLY parcels_owner_idx ON public.parcels (owner);" in up
    assert "DROP INDEX CONCURRENTLY IF EXISTS public.parcels_owner_idx;" in down
    assert result["migrations"]["app"][0].endswith("V003__index_parcels_owner.sql")
    assert b"parcels" in files[result["reports"]["app"]]
    assert parcels.ledger("select count(*) from pgops.query_reviews where facts ->> 'database' = 'app'") == [(2,)]


def test_a_candidate_is_proven_on_a_copy_and_passes_its_rehearsal_as_a_migration(parcels, tmp_path):
    """Where HypoPG is not installed: the golden template of migration_validation, cloned and dropped again."""
    ask(parcels, "drop index parcels_owner")
    folder = tmp_path / "include"
    shutil.copytree(ROOT / "include", folder)
    parcels.monkeypatch.setenv("PGOPS_INCLUDE", str(folder))
    with servers.running_postgres(servers.MAJORS[0]) as copies:
        copies.execute((ROLES / "drill.sql").read_text(), "template1")
        copies.execute(f"alter role pgops_drill password '{parcels.stand.connections['pg_drill'].password}'")
        parcels.connect("pg_drill", port=copies.port, host="127.0.0.1")
        parcels.fleet(lambda fleet: fleet["databases"][0]["queries"].update(prove_on_copy=True))
        parcels.back_up("app")
        assert parcels.run("migration_validation", database="app", version="001").state == "success"
        parcels.run("query_snapshot")
        ask(parcels, QUERY, 30)
        run = parcels.run("query_review")
        assert run.state == "success", run.states
        result = run.xcom("report")
        advised = [one for one in result["advice"] if one["object"] == "public.parcels (owner)"]
        assert [one["proof"] for one in advised] == ["built on a copy"], result
        assert copies.execute("select count(*) from pg_database where datname like 'pgops_advice%'") == [(0,)]
        files = parcels.objects()
        for key in result["migrations"]["app"]:
            if "parcels" in key:
                (folder / "migrations" / "app" / key.rsplit("/", 1)[-1]).write_bytes(files[key])
        run = parcels.run("migration_validation", database="app", version="003")
        assert run.state == "success", run.states


def test_a_server_that_counts_nothing_fails_the_snapshot_once_and_the_review_says_so(site):
    site.stand.postgres.execute("drop extension pg_stat_statements")
    try:
        run = site.run("query_snapshot")
        assert run.state == "failed"
        assert len(site.messages()) == len(DATABASES)
        assert site.run("query_snapshot").state == "failed" and site.messages() == []
        run = site.run("query_review")
        assert run.state == "failed" and run.states["report"] == "failed"
        assert set(run.xcom("report")["failed"]) == set(DATABASES)
        (told,) = map(shown, site.messages())
        assert "NOT REVIEWED" in told and "CREATE EXTENSION" in told
    finally:
        site.stand.postgres.execute("create extension pg_stat_statements")
