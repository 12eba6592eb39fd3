"""One person goes, entirely, and nobody else: whatever triggers write, whoever locks, and wherever it is killed."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest

from pgops.errors import PgOpsError, Refused
from pgops.privacy import erase, identify, prove, read_map, search
from tests.privacy.conftest import everything
from tests.servers import dsn_facts, eventually

ROOT = Path(__file__).parents[2]


def erased(dsn, policy, key="7", **options):
    mapped = read_map(dsn, "app", policy)
    person = identify(dsn, mapped, key)
    done = erase(dsn, mapped, person, batch_rows=policy.batch_rows, **options)
    prove(dsn, mapped, person, [])
    return done


def rows_of(dsn, policy, key="7"):
    mapped = read_map(dsn, "app", policy)
    return search(dsn, mapped, identify(dsn, mapped, key)).rows


def test_everything_of_one_person_goes_and_nothing_of_another(shop, policy, execute):
    before = everything(execute, shop)
    done = erased(shop, policy())
    after = everything(execute, shop)
    assert rows_of(shop, policy()) == 0
    assert done.deleted["public.orders"] == 2 and done.deleted["public.items"] == 6
    gone = {table: sorted(set(before[table]) - set(after[table])) for table in before}
    assert gone.pop("users") == ["(7,1,seven@example.com,)", "(8,1,eight@example.com,7)"]
    assert execute(shop, "SELECT id, email, manager_id FROM users") == [(8, "eight@example.com", None)]
    assert execute(shop, "SELECT id FROM comments") == [(5,)]
    assert gone.pop("newsletter") == gone.pop("unrelated") == []
    assert all("8" not in row.split(",")[0] for rows in (gone["history_1"], gone["history_2"]) for row in rows)
    assert set(gone['"Odd ""schema"."ta ble"']) == {'(1,7,"{""a"": 1}")', "(,7,{})"}
    assert execute(shop, "SELECT count(*) FROM orders WHERE last_item IS NULL") == [(0,)]


def test_a_second_run_changes_nothing(shop, policy, execute):
    erased(shop, policy())
    before = everything(execute, shop)
    again = erased(shop, policy())
    assert (again.deleted, again.anonymised, again.unlinked) == ({}, {}, {})
    assert everything(execute, shop) == before


def test_rows_are_anonymised_where_the_policy_says_so(shop, policy, execute):
    tables = [
        {"table": "public.users", "action": "anonymise", "set": {"email": "'erased-' || id", "tenant": "9"}},
        {"table": "public.orders", "action": "keep", "reason": "tax"},
        {"table": 'Odd "schema.ta ble', "action": "anonymise", "set": {"note": "", "us er": ""}},
    ]
    execute(shop, 'ALTER TABLE "Odd ""schema"."ta ble" DROP CONSTRAINT "ta ble_te""nant_us er_fkey"')
    tables[2] |= {"column": "us er"}
    done = erased(shop, policy(*tables))
    assert done.anonymised == {"public.users": 1, 'Odd "schema.ta ble': 2}
    assert execute(shop, "SELECT email, tenant FROM users WHERE id = 7") == [("erased-7", 9)]
    assert execute(shop, "SELECT count(*) FROM orders WHERE user_id = 7") == [(2,)]
    assert execute(shop, "SELECT count(*) FROM items WHERE order_id IN (70, 71)") == [(6,)]
    assert execute(shop, 'SELECT count(*) FROM "Odd ""schema"."ta ble" WHERE note IS NULL') == [(2,)]


def test_history_that_triggers_write_during_the_erasure_goes_too(shop, policy, execute):
    execute(
        shop,
        "CREATE FUNCTION remember() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO public.history VALUES (OLD.user_id::text, 'deleted', '2026-02-09'); RETURN NULL; END $$;"
        "CREATE TRIGGER remember AFTER DELETE ON orders FOR EACH ROW EXECUTE FUNCTION remember()",
    )
    done = erased(shop, policy())
    assert done.passes > 1 and done.deleted["public.history"] == 3
    assert execute(shop, "SELECT count(*) FROM history WHERE user_id = '7'") == [(0,)]


@pytest.mark.parametrize(
    ("function", "table"),
    [
        ("RETURN NULL", "orders"),  # the row is not deleted
        ("INSERT INTO public.events VALUES (8, '2026-01-09', 'x'), (7, '2026-01-09', 'x'); RETURN OLD", "events"),
    ],
    ids=["keeps them", "writes new ones for ever"],
)
def test_a_trigger_that_holds_on_to_rows_is_an_error_and_no_endless_loop(one_shop, policy, execute, function, table):
    execute(
        one_shop,
        f"CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {function}; END $$;"
        f"CREATE TRIGGER hold BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION hold()",
    )
    with pytest.raises(PgOpsError):
        erased(one_shop, policy())


def test_a_value_that_never_comes_to_rest_is_an_error(one_shop, policy):
    restless = {"table": "public.users", "action": "anonymise", "set": {"email": "random()::text"}}
    with pytest.raises(PgOpsError, match=r"still there: \{'public\.users"):
        erased(one_shop, policy(restless))


@pytest.mark.parametrize(
    "wrong",
    [{"email": "no_function(1)"}, {"email": "'x'; DROP TABLE users"}, {"no_column": "1"}, {"tenant": "'text'"}],
    ids=["unknown", "two statements", "no column", "wrong type"],
)
def test_a_wrong_value_in_the_policy_is_found_before_anything_is_touched(one_shop, policy, execute, wrong):
    before = everything(execute, one_shop)
    with pytest.raises(PgOpsError):
        erased(one_shop, policy({"table": "public.users", "action": "anonymise", "set": wrong}))
    assert everything(execute, one_shop) == before


def test_rows_that_stay_in_the_way_refuse_the_erasure_before_anything_is_touched(one_shop, policy, execute):
    before = everything(execute, one_shop)
    with pytest.raises(Refused, match=r"rows of public\.orders stay"):
        erased(one_shop, policy({"table": "public.orders", "action": "keep", "reason": "tax"}))
    assert everything(execute, one_shop) == before


def test_a_reference_of_somebody_else_that_may_not_be_null_is_an_obstacle(one_shop, policy, execute):
    execute(one_shop, "UPDATE users SET manager_id = 7; ALTER TABLE users ALTER manager_id SET NOT NULL")
    mapped = read_map(one_shop, "app", policy())
    found = search(one_shop, mapped, identify(one_shop, mapped, "7"))
    assert len(found.obstacles) == 1 and "1 rows of public.users reference" in found.obstacles[0]


def test_a_locked_row_is_waited_for(one_shop, policy, execute):
    blocker = psycopg2.connect(**one_shop.parameters() | {"password": one_shop.password})
    with blocker.cursor() as cursor:
        cursor.execute("SELECT FROM orders WHERE id = 70 FOR UPDATE")
        waited = []

        def let_go(seconds: float) -> None:
            waited.append(seconds)
            blocker.rollback()

        assert erased(one_shop, policy(), pause=let_go).deleted["public.orders"] == 2
    blocker.close()
    assert waited, "the lock timeout was met"


def test_an_error_never_repeats_a_value_of_a_row(one_shop, policy, execute):
    execute(
        one_shop,
        "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " RAISE EXCEPTION 'no: %', OLD.email; END $$;"
        "CREATE TRIGGER tell BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION tell()",
    )
    with pytest.raises(PgOpsError, match="RaiseException") as raised:
        erased(one_shop, policy())
    assert "seven@" not in str(raised.value) and raised.value.__cause__ is None
    assert raised.value.__suppress_context__


def test_the_key_is_in_no_statement_that_the_server_shows(one_shop, policy, execute):
    execute(one_shop, "UPDATE users SET email = 'find-me@example.com' WHERE id = 7")
    by_mail = policy(key="email", tables=[])
    seen = []
    stop = threading.Event()

    def watch() -> None:
        # Not in one transaction: there pg_stat_activity stands still.
        with closing(psycopg2.connect(**one_shop.parameters() | {"password": one_shop.password})) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                while not stop.is_set():
                    cursor.execute("SELECT query FROM pg_stat_activity WHERE application_name = 'pgops.privacy'")
                    seen.extend(query for (query,) in cursor.fetchall())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        assert eventually(lambda: rows_of(one_shop, by_mail, "find-me@example.com") and len(set(seen)) > 1, 60)
    finally:
        stop.set()
        watcher.join()
    assert {query for query in seen if "find-me" in query} <= {query for query in seen if "set_config" in query}


def killed_when(dsn, policy, true) -> int:
    """Run an erasure in a process of its own and kill it as soon as something is true."""
    given = {"dsn": dsn_facts(dsn), "policy": policy.model_dump(mode="json"), "key": "7"}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.privacy.killed_erasure"],
        stdin=subprocess.PIPE, cwd=ROOT, env={"PYTHONPATH": "plugins:.", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(json.dumps(given).encode())
    process.stdin.close()
    try:
        assert eventually(lambda: true() or process.poll() is not None, 60)
    finally:
        process.kill()
        process.wait()
    return process.returncode


@pytest.mark.parametrize("table", ["comments", "items", "events"])
def test_killed_half_way_it_goes_on_where_it_was(one_shop, policy, execute, table):
    execute(
        one_shop,
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " PERFORM pg_sleep(0.3); RETURN OLD; END $$;"
        f"CREATE TRIGGER slow BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION slow()",
    )
    one_by_one = policy(batch_rows=1)
    whole = rows_of(one_shop, one_by_one)
    count = f"SELECT count(*) FROM {table}"
    ((before,),) = execute(one_shop, count)
    assert killed_when(one_shop, one_by_one, lambda: execute(one_shop, count)[0][0] < before) == -9
    alone = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgops.privacy'"
    assert eventually(lambda: execute(one_shop, alone) == [(0,)], 30)
    assert 0 < rows_of(one_shop, one_by_one) < whole
    erased(one_shop, one_by_one)
    assert rows_of(one_shop, one_by_one) == 0
    assert execute(one_shop, "SELECT count(*) FROM orders") == [(1,)]
    assert execute(one_shop, "SELECT count(*) FROM items") == [(3,)]


def test_row_security_that_hides_rows_is_an_error_and_no_proof(one_shop, policy, execute):
    execute(
        one_shop,
        "DROP ROLE IF EXISTS pgops_hidden; CREATE ROLE pgops_hidden LOGIN PASSWORD 'h-of-the-tests';"
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO pgops_hidden; ALTER TABLE events ENABLE ROW LEVEL SECURITY;"
        'GRANT USAGE ON SCHEMA "Odd ""schema" TO pgops_hidden;'
        'GRANT SELECT ON ALL TABLES IN SCHEMA "Odd ""schema" TO pgops_hidden',
    )
    hidden = replace(one_shop, user="pgops_hidden", password="h-of-the-tests")
    try:
        with pytest.raises(PgOpsError, match="42501"):
            rows_of(hidden, policy())
    finally:
        execute(one_shop, "DROP OWNED BY pgops_hidden; DROP ROLE pgops_hidden")


def test_a_partition_that_the_role_may_not_change_is_found_before_anything_is_touched(one_shop, policy, execute):
    execute(
        one_shop,
        "DROP ROLE IF EXISTS pgops_eraser; CREATE ROLE pgops_eraser LOGIN PASSWORD 'e-of-the-tests';"
        'GRANT USAGE ON SCHEMA "Odd ""schema" TO pgops_eraser;'
        'GRANT ALL ON ALL TABLES IN SCHEMA public, "Odd ""schema" TO pgops_eraser;'
        "REVOKE ALL ON events_2 FROM pgops_eraser",
    )
    before = everything(execute, one_shop)
    try:
        with pytest.raises(PgOpsError, match="permission denied for table events_2"):
            erased(replace(one_shop, user="pgops_eraser", password="e-of-the-tests"), policy())
        assert everything(execute, one_shop) == before
    finally:
        execute(one_shop, "DROP OWNED BY pgops_eraser; DROP ROLE pgops_eraser")


@pytest.mark.slow
def test_a_million_rows_go_in_batches(database, policy, execute):
    execute(
        database,
        "CREATE TABLE users (id bigint PRIMARY KEY); INSERT INTO users VALUES (7), (8);"
        "CREATE TABLE prefs (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
        " user_id bigint REFERENCES users (id), at timestamptz DEFAULT now(), what text);"
        "INSERT INTO prefs (user_id, what) SELECT 7, 'x' FROM generate_series(1, 1000000);"
        "INSERT INTO prefs (user_id, what) SELECT 8, 'x' FROM generate_series(1, 1000);"
        "CREATE INDEX ON prefs (user_id); ANALYZE",
    )
    started = time.monotonic()
    done = erased(database, policy(batch_rows=5_000, tables=[]))
    print(f"{done.deleted} in {time.monotonic() - started:.1f} s")
    assert done.deleted == {"public.prefs": 1_000_000, "public.users": 1}
    assert execute(database, "SELECT count(*) FROM prefs") == [(1000,)]
