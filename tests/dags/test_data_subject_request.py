"""data_subject_request, in process, on real servers: exported, approved, erased and proven, and no key in sight."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pgops.errors import Refused
from pgops.fleet import load_fleet
from pgops.operators import resources
from pgops.operators.subject import ApproveErasureOperator
from pgops.operators.tombstones import replay_tombstones
from pgops.operators.validation import GoldenCopyOperator
from pgops.partitions.archive import verify
from pgops.partitions.manifest import Archive, archives_of
from pgops.partitions.rewrite import Counted, RowsOf, count_rows
from pgops.privacy import replay
from sandbox.servers import ROLES
from tests import servers
from tests.dags.conftest import Run, Site
from tests.inbox import shown

pytestmark = pytest.mark.airflow

ROOT = Path(__file__).parents[2]
KEY = 990000123456789
MAIL = "somebody.erasable@example.com"
DAG = "data_subject_request"
V001 = ROOT / "include" / "migrations" / "app" / "V001__create_user_preferences"


@pytest.fixture
def person(site: Site) -> Iterator[Site]:
    """A user with orders, whose key is found wherever it should not be."""
    postgres = site.stand.postgres
    postgres.execute(
        f"insert into users (id, email, name) overriding system value values ({KEY}, '{MAIL}', 'Somebody');"
        f"insert into orders (user_id, status, total_amount) select {KEY}, 'paid', 1 from generate_series(1, 3)",
        "app",
    )
    yield site
    postgres.execute(f"delete from orders where user_id = {KEY}; delete from users where id = {KEY}", "app")


@pytest.fixture
def preferences(person: Site) -> Iterator[Site]:
    """The same after V001: preferences with their history, written by a trigger; one month is detached."""
    postgres = person.stand.postgres
    for part in Path(f"{V001}.sql").read_text().split("-- pgops: autocommit"):
        postgres.execute(part, "app")
    postgres.execute(
        f'insert into user_preferences (user_id, preferences) values ({KEY}, \'{{"theme": "dark"}}\');'
        f"update user_preferences set preferences = '{{}}' where user_id = {KEY};"
        f"insert into user_preferences_history (user_id, preferences, changed_at)"
        f" values ({KEY}, '{{}}', '2026-03-05 00:00Z');"
        "alter table user_preferences_history detach partition user_preferences_history_2026_03;"
        "do $$ declare one regclass; begin"
        " for one in select oid from pg_class where relname ~ '^user_preferences' and relkind in ('r', 'p') loop"
        "  execute format('alter table %s owner to app_owner', one); end loop; end $$",
        "app",
    )
    yield person
    postgres.execute("drop table user_preferences_history_2026_03", "app")
    postgres.execute(Path(f"{V001}.rollback.sql").read_text(), "app")


OLD = "user_preferences_history_2023_05"


@pytest.fixture
def retired(preferences: Site) -> Iterator[Site]:
    """The same with a month that lies in the bucket only: two rows of the person and twenty of others."""
    preferences.document["databases"][0]["partitions"]["tables"] = [
        {"parent": "public.user_preferences_history", "interval": "month", "retention": "24 months", "grace_days": 0}
    ]
    preferences.fleet()
    preferences.stand.postgres.execute(
        f"create table {OLD} partition of user_preferences_history"
        " for values from ('2023-05-01 00:00Z') to ('2023-06-01 00:00Z');"
        f"alter table {OLD} owner to app_owner;"
        "insert into user_preferences_history (user_id, preferences, changed_at)"
        f" select case when n <= 2 then {KEY} else n end, '{{}}', '2023-05-05 00:00Z' from generate_series(1, 22) n",
        "app",
    )
    run = preferences.run("partition_maintenance")
    assert run.state == "success", run.states
    preferences.messages()
    yield preferences
    preferences.stand.postgres.execute(f"drop table if exists {OLD}", "app")


def archives(site: Site) -> list[Archive]:
    return list(archives_of(site.bucket, "app", name=OLD))


def rows(site: Site) -> list[tuple[Any, ...]]:
    return site.stand.postgres.execute(
        f"select (select count(*) from users where id = {KEY}), (select count(*) from orders where user_id = {KEY})",
        "app",
    )


def request(site: Site, approver: str | None = "op", asked: list[str] | None = None, **conf: Any) -> Run:
    """Run a request; the approval is answered at once. Without an approver somebody marks it as success."""
    ask = ApproveErasureOperator.execute

    def answered(task: ApproveErasureOperator, context: Any) -> Any:
        if context["params"]["kind"] != "erase":
            return ask(task, context)
        if asked is not None:
            asked.append(task.question(context, "until then"))
        if approver is None:
            return {}
        event = {
            "chosen_options": ["Approve" if approver != "nobody" else "Reject"],
            "params_input": {},
            "responded_by_user": {"id": approver, "name": approver},
            "responded_at": datetime.now(UTC),
            "timedout": False,
        }
        return task.execute_complete(context, event)

    with site.monkeypatch.context() as patched:
        patched.setattr(ApproveErasureOperator, "execute", answered)
        return site.run(DAG, database="app", **conf)


def test_an_erasure_reaches_the_archives_of_retired_partitions_and_leaves_the_rest_of_them(retired, caplog):
    (before,) = archives(retired)
    assert before.rows == 22
    run = request(retired, asked=(asked := []), kind="erase", subject=KEY)
    assert run.state == "success", run.states
    assert f"Archives: archive of public.{OLD}" in asked[0] and ": 2" in asked[0]
    (key,) = [key for key in retired.objects() if "/subjects/" in key and OLD in key]
    exported = list(csv.DictReader(io.StringIO(retired.objects()[key].decode())))
    assert [row["user_id"] for row in exported] == [str(KEY)] * 2
    assert list(run.xcom("erase")["archives"].values()) == [2]
    assert run.xcom("prove_erasure")["archives_searched"]

    (after,) = archives(retired)
    assert (after.rows, after.replaces, after.proof is not None) == (20, before.archive_id, True)
    assert not [key for key in retired.objects() if before.archive_id in key and "/subjects/" not in key]
    scratch = retired.dsn("pg_drill")
    verify(retired.bucket, after, scratch)  # both formats hold what the new fingerprint says
    assert count_rows(retired.bucket, after, scratch, RowsOf(("user_id",), str(KEY))) == Counted(0, 0)
    assert count_rows(retired.bucket, after, scratch, RowsOf(("user_id",), "22")) == Counted(1, 1)
    told = json.dumps([run.xcoms(), asked], default=str) + caplog.text
    assert str(KEY) not in told and MAIL not in told


def test_a_person_who_is_in_an_archive_only_is_found_and_what_stays_by_policy_stays_there(retired):
    tables = retired.document["databases"][0]["privacy"]["tables"]
    tables[0] |= {"action": "keep", "reason": "the law"}
    retired.fleet()
    run = request(retired, kind="erase", subject=KEY)
    assert run.state == "success", run.states
    assert any(OLD in line and "2 rows" in line for line in run.xcom("report")["kept"])
    assert [one.rows for one in archives(retired)] == [22]

    del tables[0]["action"], tables[0]["reason"]
    retired.fleet()
    execute = retired.stand.postgres.execute
    execute(f"delete from user_preferences_history where user_id = {KEY}", "app")
    again = request(retired, kind="erase", subject=KEY)
    assert again.state == "success", again.states
    assert [one.rows for one in archives(retired)] == [20]


def ledger(site: Site) -> list[tuple[Any, ...]]:
    return site.ledger(
        "select kind, state, approved_by, subject_hash from pgops.subject_requests order by requested_at"
    )


def test_an_export_holds_everything_and_changes_nothing(person, caplog):
    run = request(person, subject=KEY)
    assert run.state == "success", run.states
    assert {run.states[step] for step in ("approve_erasure", "tombstone", "erase", "prove_erasure")} == {"skipped"}
    made = run.xcom("export")
    assert made["rows"]["public.users"] == 1 and made["rows"]["public.orders"] == 3
    name, body = next((key, body) for key, body in person.objects().items() if key.endswith("public.users.json"))
    assert [row["email"] for row in json.loads(body)] == [MAIL] and f"s3://{person.bucket.name}/{name}".startswith(
        made["folder"]
    )
    assert rows(person) == [(1, 3)]
    (message,) = person.messages()
    assert "data is exported" in shown(message)
    ((kind, state, approved_by, _),) = ledger(person)
    assert (kind, state, approved_by) == ("export", "exported", None)
    assert_nowhere(person, run, caplog.text)


def test_backup_watch_removes_an_export_whose_time_is_over_and_no_other(person):
    first, second = request(person, subject=KEY), request(person, subject=KEY)
    assert (first.state, second.state) == ("success", "success")
    key = next(key for key in _export_of(person, first) if key.endswith("/manifest.json"))
    manifest = person.bucket.get_json(key)
    person.bucket.put_json(key, manifest | {"expires_at": datetime.now(UTC).isoformat()})
    run = person.run("backup_watch")
    assert run.states["expired_exports[0]"] == "success"
    assert _export_of(person, first) == [] and len(_export_of(person, second)) > 3


def _export_of(site: Site, run: Run) -> list[str]:
    folder = run.xcom("export")["folder"].removeprefix(f"s3://{site.bucket.name}/")
    return [key for key in site.objects() if key.startswith(f"{folder}/")]


def test_an_erasure_leaves_nothing_but_the_proof(preferences, caplog):
    asked: list[str] = []
    run = request(preferences, asked=asked, kind="erase", subject=str(KEY))
    assert run.state == "success", run.states
    assert rows(preferences) == [(0, 0)]
    gone = run.xcom("erase")["deleted"]
    assert gone["public.orders"] == 3 and gone["public.user_preferences"] == 1
    assert gone["public.user_preferences_history"] == 2 and gone["public.user_preferences_history_2026_03"] == 1
    (question,) = asked
    assert "| `public.orders` | 3 | delete |" in question and str(KEY) not in question
    ((kind, state, approved_by, _),) = ledger(preferences)
    assert (kind, state, approved_by) == ("erase", "erased", "op")
    (message,) = preferences.messages()
    assert "a person is ERASED" in shown(message) and "WAL" in shown(message)
    assert_nowhere(preferences, run, caplog.text + question)

    again = request(preferences, kind="erase", subject=KEY)
    assert again.state == "failed" and again.states["find"] == "failed"
    assert "Nobody with this key is in app; erased by request" in again.xcom("find", "problem")["error"]


def assert_nowhere(site: Site, run: Run, said: str) -> None:
    """The person's key and address: in no log, XCom, message, record, nor in the bucket outside of the export."""
    kept = json.dumps([run.xcoms(), site.ledger("select * from pgops.subject_requests")], default=str)
    outside = "".join(
        f"{key} {body.decode()}" for key, body in site.objects().items() if "/subjects/" not in key
    )  # fmt: skip
    told = " ".join(shown(message) for message in site.stand.inbox.messages())
    for text in (kept, outside, told, said, " ".join(site.objects())):
        assert str(KEY) not in text and MAIL not in text


