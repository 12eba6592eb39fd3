"""zero_downtime_column, in process, on real servers: the guide's phone number, the safe way."""

from __future__ import annotations

import pytest

from tests.dags.conftest import Site

pytestmark = pytest.mark.airflow
PHONE = {"database": "app", "table": "public.users", "column": "phone_number", "type": "text", "default": "''"}


@pytest.fixture
def users(site: Site) -> Site:
    site.document["databases"][0]["backfill"]["latency"] = {"baseline_seconds": 1}
    site.fleet()
    yield site
    site.stand.postgres.execute("alter table users drop column if exists phone_number", "app")
    site.stand.postgres.execute("alter table users drop column if exists handle", "app")
    site.stand.postgres.execute("drop schema if exists pgops cascade", "app")


def column(site: Site, name: str) -> list[tuple]:
    return site.stand.postgres.execute(
        "select attnotnull, (select count(*) from users) from pg_attribute"
        f" where attrelid = 'users'::regclass and attname = '{name}' and not attisdropped",
        "app",
    )


def test_a_plan_changes_nothing(users):
    run = users.run("zero_downtime_column", **PHONE)
    assert run.state == "success" and run.xcom("plan")[0] == "add column with its default"
    assert run.states["add_column"] == "skipped" and column(users, "phone_number") == []


def test_a_constant_default_needs_no_backfill_and_the_column_is_indexed(users):
    run = users.run("zero_downtime_column", **PHONE, index=True, action="apply")
    assert run.state == "success", run.states
    assert run.xcom("backfill") == {} and column(users, "phone_number")[0][0] is True
    assert run.xcom("report")["left"] == []
    valid = "select bool_and(indisvalid) from pg_index where indrelid = 'users'::regclass"
    assert users.stand.postgres.execute(valid, "app") == [(True,)]
    again = users.run("zero_downtime_column", **PHONE, index=True, action="apply")
    assert again.state == "success" and again.xcom("plan") == []


def test_a_value_of_the_row_is_filled_in_batches_and_proven(users):
    conf = {**PHONE, "column": "handle", "default": "", "backfill": "lower(email)"}
    run = users.run("zero_downtime_column", **conf, action="apply")
    assert run.state == "success", run.states
    assert "backfill" in run.xcom("backfill") and column(users, "handle")[0][0] is True
    wrong = "select count(*) from users where handle is distinct from lower(email)"
    assert users.stand.postgres.execute(wrong, "app") == [(0,)]


def test_what_was_begun_can_be_taken_back(users):
    conf = {**PHONE, "column": "handle", "default": "", "backfill": "lower(email)", "not_null": False}
    users.stand.postgres.execute("select 1", "app")
    run = users.run("zero_downtime_column", **conf, action="undo")
    assert run.state == "success" and run.xcom("undo") in ([], None)
    assert column(users, "handle") == []
