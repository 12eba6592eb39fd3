"""batched_backfill and backfill_control, in process, on real servers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.dags.conftest import Site
from tests.inbox import shown
from tests.servers import eventually

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


YAML = """
table: public.orders
set:
  status: "'paid'"
where: status = 'pending'
key: [id]
"""


def test_a_specification_in_yaml_does_the_same(pending):
    before = count(pending)
    run = pending.run("batched_backfill", database="app", spec=YAML, dry_run=False)
    assert run.state == "success", run.states
    assert run.xcom("finish")["rows"] == before and count(pending) == 0


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"spec": YAML, "where": "id = 1"}, "given twice: as spec, and as where"),
        ({"spec": YAML + "database: billing"}, "It is for 'billing', and 'app' was chosen"),
        ({"spec": "table: ["}, "It is not YAML"),
        ({"spec": "a word"}, "It is not a mapping"),
        ({"spec": YAML + "drop: users"}, "Unknown key 'drop'"),
        ({}, "'table' is missing"),
        ({"table": "orders", "where": "id = 1"}, "It sets no column"),
    ],
)
def test_a_specification_that_is_none_or_is_given_twice_is_refused(pending, params, words):
    run = pending.run("batched_backfill", database="app", **params, dry_run=False)
    assert run.state == "failed" and words in run.xcom("plan", "problem")["error"]
    assert count(pending) > 0
    pending.messages()


def test_a_specification_that_cannot_be_is_refused_before_anything_is_touched(pending):
    run = pending.run("batched_backfill", **{**SPEC, "set": "status = 'paid'; DROP TABLE users"}, dry_run=False)
    assert run.state == "failed" and run.states["plan"] == "failed"
    assert pending.stand.postgres.execute("select to_regclass('users') is not null", "app") == [(True,)]
    assert pending.messages()


@contextmanager
def before_the_work(site: Site, happens: Callable[[int], None]) -> Iterator[None]:
    """Let something happen between the plan and the work; it is told the job's number."""
    from pgops.operators import backfill

    original = backfill.work_on

    def work_on(context, settings, database, number, worker, stopping):
        happens(number)
        return original(context, settings, database, number, worker, stopping)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backfill, "work_on", work_on)
        yield


def refuse_order_3(site: Site, job: int = 0) -> None:
    refuse = "alter table orders add constraint odd check (id <> 3 or status <> 'paid') not valid"
    once = f"do $$ begin {refuse}; exception when duplicate_object then null; end $$"  # two workers may come by
    site.stand.postgres.execute(once, "app")


@pytest.fixture
def odd(pending: Site) -> Iterator[Site]:
    """A site in which somebody may come to refuse one row."""
    yield pending
    pending.stand.postgres.execute("alter table orders drop constraint if exists odd", "app")


def test_a_row_that_is_refused_is_named_in_slack_and_the_next_run_goes_on(odd):
    with before_the_work(odd, lambda job: refuse_order_3(odd)):
        run = odd.run("batched_backfill", **SPEC, dry_run=False, workers=2)
    assert run.state == "failed" and run.states["report"] == "failed", run.states
    *alerts, end = map(shown, odd.messages()[1:])
    assert alerts and all(alert.startswith("CRITICAL: app: ") for alert in alerts)
    assert ":x:" in end and "Row id = 3 cannot be changed" in end and ":white_check_mark:" not in end
    odd.stand.postgres.execute("alter table orders drop constraint odd", "app")
    assert odd.run("batched_backfill", **SPEC, dry_run=False).state == "success"
    assert count(odd) == 0


def test_a_row_that_is_refused_is_skipped_where_the_policy_says_so(odd):
    odd.document["databases"][0]["backfill"]["on_error"] = "skip"
    odd.fleet()
    refuse_order_3(odd)
    run = odd.run("batched_backfill", **SPEC, dry_run=False)
    assert run.state == "success", run.states
    assert run.xcom("finish")["skipped"] == 1 and count(odd) == 1


def test_a_cancelled_backfill_is_no_success_and_is_not_gone_on_with(pending):
    from pgops.backfill.job import control

    target = pending.dsn("pg_app_owner")
    with before_the_work(pending, lambda job: control(target, job, desired="cancel")):
        run = pending.run("batched_backfill", **SPEC, dry_run=False)
    assert run.state == "failed"
    end = shown(pending.messages()[-1])
    assert "is cancelled" in end and ":white_check_mark:" not in end
    assert "begin another" in str(run.xcom("finish", "problem")["error"])


