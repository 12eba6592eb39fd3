"""A table's months made, retired, brought back, and searched for one person, by the sandbox's own Airflow."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from pgops.partitions.manifest import Archive, archives_of
from tests.inbox import shown

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]
HISTORY = "user_preferences_history"
OLD = (f"{HISTORY}_2023_05", f"{HISTORY}_2023_06")
OTHERS = 200  # rows of other people in each old month
MAIL = "somebody.erasable@example.com"
OLD_MONTHS = f"""
DO $$
DECLARE
    month date;
BEGIN
    FOREACH month IN ARRAY '{{2023-05-01,2023-06-01}}'::date[] LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF {HISTORY} FOR VALUES FROM (%L) TO (%L)',
            to_char(month, '"{HISTORY}_"YYYY_MM'), month || ' 00:00Z', (month + interval '1 month')::date || ' 00:00Z');
        EXECUTE format('ALTER TABLE %I OWNER TO %I', to_char(month, '"{HISTORY}_"YYYY_MM'),
            (SELECT relowner::regrole::text FROM pg_class WHERE oid = '{HISTORY}'::regclass));
        INSERT INTO {HISTORY} (user_id, preferences, changed_at)
        SELECT CASE WHEN n <= 3 THEN (SELECT id FROM users WHERE email = '{MAIL}') ELSE -n END, '{{}}',
               month + n * interval '1 hour' + interval '1 day'
          FROM generate_series(1, {OTHERS + 3}) AS n;
    END LOOP;
END
$$;
"""
OWNED = """
DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT oid::regclass FROM pg_class WHERE relname ~ '^user_preferences' AND relkind IN ('r', 'p') LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO pgops_migrate', name);
    END LOOP;
END
$$;
"""


def app(house, statement: str) -> list[tuple[Any, ...]]:
    return list(house.parts.servers.primary.execute(statement, "app"))


@pytest.fixture(scope="module")
def site(house) -> Iterator[Any]:
    """The sandbox with the preferences of V001, two months that are too old, and a policy that lets them go at once."""
    deployed = app(house, f"select to_regclass('{HISTORY}') is not null") == [(True,)]
    version = house.include / "migrations" / "app" / "V001__create_user_preferences"
    if not deployed:  # as migration_deploy does; test_migrations.py deploys it with all that belongs to it
        for part in version.with_suffix(".sql").read_text().split("-- pgops: autocommit"):
            app(house, part)
        app(house, OWNED)
    fleet = deepcopy(house.fleet)
    (policy,) = fleet["databases"][0]["partitions"]["tables"]
    policy |= {"grace_days": 0, "premake": 18}
    house.write_fleet(fleet)
    app(house, f"insert into users (email, name) values ('{MAIL}', 'Somebody')")
    person = f"(select id from users where email = '{MAIL}')"
    app(house, f"insert into orders (user_id, status, total_amount) values ({person}, 'paid', 1)")
    app(house, f'insert into user_preferences (user_id, preferences) values ({person}, \'{{"theme": "dark"}}\')')
    app(house, OLD_MONTHS)
    yield house
    house.write_fleet(house.fleet)
    if not deployed:
        app(house, version.with_suffix(".rollback.sql").read_text())


def archives(house) -> dict[str, Archive]:
    return {one.name: one for one in archives_of(house.catalog("app").bucket, "app", f"public.{HISTORY}")}


def readable(house, archive: Archive) -> list[dict[str, str]]:
    """The rows as anybody can read them: with gzip and a CSV reader."""
    bucket = house.catalog("app").bucket
    keys = [f"{archive.folder(bucket)}/{stored.key}" for stored in archive.readable.objects]
    return list(csv.DictReader(io.StringIO(gzip.decompress(bucket.open(keys).read()).decode())))


def test_months_are_kept_ahead_retired_with_proof_brought_back_and_cleared_of_one_person(site):
    ((person,),) = app(site, f"select id from users where email = '{MAIL}'")

    # --- kept ahead, and the old months are in the bucket ---
    code, line = site.run("partition_maintenance")
    assert code == 0, line
    ((ahead,),) = app(
        site,
        f"select count(*) from pg_inherits where inhparent = '{HISTORY}'::regclass"
        " and inhrelid::regclass::text = '" + HISTORY + "_' || to_char(now() + interval '18 months', 'YYYY_MM')",
    )
    assert ahead == 1
    for name in OLD:
        assert app(site, f"select to_regclass('{name}')") == [(None,)]
        archive = archives(site)[name]
        assert archive.proof is not None and archive.rows == OTHERS + 3
        assert len(readable(site, archive)) == OTHERS + 3
    states = site.ledger("select name, state from pgops.partition_states where database = 'app'")
    assert {(name, "dropped") for name in OLD} <= set(states)

    # --- one is brought back, and compared with its archive before it got its name ---
    code, line = site.run("partition_restore", database="app", table=f"public.{HISTORY}", partition=OLD[0])
    assert code == 0, line
    copy = f"archive_restore.{OLD[0]}_restored"
    kept = {(row["id"], row["user_id"], row["changed_at"]) for row in readable(site, archives(site)[OLD[0]])}
    found = app(site, f"set timezone = 'UTC'; select id::text, user_id::text, changed_at::text from {copy}")
    assert set(found) == kept

    # --- one person: exported, approved by a second user, erased, and nowhere to be found ---
    conf = json.dumps({"database": "app", "kind": "erase", "subject": person})
    done = site.dev("run", "data_subject_request", "--approve", "--conf", conf)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout.splitlines()[-1])["result"]
    assert result["state"] == "erased" and "answered: Approve" in done.stdout
    assert result["erased"]["deleted"]["public.orders"] == 1 and sum(result["erased"]["archives"].values()) == 6
    exported = _exported(site, result["export"]["folder"])
    assert sum(text.count(str(person)) for name, text in exported.items() if "/archives/" in name) >= 6
    assert any(name.endswith("public.users.json") and MAIL in text for name, text in exported.items())
    ((by, approver),) = site.ledger(
        f"select requested_by, approved_by from pgops.subject_requests where id = '{result['request']}'"
    )
    assert (by, approver) == ("admin", "op")
    for table in (HISTORY, "user_preferences", "orders", copy):
        assert app(site, f"select count(*) from {table} where user_id = {person}") == [(0,)]
    assert app(site, f"select count(*) from users where id = {person}") == [(0,)]
    for name in OLD:
        archive = archives(site)[name]
        assert archive.proof is not None and archive.rows == OTHERS
        rows = readable(site, archive)
        assert len(rows) == OTHERS and str(person) not in {row["user_id"] for row in rows}
    assert MAIL not in "".join(shown(message) for message in site.messages())

    # --- who asks again is told that there is nobody, and when they went ---
    again = site.dev("run", "data_subject_request", "--conf", conf)
    assert again.returncode == 1
    result = json.loads(again.stdout.splitlines()[-1])
    assert result["tasks"]["find"] == "failed", result


def _exported(house, folder: str) -> dict[str, str]:
    bucket = house.catalog("app").bucket
    below = folder.removeprefix(f"s3://{bucket.name}/") + "/"
    return {info.key: bucket.open([info.key]).read().decode() for info in bucket.objects(below)}
