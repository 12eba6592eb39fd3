"""An export is complete, readable, of one moment, and there only when it is whole."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sys
import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest

from pgops.privacy import export, find_export, identify, read_map, remove_expired_exports

MODULE = sys.modules["pgops.privacy.export"]
ID = "20260101T000000Z-abcdef"
ODD = 'a "quoted", text\nwith a second line; ünï 🐘'


def exported(dsn, bucket, policy, request_id=ID, days=30, archives=None):
    mapped = read_map(dsn, "app", policy)
    person = identify(dsn, mapped, "7")
    facts = {"request_id": request_id, "subject_hash": "h", "days": days, "archives": archives}
    return export(dsn, bucket, mapped, person, **facts)


def text(bucket, stored):
    return b"".join(bucket.open([one.key]).read() for one in stored).decode()


def test_every_row_is_there_as_json_and_as_csv(shop, bucket, policy, execute):
    execute(shop, f"UPDATE users SET email = $${ODD}$$ WHERE id = 7; UPDATE events SET what = '' WHERE user_id = 7")
    made = exported(shop, bucket, policy())
    by_table = {one.table: one for one in made.tables}
    assert {name: one.rows for name, one in by_table.items() if one.rows} == {
        "public.users": 1, "public.orders": 2, "public.items": 6, 'Odd "schema.ta ble': 2, "public.comments": 4,
        "public.events": 2, "public.history": 1, "public.history_1": 1,
    }  # fmt: skip
    for one in made.tables:
        rows = json.loads(text(bucket, one.json))
        lines = list(csv.DictReader(io.StringIO(text(bucket, one.csv))))
        assert len(rows) == len(lines) == one.rows
        assert [list(row) for row in rows] == [list(line) for line in lines]
    assert json.loads(text(bucket, by_table["public.users"].json)) == [
        {"id": 7, "tenant": 1, "email": ODD, "manager_id": None}
    ]
    (line,) = csv.DictReader(io.StringIO(text(bucket, by_table["public.users"].csv)))
    assert line["email"] == ODD
    assert '"7","2026-01-05",""' in text(bucket, by_table["public.events"].csv), "empty is not missing"


def test_the_manifest_names_every_object_with_its_hash_and_no_person(one_shop, bucket, policy):
    made = exported(one_shop, bucket, policy())
    assert find_export(bucket, "app", made.request_id) == made
    folder = bucket.key("app", "subjects", made.request_id) + "/"
    there = {info.key for info in bucket.objects(folder)}
    stored = [one for table in made.tables for one in (*table.json, *table.csv)] + [made.readme]
    assert there == {one.key for one in stored} | {folder + "manifest.json"}
    for one in stored:
        body = bucket.open([one.key]).read()
        assert (len(body), hashlib.sha256(body).hexdigest()) == (one.bytes, one.sha256)
    assert "seven@" not in bucket.open([folder + "manifest.json"]).read().decode()
    readme = bucket.open([made.readme.key]).read().decode()
    assert "public.orders" in readme and "Your data" in readme


def test_an_export_that_exists_stays_as_it_is(one_shop, bucket, policy, execute):
    first = exported(one_shop, bucket, policy())
    execute(one_shop, "TRUNCATE users CASCADE")
    assert exported(one_shop, bucket, policy()) == first


def test_it_is_of_one_moment(one_shop, bucket, policy, execute, monkeypatch):
    whole = MODULE._export_table

    def meanwhile(*args):
        found = whole(*args)
        execute(one_shop, "UPDATE orders SET last_item = NULL; DELETE FROM comments; DELETE FROM items")
        return found

    monkeypatch.setattr(MODULE, "_export_table", meanwhile)
    made = exported(one_shop, bucket, policy())
    assert {one.table: one.rows for one in made.tables}["public.items"] == 6


def test_without_its_manifest_there_is_no_export_and_a_second_try_makes_it(one_shop, bucket, policy, monkeypatch):
    def dies(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(MODULE, "_read_back", dies)
        with pytest.raises(KeyboardInterrupt):
            exported(one_shop, bucket, policy())
    assert find_export(bucket, "app", ID) is None
    assert exported(one_shop, bucket, policy()).rows == 19


def test_an_export_goes_when_its_time_is_over(one_shop, bucket, policy):
    exported(one_shop, bucket, policy(), "20260101T000000Z-aaaaaa", days=1)
    exported(one_shop, bucket, policy(), "20260101T000000Z-bbbbbb", days=30)
    later = datetime.now(UTC) + timedelta(days=2)
    assert remove_expired_exports(bucket, "app", later) == ("20260101T000000Z-aaaaaa",)
    left = {info.key.split("/subjects/")[1].split("/")[0] for info in bucket.objects(bucket.key("app", "subjects"))}
    assert left == {"20260101T000000Z-bbbbbb"}
    assert remove_expired_exports(bucket, "app", later) == ()


def test_an_export_that_nobody_brought_to_an_end_goes_too(one_shop, bucket, policy):
    made = exported(one_shop, bucket, policy())
    bucket.delete([f"{made.folder}/manifest.json"])
    now = datetime.now(UTC)
    assert remove_expired_exports(bucket, "app", now + timedelta(days=6)) == ()
    assert remove_expired_exports(bucket, "app", now + timedelta(days=8)) == (ID,)
    assert not list(bucket.objects(made.folder))


@pytest.mark.slow
def test_a_big_export_does_not_stay_in_memory(database, bucket, policy, execute):
    execute(
        database,
        "CREATE TABLE users (id bigint PRIMARY KEY); INSERT INTO users VALUES (7);"
        "CREATE TABLE prefs (user_id bigint REFERENCES users (id), what text);"
        "INSERT INTO prefs SELECT 7, repeat('x', 1000) FROM generate_series(1, 100000)",
    )
    tracemalloc.start()
    made = exported(database, bucket, policy(tables=[]))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    size = sum(one.bytes for table in made.tables for one in (*table.json, *table.csv))
    assert made.rows == 100_001 and size > 190 << 20 and peak < 90 << 20, f"{peak >> 20} MiB"