def test_a_paused_backfill_can_be_looked_at_and_a_cancelled_one_ends(pending):
    from pgops.backfill.check import check
    from pgops.backfill.job import Run, begin, state
    from pgops.backfill.plan import plan
    from pgops.backfill.spec import read

    target = pending.dsn("pg_app_owner")
    checked = check(target, read(SPEC))
    job = begin(target, checked, plan(target, checked), Run("somebody", "test"))
    slower = pending.run("backfill_control", database="app", job=job.id, action="run", speed=0.5)
    looked = pending.run("backfill_control", database="app", job=0, action="pause")
    assert slower.state == "success" and looked.xcom("control")["job"] == job.id
    kept = state(target, job.id).job
    assert (kept.desired, kept.speed) == ("pause", 0.5), "a pause says nothing about the speed"
    cancelled = pending.run("backfill_control", database="app", job=job.id, action="cancel")
    assert cancelled.state == "success"
    refused = pending.run("backfill_control", database="app", job=job.id + 1, action="pause")
    assert (
        refused.state == "failed"
        and f"There is no backfill {job.id + 1}" in refused.xcom("control", "problem")["error"]
    )
    pending.messages()


# --- how people hear of it ---


def test_slack_hears_once_that_it_stands_still_and_why_and_once_that_it_goes_on(pending):
    from pgops.backfill.job import control

    pending.document["databases"][0]["backfill"]["stall_alert_minutes"] = 0.02
    pending.fleet()
    target = pending.dsn("pg_app_owner")

    def pause_until_it_is_told(job: int) -> None:
        control(target, job, desired="pause")
        going_on.append(threading.Thread(target=go_on, args=(job,)))
        going_on[-1].start()

    def go_on(job: int) -> None:
        eventually(lambda: "is held up" in str(pending.stand.inbox.messages()), 60)
        control(target, job, desired="run")

    going_on: list[threading.Thread] = []
    with before_the_work(pending, pause_until_it_is_told):
        run = pending.run("batched_backfill", **SPEC, dry_run=False)
    for thread in going_on:
        thread.join()
    assert run.state == "success", run.states
    _, held, on, _ = map(shown, pending.messages())
    assert "backfill of public.orders is held up" in held and "paused by the operator" in held
    assert "0 %, 0 rows" in held and "Open the task log" in held
    assert "backfill_control" in held and '"action": "pause"' in held.replace("\\", "") and "backfill-held-up" in held
    assert "backfill of public.orders goes on" in on


def test_the_ledger_has_one_row_that_says_how_far_it_is_and_how_it_ended(odd):
    with before_the_work(odd, lambda job: refuse_order_3(odd)):
        failed = odd.run("batched_backfill", **SPEC, dry_run=False)
    assert failed.state == "failed"
    facts = "database, table_name, status, rows_done, percent, skipped, error, finished_at is not null, batches > 0"
    query = f"select {facts} from pgops.backfills"
    ((_, table, status, _, _, _, error, finished, _),) = odd.ledger(query)
    assert (table, status, finished) == ("public.orders", "failed", False) and "Row id = 3" in error
    odd.stand.postgres.execute("alter table orders drop constraint odd", "app")
    run = odd.run("batched_backfill", **SPEC, dry_run=False, workers=2)
    rows = run.xcom("finish")["rows"]
    assert odd.ledger(query) == [("app", "public.orders", "done", rows, 100.0, 0, "", True, True)]
    ((spec, waits),) = odd.ledger("select spec, waiting from pgops.backfills")
    assert spec["where"] == "status = 'pending'" and waits == []


def test_a_ledger_that_is_down_stops_no_backfill(pending):
    pending.connect("pgops_ledger", port=1)
    run = pending.run("batched_backfill", **SPEC, dry_run=False)
    assert run.state == "success", run.states
    assert count(pending) == 0


def test_a_cancelled_job_is_cancelled_in_the_ledger_without_any_worker(pending):
    from pgops.backfill.check import check
    from pgops.backfill.job import Run, begin
    from pgops.backfill.plan import plan
    from pgops.backfill.spec import read

    target = pending.dsn("pg_app_owner")
    checked = check(target, read(SPEC))
    job = begin(target, checked, plan(target, checked), Run("somebody", "test"))
    assert pending.run("backfill_control", database="app", job=job.id, action="cancel").state == "success"
    assert pending.ledger("select job, status from pgops.backfills") == [(job.id, "cancelled")]
