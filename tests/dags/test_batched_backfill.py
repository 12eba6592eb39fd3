"""batched_backfill and backfill_control, in process, on real servers."""

from __future__ import annotations

import pytest

from tests.dags.conftest import Site
from tests.inbox import shown

pytestmark = pytest.mark.airflow

SPEC = {"database": "app", "table": "public.orders", "set": "status = 'paid'", "where": "status = 'pending'"}


@pytest.fixture
def pending(site: Site) -> Site:
    site.document["databases"][0]["backfill"]["latency"] = {"baseline_seconds": 1}
    site.fleet()
    site.stand.postgres.execute("update orders set status = 'pending' where id % 3 = 0", "app")
    site.stand.postgres.execute("drop schema if exists pgops cascade", "app")
    return site


def count(site: Site) -> int:
    ((rows,),) = site.stand.postgres.execute("select count(*) from orders where status = 'pending'", "app")
    return int(str(rows))


def test_a_dry_run_says_what_it_would_do_and_changes_nothing(pending):
    before = count(pending)
    run = pending.run("batched_backfill", **SPEC)
    assert run.state == "success", run.states
    assert run.states["begin"] == "skipped" and run.states["report"] == "success"
    assert run.xcom("plan")["todo"] > 0 and count(pending) == before
    assert pending.stand.postgres.execute("select to_regnamespace('pgops')", "app") == [(None,)]


def test_every_row_is_done_and_slack_hears_of_it(pending):
    before = count(pending)
    assert before > 0
    run = pending.run("batched_backfill", **SPEC, dry_run=False, workers=2)
    assert run.state == "success", run.states
    assert count(pending) == 0
    assert run.xcom("finish")["rows"] == before
    start, end = pending.messages()
    assert "backfill of" in shown(start) and "begins" in shown(start) and "is done" in shown(end)


def test_a_specification_that_cannot_be_is_refused_before_anything_is_touched(pending):
    run = pending.run("batched_backfill", **{**SPEC, "set": "status = 'paid'; DROP TABLE users"}, dry_run=False)
    assert run.state == "failed" and run.states["plan"] == "failed"
    assert pending.stand.postgres.execute("select to_regclass('users') is not null", "app") == [(True,)]
    assert pending.messages()


def test_a_paused_backfill_can_be_looked_at_and_a_cancelled_one_ends(pending):
    from pgops.backfill.check import check
    from pgops.backfill.job import Run, begin
    from pgops.backfill.plan import plan
    from pgops.backfill.spec import read

    target = pending.dsn("pg_app_owner")
    checked = check(target, read(SPEC))
    job = begin(target, checked, plan(target, checked), Run("somebody", "test"))
    looked = pending.run("backfill_control", database="app", job=0, action="pause")
    assert looked.state == "success" and looked.xcom("control")["job"] == job.id
    cancelled = pending.run("backfill_control", database="app", job=job.id, action="cancel")
    assert cancelled.state == "success"
    refused = pending.run("backfill_control", database="app", job=job.id + 1, action="pause")
    assert refused.state == "failed" and "no" in refused.xcom("control", "problem")["error"].lower()
    pending.messages()
