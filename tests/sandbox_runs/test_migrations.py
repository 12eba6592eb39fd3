"""Migrations from the rehearsal into production in the running sandbox: approvals, refusals, breaches, killed tasks."""

from __future__ import annotations

import copy
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg2
import pytest

from sandbox.follow import APPROVAL_DELAY_SECONDS
from sandbox.rest import ApiError, quote
from tests.inbox import shown
from tests.servers import eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]
DAG = "migration_deploy"
SOON = 60.0
# What the rehearsal cannot know: the application writes an amount that a new trigger refuses.
TRIGGER = """
ALTER TABLE orders ADD COLUMN note text CONSTRAINT orders_note_is_paid CHECK (note ~ '^paid by [a-z]+$');
CREATE FUNCTION refuse_amounts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'no order costs %', NEW.total_amount;
END
$$;
CREATE TRIGGER refuse_amounts BEFORE UPDATE ON orders
FOR EACH ROW WHEN (NEW.total_amount = 4711) EXECUTE FUNCTION refuse_amounts();
"""
NO_TRIGGER = """
-- pgops: allow destructive-rollback
DROP TRIGGER refuse_amounts ON orders;
DROP FUNCTION refuse_amounts();
ALTER TABLE orders DROP COLUMN note;
"""
INDEX = """
COMMENT ON TABLE users IS 'audit: none; retention: as long as the account';
CREATE INDEX CONCURRENTLY users_name_idx ON users (name);
"""
NO_INDEX = """
DROP INDEX CONCURRENTLY IF EXISTS users_name_idx;
COMMENT ON TABLE users IS NULL;
"""


@dataclass
class Listeners:
    """The application and its monitoring, who are told about maintenance."""

    told: list[tuple[str, str, str]] = field(default_factory=list)
    deaf: str = ""

    def take(self, who: str, body: Mapping[str, Any]) -> int:
        self.told.append((who, str(body["state"]), str(body["run_id"])))
        return 500 if (who, body["state"]) == (self.deaf, "on") else 200

    def of(self, run_id: str, who: str = "application") -> list[str]:
        return [state for told, state, told_run in self.told if (told, told_run) == (who, run_id)]


@contextmanager
def listening() -> Iterator[tuple[Listeners, str]]:
    listeners = Listeners()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(listeners.take(self.path.strip("/"), body))
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield listeners, f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class Deployments:
    """What these tests do with the house."""

    def __init__(self, house: Any, listeners: Listeners) -> None:
        self.house = house
        self.listeners = listeners
        self.primary = house.parts.servers.primary
        self.folder = house.include / "migrations" / "app"
        self.policy()

    def policy(self, **deploy: Any) -> None:
        fleet = copy.deepcopy(self.house.fleet)
        fleet["databases"][0]["migrations"]["deploy"] |= {
            "approvers": ["op", "admin"],
            "watch": {"minutes": 0.2, "baseline_seconds": 2},
            "maintenance": "the_application",
            "monitoring": "the_monitoring",
            **deploy,
        }
        self.house.write_fleet(fleet)

    def ask(self, version: str) -> str:
        """op asks for a deployment; the run waits for its approval."""
        run_id = self.trigger(version)
        self.wait_for(run_id, "approve", "awaiting_input")
        return run_id

    def trigger(self, version: str) -> str:
        conf = {"database": "app", "version": version}
        run = self.house.as_user("op").post(f"/dags/{DAG}/dagRuns", {"logical_date": None, "conf": conf})
        return str(run["dag_run_id"])

    def wait_for(self, run_id: str, step: str, *states: str) -> None:
        reached = eventually(lambda: self.state(run_id, step) in states, SOON)
        assert reached, {name: task["state"] for name, task in self.house.tasks(DAG, run_id).items()}

    def state(self, run_id: str, step: str) -> str:
        return str(self.house.api.get(f"/dags/{DAG}/dagRuns/{quote(run_id)}/taskInstances/{step}")["state"])

    def answer(self, run_id: str, chosen: str = "Approve", user: str = "admin") -> None:
        path = f"/dags/{DAG}/dagRuns/{quote(run_id)}/taskInstances/approve/-1/hitlDetails"
        self.house.as_user(user).patch(path, {"chosen_options": [chosen], "params_input": {}})

    def approved(self, version: str) -> str:
        run_id = self.ask(version)
        time.sleep(APPROVAL_DELAY_SECONDS)
        self.answer(run_id)
        return run_id

    def report(self, run_id: str) -> dict[str, Any]:
        """What the run's report says; a failed one leaves it under another key."""
        self.house.wait(DAG, run_id)
        key = "return_value" if self.state(run_id, "report") == "success" else "report"
        path = f"/dags/{DAG}/dagRuns/{quote(run_id)}/taskInstances/report/xcomEntries/{key}"
        found: dict[str, Any] = self.house.api.get(path, deserialize="true")["value"]
        return found

    def recorded(self, run_id: str) -> tuple[Any, ...]:
        """State and approver in the ledger."""
        statement = f"select state, approved_by from pgops.deployments where run_id = '{run_id}'"
        return self.house.ledger(statement)[0]

    def told(self, run_id: str) -> str:
        """What Slack was told about a run, the newest message last."""
        found = [message for message in self.house.messages() if run_id in json.dumps(message)]
        found += [message for message in self.house.messages() if quote(run_id) in json.dumps(message)]
        return "\n".join(shown(message) for message in found)

    def muted(self, run_id: str) -> list[bool]:
        """Whether the mutes of a run are on."""
        rows = self.house.ledger(f"select ended_at is null from pgops.mutes where run_id = '{run_id}'")
        return [bool(on) for (on,) in rows]

    def app(self, statement: str) -> list[tuple[Any, ...]]:
        return list(self.primary.execute(statement, "app"))

    def done(self, version: str) -> list[tuple[Any, ...]]:
        """The steps of a version that the database itself knows to be done."""
        if not self.app("select 1 where to_regclass('pgops.schema_steps') is not null"):
            return []
        return self.app(
            "select direction, segment from pgops.schema_steps"
            f" where version = '{version}' and state = 'done' order by id"
        )

    def columns(self, table: str) -> set[str]:
        found = f"select attname from pg_attribute where attrelid = '{table}'::regclass and attnum > 0"
        return {str(name) for (name,) in self.app(f"{found} and not attisdropped")}

    def write(self, name: str, up: str, down: str) -> None:
        (self.folder / f"{name}.sql").write_text(up)
        (self.folder / f"{name}.rollback.sql").write_text(down)