def test_a_variable_instead_of_a_param_is_removed_when_it_has_served(person):
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session
    from sqlalchemy import select

    Variable.set("the_person", str(KEY))
    run = request(person, kind="erase", subject_variable="the_person")
    assert run.state == "success", run.states
    assert rows(person) == [(0, 0)]
    with create_session() as session:
        assert session.scalar(select(Variable).filter_by(key="the_person")) is None


@pytest.mark.parametrize(
    ("conf", "said"),
    [
        ({}, "one of the two"),
        ({"subject": "1", "subject_variable": "x"}, "one of the two"),
        ({"subject_variable": "no_such_variable"}, "There is no Airflow variable 'no_such_variable'"),
        ({"subject": "1; DROP TABLE users"}, "The subject's key is no bigint"),
        ({"subject": "424242424242"}, "Nobody with this key is in app"),
    ],
    ids=["none", "both", "no variable", "SQL", "nobody"],
)
def test_a_request_that_cannot_be_is_refused_before_anything_is_touched(person, conf, said):
    run = request(person, kind="erase", **conf)
    assert run.state == "failed" and run.states["find"] == "failed"
    assert said in run.xcom("find", "problem")["error"]
    assert rows(person) == [(1, 3)] and not [key for key in person.objects() if "tombstone" in key]
    assert "DROP" not in json.dumps(run.xcoms(), default=str)


