"""zero_downtime_column, in process, on real servers: the guide's phone number, the safe way."""

from __future__ import annotations

import sys

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


@pytest.fixture
def large(users, monkeypatch):
    """A table that is too large to be looked through."""
    reader = sys.modules["pgops.column.state"]._Reader
    monkeypatch.setattr(reader, "_some", lambda self, condition: None)
    return users


@pytest.mark.parametrize("not_null", [True, False])
def test_a_table_too_large_to_be_looked_at_is_filled_once_and_the_column_finished(large, not_null):
    conf = {**PHONE, "column": "handle", "default": "", "backfill": "lower(email)", "not_null": not_null, "index": True}
    run = large.run("zero_downtime_column", **conf, action="apply")
    assert run.state == "success", run.states
    assert run.xcom("report")["left"] == [] and column(large, "handle")[0][0] is not_null
    fills = large.stand.postgres.execute("select status from pgops.backfill_jobs", "app")
    assert fills == [("done",)] * (2 if not_null else 1)
    index = "select indisvalid from pg_index where indexrelid = to_regclass('users_handle_idx')"
    assert large.stand.postgres.execute(index, "app") == [(True,)]


def test_a_row_that_is_left_out_on_purpose_is_named_by_the_proof_and_not_tried_for_ever(users):
    users.document["databases"][0]["backfill"]["on_error"] = "skip"
    users.fleet()
    app = users.stand.postgres
    app.execute("alter table users add column handle text check (handle <> 'x' or id <> 3)", "app")
    conf = {**PHONE, "column": "handle", "default": "", "backfill": "case id when 3 then 'x' else lower(email) end"}
    run = users.run("zero_downtime_column", **conf, action="apply")
    assert (run.states["backfill"], run.states["prove"]) == ("success", "failed"), run.states
    assert "users_handle_not_null" in run.xcom("prove", "problem")["error"]
    assert app.execute("select count(*) from users where handle is null", "app") == [(1,)]
    users.messages()


def test_a_default_out_of_a_sequence_fills_the_rows_that_are_there_too(users):
    app = users.stand.postgres
    app.execute("create sequence handles; alter sequence handles owner to app_owner", "app")
    try:
        conf = {**PHONE, "column": "handle", "type": "bigint", "default": "nextval('handles')"}
        run = users.run("zero_downtime_column", **conf, action="apply")
        assert run.state == "success", run.states
        assert app.execute("select count(distinct handle) = count(*) from users", "app") == [(True,)]
    finally:
        app.execute("drop sequence handles cascade", "app")


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