@pytest.fixture(scope="module")
def site(house) -> Iterator[Deployments]:
    """A proven backup of app, three migrations, and somebody who listens."""
    house.pause("restore_drill")
    for dag_id in (DAG, "migration_validation"):
        assert eventually(lambda dag_id=dag_id: _known(house, dag_id), SOON)
        house.pause(dag_id, False)
    if not house.catalog("app").backups():
        assert house.run("nightly_backup", databases=["app"])[0] == 0
    with listening() as (listeners, url):
        for name, path in (("the_application", "application"), ("the_monitoring", "monitoring")):
            body = {"connection_id": name, "conn_type": "http", "host": f"{url}/{path}"}
            house.api.post("/connections", body)
        site = Deployments(house, listeners)
        for file in site.folder.glob("V002*"):
            file.unlink()
        site.write("V002__refuse_amounts", TRIGGER, NO_TRIGGER)
        site.write("V003__index_names", INDEX, NO_INDEX)
        yield site
        house.write_fleet(house.fleet)


def _known(house, dag_id: str) -> bool:
    try:
        return bool(house.api.get(f"/dags/{dag_id}"))
    except ApiError:
        return False


# --- the rehearsal ---


def test_a_killed_rehearsal_leaves_no_verdict_and_no_copy_and_its_second_try_passes(site):
    house, staging = site.house, site.house.parts.servers.staging
    run_id = house.trigger("migration_validation", database="app", version="pending")
    sessions = (
        "select 1 from pg_stat_activity"
        " where datname = 'pgops_clone_app' and application_name like 'pgops.migration.rehearsal%'"
    )
    assert eventually(lambda: staging.execute(sessions), SOON), house.tasks("migration_validation", run_id)
    house.kill("migration_validation", run_id, "rehearse")
    assert house.ledger(f"select version from pgops.validations where run_id = '{run_id}'") == []
    assert house.wait("migration_validation", run_id) == "success"
    assert house.tasks("migration_validation", run_id)["rehearse"]["try_number"] == 2
    verdicts = f"select version, passed from pgops.validations where run_id = '{run_id}' order by version"
    assert house.ledger(verdicts) == [("001", True), ("002", True), ("003", True)]
    assert staging.execute("select datname from pg_database where datname like 'pgops_clone_%'") == []


# --- what stops a deployment before anything is touched ---