@pytest.mark.parametrize(
    ("approver", "step", "said"),
    [
        ("nobody", "approve_erasure", "nobody rejected it"),
        ("eve", "approve_erasure", "eve may not approve what"),
        (None, "tombstone", "Nobody has approved this erasure"),
    ],
    ids=["rejected", "not an approver", "marked as success"],
)
def test_without_an_approval_nothing_goes(person, approver, step, said):
    run = request(person, approver, kind="erase", subject=KEY)
    assert run.state == "failed" and run.states[step] == "failed" and run.states["erase"] != "success"
    assert said in run.xcom(step, "problem")["error"]
    assert rows(person) == [(1, 3)] and not [key for key in person.objects() if "tombstone" in key]
    ((_, state, _, _),) = ledger(person)
    assert state == "refused"
    assert person.messages()


def test_an_erasure_that_fails_half_way_goes_on_when_it_is_repaired(person):
    postgres = person.stand.postgres
    postgres.execute(
        "create function hold() returns trigger language plpgsql as $$ begin raise exception '%', old; end $$;"
        "create trigger hold before delete on users for each row execute function hold()",
        "app",
    )
    try:
        run = request(person, kind="erase", subject=KEY)
        assert run.state == "failed" and run.states["erase"] == "failed"
        error = run.xcom("erase", "problem")["error"]
        assert "RaiseException" in error and MAIL not in error and str(KEY) not in error
        assert ledger(person)[0][1] == "failed" and rows(person) == [(1, 0)]
    finally:
        postgres.execute("drop function hold cascade", "app")
    assert request(person, kind="erase", subject=KEY).state == "success"
    assert rows(person) == [(0, 0)]


