"""zero_downtime_column, in process, on real servers: the guide's phone number, the safe way."""

from __future__ import annotations

import pytest

from pgops.column import column_spec, next_steps, perform, state
from tests.dags.conftest import Site

pytestmark = pytest.mark.airflow
PHONE = {"database": "app", "table": "public.users", "column": "phone_number", "type": "text", "default": "''"}


@pytest.fixture
def users(site: Site) -> Site:
    site.document["databases"][0]["backfill"]["latency"] = {"baseline_seconds": 1}
    site.fleet()
    yield site
    site.stand.postgres.execute("alter table users drop column if exists phone_number cascade", "app")
    site.stand.postgres.execute("alter table users drop column if exists handle cascade", "app")
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
    target, spec = (
        users.dsn("pg_app_owner"),
        column_spec("app", "public.users", "handle", "text", backfill="lower(email)", not_null=False),
    )
    perform(target, spec, next_steps(state(target, spec), spec)[0])
    assert column(users, "handle")
    run = users.run("zero_downtime_column", **conf, action="undo")
    assert run.state == "success" and run.xcom("undo")[-1] == "drop column", run.states
    assert column(users, "handle") == []