@pytest.fixture(scope="module")
def refused(site) -> dict[str, str]:
    """Deployments of 001 that must not happen, by why."""
    site.policy(approval_minutes=0.02)
    runs = {"unanswered": site.trigger("001")}
    site.wait_for(runs["unanswered"], "approve", "awaiting_input", "failed")
    site.policy()
    waiting = ("rejected", "edited while it waits", "drifted")
    runs |= {why: site.trigger("001") for why in waiting}
    for why in waiting:
        site.wait_for(runs[why], "approve", "awaiting_input")
    time.sleep(APPROVAL_DELAY_SECONDS)
    site.answer(runs["rejected"], "Reject")
    with _edited(site.folder / "V001__create_user_preferences.sql"):
        runs["edited before"] = site.trigger("001")
        site.answer(runs["edited while it waits"])
        for why in ("edited while it waits", "edited before"):
            site.house.wait(DAG, runs[why])
    site.app("alter table orders add column drifted integer")
    try:
        site.answer(runs["drifted"])
        site.house.wait(DAG, runs["drifted"])
    finally:
        site.app("alter table orders drop column drifted")
    return runs


@contextmanager
def _edited(file) -> Iterator[None]:
    text = file.read_text()
    file.write_text(text + "\nCREATE TABLE smuggled (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY);\n")
    try:
        yield
    finally:
        file.write_text(text)


@pytest.mark.parametrize(
    ("why", "step", "words"),
    [
        ("unanswered", "approve", "nobody answered in time"),
        ("rejected", "approve", "admin rejected it"),
        ("edited before", "validation", "its files were changed since they were rehearsed"),
        ("edited while it waits", "check_again", "files were changed while it waited for its approval"),
        ("drifted", "check_again", "orders.drifted"),
    ],
)
def test_a_deployment_is_refused_and_nothing_is_touched(site, refused, why, step, words):
    run_id = refused[why]
    report = site.report(run_id)
    assert report["state"] == "refused" and report["error"].startswith(f"{step}: ") and words in report["error"]
    assert site.state(run_id, step) == "failed" and site.state(run_id, "deploy") == "upstream_failed"
    approver = "admin" if step == "check_again" else None
    assert site.recorded(run_id) == ("refused", approver)
    assert "was not deployed: nothing was touched" in site.told(run_id) and words in site.told(run_id)
    assert site.listeners.of(run_id) == [] and site.muted(run_id) == []


def test_nothing_of_a_refused_deployment_is_in_the_database(site, refused):
    assert site.done("001") == []
    assert site.app("select to_regclass('user_preferences'), to_regclass('smuggled')") == [(None, None)]


# --- a deployment ---


@pytest.fixture(scope="module")
def two_at_once(site, refused) -> dict[str, str]:
    """Two deployments of 001 that are approved at the same time, by what came of them."""
    runs = [site.trigger("001"), site.trigger("001")]
    for run_id in runs:
        site.wait_for(run_id, "approve", "awaiting_input")
    time.sleep(APPROVAL_DELAY_SECONDS)
    for user in ("op", "user"):
        with pytest.raises(ApiError) as answer:
            site.answer(runs[0], user=user)
        assert answer.value.status == 403
    for run_id in runs:
        site.answer(run_id)
    watched = eventually(lambda: any(site.state(run_id, "watch") == "running" for run_id in runs), SOON)
    during = {run_id: (site.muted(run_id), site.listeners.of(run_id)) for run_id in runs}
    assert watched, during
    states = {site.report(run_id)["state"]: run_id for run_id in runs}
    return {**states, "during": json.dumps(during)}


def test_a_deployment_is_approved_by_somebody_else_than_its_requester_and_that_is_recorded(site, two_at_once):
    run_id = two_at_once["deployed"]
    assert site.recorded(run_id) == ("deployed", "admin")
    assert "is DEPLOYED" in site.told(run_id) and "admin" in site.told(run_id)
    assert site.app("select to_regclass('user_preferences') is not null") == [(True,)]


def test_of_two_deployments_at_once_one_is_refused_and_nothing_is_applied_twice(site, two_at_once):
    error = site.report(two_at_once["refused"])["error"]
    assert "Another run is at work" in error or "deployed already" in error
    done = site.done("001")
    assert done and len(done) == len(set(done)) and {direction for direction, _ in done} == {"apply"}


def test_maintenance_and_mute_are_on_in_the_window_of_the_deployment_and_off_after_it(site, two_at_once):
    winner, loser = two_at_once["deployed"], two_at_once["refused"]
    during = json.loads(two_at_once["during"])
    assert during == {winner: [[True], ["on"]], loser: [[], []]}
    assert site.listeners.of(winner) == site.listeners.of(winner, "monitoring") == ["on", "off"]
    assert site.muted(winner) == [False]


