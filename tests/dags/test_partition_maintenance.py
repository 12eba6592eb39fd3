"""partition_maintenance and partition_restore, in process, on real servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.dags.conftest import Site
from tests.inbox import shown

pytestmark = pytest.mark.airflow

OLD = "visits_2023_05"
TABLES = f"""
set role pgops_migrate;
create table visits (at timestamptz not null, who text) partition by range (at);
create table {OLD} partition of visits for values from ('2023-05-01 00:00+00') to ('2023-06-01 00:00+00');
insert into visits select timestamptz '2023-05-02 00:00+00' + n * interval '1 minute', 'old ' || n
from generate_series(1, 500) n;
create table calls (at timestamptz not null) partition by range (at);
create table calls_default partition of calls default;
"""


@pytest.fixture
def site_with_tables(site: Site) -> Iterator[Site]:
    site.document["databases"][0]["partitions"]["tables"] = [
        {"parent": "public.visits", "interval": "month", "retention": "24 months", "grace_days": 0},
        {"parent": "public.calls", "interval": "month"},
    ]
    site.fleet()
    execute(site, TABLES)
    yield site
    execute(site, "drop table if exists visits, calls; drop schema if exists archive_restore cascade")
    execute(site, f"drop table if exists {OLD}")


def execute(site: Site, statement: str) -> list[tuple[object, ...]]:
    return site.stand.postgres.execute(statement, "app")


def partitions(site: Site, parent: str) -> list[str]:
    found = execute(
        site, f"select inhrelid::regclass::text from pg_inherits where inhparent = '{parent}'::regclass order by 1"
    )
    return [str(name) for (name,) in found]


def test_a_dry_run_says_what_it_would_do_and_changes_nothing(site_with_tables):
    run = site_with_tables.run("partition_maintenance", dry_run=True)
    assert run.state == "success", run.states
    assert run.states["app.create[0]"] == run.states["app.retire[0]"] == run.states["app.tidy"] == "skipped"
    assert {one["parent"] for one in run.xcom("app.plan_partitions")} == {"public.visits", "public.calls"}
    assert partitions(site_with_tables, "visits") == [OLD]


def test_months_are_made_ahead_and_an_old_one_goes_with_proof_and_comes_back(site_with_tables):
    site = site_with_tables
    run = site.run("partition_maintenance")
    assert run.state == "success", run.states
    made = partitions(site, "visits")
    assert len(made) == 4 and OLD not in made  # this month and three more
    assert execute(site, f"select to_regclass('{OLD}')") == [(None,)]
    assert any(OLD in key and key.endswith("/manifest.json") for key in site.objects())
    assert site.ledger("select state from pgops.partition_states") == [("dropped",)]
    (told,) = map(shown, site.messages())
    assert "8 made, 1 on the way out" in told and OLD in told and ":white_check_mark:" in told
    assert site.run("partition_maintenance").state == "success"
    assert site.messages() == []  # a quiet run stays quiet

    back = site.run("partition_restore", table="public.visits", partition=OLD)
    assert back.state == "success", back.states
    ((rows,),) = execute(site, f"select count(*) from archive_restore.{OLD}_restored where who like 'old %'")
    assert rows == 500


def test_one_bad_table_stops_no_other_and_is_named(site_with_tables):
    site = site_with_tables
    execute(site, "insert into calls values (now())")
    run = site.run("partition_maintenance")
    assert run.state == "failed" and run.states["report"] == "failed", run.states
    assert len(partitions(site, "visits")) == 4
    assert len(partitions(site, "calls")) == 4  # DEFAULT, and the three months that no row stands in the way of
    *_, told = map(shown, site.messages())
    assert "1 FAILED, 7 made" in told and "public.calls" in told and "DEFAULT" in told


def test_a_switch_stops_the_one_and_not_the_other(site_with_tables):
    site = site_with_tables
    site.document["databases"][0]["partitions"]["create"] = False
    site.fleet()
    run = site.run("partition_maintenance")
    assert partitions(site, "visits") == []
    assert run.states["app.create[0]"] == "skipped" and run.states["app.retire[0]"] == "success"
    (told,) = map(shown, site.messages())
    assert "still missing" in told and "in danger" in told


def test_the_ledger_keeps_its_own_months(site_with_tables):
    run = site_with_tables.run("partition_maintenance")
    assert run.states["ledger"] == "success"
    rows = site_with_tables.ledger(
        "select count(*) from pg_inherits where inhparent = 'pgops.health_figures'::regclass"
    )
    assert rows[0][0] >= 4


def test_a_restore_that_names_nothing_is_refused_and_what_there_is_is_listed(site_with_tables):
    assert site_with_tables.run("partition_restore", table="public.visits").state == "failed"
    run = site_with_tables.run("partition_restore", table="public.visits", partition="none_of_that")
    assert run.state == "failed"
    assert "there are: none" in run.xcom("restore_partitions", "problem")["error"]