def test_who_was_erased_does_not_come_back_with_a_restore(person):
    assert request(person, kind="erase", subject=KEY).state == "success"
    person.stand.postgres.execute(
        f"insert into users (id, email, name) overriding system value values ({KEY}, '{MAIL}', 'Somebody')", "app"
    )
    fleet = load_fleet()
    policy = resources.privacy_policy(fleet.database("app"))
    bucket = resources.bucket(fleet.checked_settings())
    done = replay(resources.dsn(policy.connection), bucket, "app", policy, resources.privacy_secrets(policy))
    assert len(done.erased) == 1 and rows(person) == [(0, 0)]


def test_who_was_erased_is_not_in_a_template_for_migrations_that_is_made_of_an_older_backup(person):
    person.back_up("app")
    assert request(person, kind="erase", subject=KEY).state == "success"
    with servers.running_postgres(servers.MAJORS[0]) as copies:  # never the source's own server
        copies.execute((ROLES / "drill.sql").read_text(), "template1")
        copies.execute(f"alter role pgops_drill password '{person.stand.connections['pg_drill'].password}'")
        person.connect("pg_drill", port=copies.port, host="127.0.0.1")
        golden = GoldenCopyOperator(task_id="golden_copy", database="app")
        golden.execute({"params": {"refresh": False}})
        copies.execute("alter database pgops_golden_app allow_connections true")
        found = f"select count(*), count(*) filter (where id = {KEY}) from users"
        ((people, erased),) = copies.execute(found, "pgops_golden_app")
    assert people > 0 and erased == 0


def test_without_the_secret_of_that_time_no_template_is_made(person):
    person.back_up("app")
    assert request(person, kind="erase", subject=KEY).state == "success"
    person.connect("pgops_privacy", password="another secret that is long enough")
    fleet = load_fleet()
    settings, as_of = fleet.checked_settings(), datetime.now(UTC) - timedelta(hours=1)
    with pytest.raises(Refused, match="another secret"):
        replay_tombstones(settings, fleet.database("app"), person.dsn("pg_app_owner"), as_of)
    del person.document["databases"][0]["privacy"]
    person.fleet()
    with pytest.raises(Refused, match="no privacy policy any more"):
        replay_tombstones(settings, load_fleet().database("app"), person.dsn("pg_app_owner"), as_of)


def test_the_command_for_a_restore_by_hand_erases_again_and_needs_no_airflow(person):
    as_of = datetime.now(UTC).isoformat()
    assert request(person, kind="erase", subject=KEY).state == "success"
    postgres, s3 = person.stand.postgres, person.stand.s3
    postgres.execute(
        f"insert into users (id, email, name) overriding system value values ({KEY}, '{MAIL}', 'Somebody')", "app"
    )
    owner = person.stand.connections["pg_app_owner"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW")} | {
        "PYTHONPATH": str(ROOT / "plugins"),
        "PGOPS_FLEET": str(person.fleet_file),
        "PGHOST": "127.0.0.1",
        "PGPORT": str(postgres.port),
        "PGUSER": str(owner.login),
        "PGPASSWORD": str(owner.password),
        "AWS_ENDPOINT_URL_S3": s3.endpoint,
        "AWS_ACCESS_KEY_ID": servers.ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": servers.SECRET_KEY,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    command = [sys.executable, "-m", "pgops.privacy.after_restore", "app", "app", "--as-of", as_of]
    refused = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert refused.returncode == 1 and "PGOPS_PRIVACY_SECRETS" in refused.stderr and rows(person) == [(1, 0)]
    environment["PGOPS_PRIVACY_SECRETS"] = f"one that came after it, long enough\n{_secret(person)}"
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "1 tombstones" in done.stdout and "1 persons were erased again" in done.stdout
    assert rows(person) == [(0, 0)] and str(KEY) not in done.stdout + done.stderr


def _secret(site: Site) -> str:
    return str(site.stand.connections["pgops_privacy"].password)


def test_backups_that_still_hold_the_person_are_listed_with_their_end(person):
    manifest = person.back_up("app")
    run = request(person, kind="erase", subject=KEY)
    assert run.state == "success", run.states
    assert any(line.startswith(f"backup {manifest.backup_id}, until 20") for line in run.xcom("report")["holders"])