def test_what_is_deployed_already_is_refused_before_anybody_is_asked(site, two_at_once):
    run_id = site.trigger("001")
    assert "deployed already" in site.report(run_id)["error"]
    assert site.state(run_id, "approve") == "upstream_failed"


# --- a breach ---


@contextmanager
def writing(site, statement: str, note: str | None = None) -> Iterator[None]:
    """An application that writes an order again and again, and lives with its errors."""
    over = threading.Event()

    def write() -> None:
        with closing(psycopg2.connect(site.primary.dsn("app"))) as connection:
            connection.autocommit = True
            while not over.wait(0.1):
                for sql in filter(None, (statement, note)):
                    try:
                        with connection.cursor() as cursor:
                            cursor.execute(sql)
                    except psycopg2.Error:
                        continue  # its own metrics are pg_stat_database's rollbacks

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


ORDER = "update orders set total_amount = 4711 where id = 1"
NOTE = "do $$ begin update orders set note = 'paid by card' where id = 2; exception when undefined_column then end $$"


def test_a_breach_is_rolled_back_by_itself_and_the_schema_is_as_before(site, two_at_once):
    before = site.columns("orders")
    with writing(site, ORDER):
        run_id = site.approved("002")
        report = site.report(run_id)
    assert report["state"] == "rolled back" and "errors: " in report["error"]
    assert site.recorded(run_id) == ("rolled back", "admin")
    assert site.columns("orders") == before
    assert site.app("select 1 from pg_proc where proname = 'refuse_amounts'") == []
    assert {direction for direction, _ in site.done("002")} == {"apply", "rollback"}
    assert "was ROLLED BACK" in site.told(run_id) and "transactions rolled back" in site.told(run_id)
    assert site.listeners.of(run_id) == ["on", "off"] and site.muted(run_id) == [False]


def test_a_rollback_that_would_destroy_what_was_written_stops_and_calls_a_person(site, two_at_once):
    with writing(site, ORDER, NOTE):
        run_id = site.approved("002")
        report = site.report(run_id)
    assert report["state"] == "failed"
    assert site.state(run_id, "roll_back") == "failed"
    assert site.app("select note from orders where id = 2") == [("paid by card",)]
    assert {direction for direction, _ in site.done("002")[-1:]} == {"apply"}
    told = site.told(run_id)
    assert "a person must look" in told and "would destroy 1 values of column public.orders.note" in told
    assert site.listeners.of(run_id) == ["on", "off"] and site.muted(run_id) == [False]


# --- what goes wrong around it ---


def test_maintenance_ends_also_when_only_one_of_two_heard_that_it_begins(site, two_at_once):
    site.listeners.deaf = "monitoring"
    try:
        run_id = site.approved("003")
        report = site.report(run_id)
    finally:
        site.listeners.deaf = ""
    assert report["state"] == "refused" and "maintenance_on: " in report["error"]
    assert site.listeners.of(run_id)[0] == "on" and site.listeners.of(run_id)[-1] == "off"
    assert site.listeners.of(run_id, "monitoring")[-1] == "off"
    assert site.muted(run_id) == [False] and site.done("003") == []


def test_a_deployment_that_is_killed_amid_an_index_is_finished_by_its_second_try(site, two_at_once):
    with closing(psycopg2.connect(site.primary.dsn("app"))) as writer:
        with writer.cursor() as cursor:
            cursor.execute("update users set name = name where id = 1")  # the index has to wait for its end
        run_id = site.approved("003")
        building = "select 1 from pg_stat_activity where query ~ '^CREATE INDEX CONCURRENTLY users_name_idx'"
        waiting = f"{building} and state = 'active' and wait_event_type = 'Lock'"
        assert eventually(lambda: site.app(waiting), SOON), site.house.tasks(DAG, run_id)
        site.house.kill(DAG, run_id, "deploy")
        assert eventually(lambda: site.app(building) == [], SOON)
        valid = "select indisvalid from pg_index where indexrelid = to_regclass('users_name_idx')"
        assert site.app(valid) == [(False,)], "this is what the second try finds"
        writer.rollback()
    assert site.report(run_id)["state"] == "deployed"
    assert site.house.tasks(DAG, run_id)["deploy"]["try_number"] == 2
    assert site.app(valid) == [(True,)]
    assert site.done("003") == [("apply", 0), ("apply", 1)]
    assert site.listeners.of(run_id) == ["on", "off"] and site.muted(run_id) == [False]
