"""What lies in the bucket is what was in the table, or it does not count."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg2
import pytest

from pgops.catalog import NotProven
from pgops.errors import PgOpsError, Refused
from pgops.ledger import Ledger
from pgops.partitions.archive import Subject, archive, verify
from pgops.partitions.manifest import Archive, archives_of, discard_unproven, finish_rewrites, read_archive
from pgops.partitions.place import Place
from pgops.partitions.retire import advance
from pgops.partitions.rewrite import Counted, Rewritten, RowsOf, count_rows, export_rows, rewrite_archive
from pgops.postgres import Dsn
from pgops.storage import Bucket, Reader, StorageError
from tests import servers
from tests.partitions.retirements import EVENTS, NO_GRACE, POLICY, content, forget, killed, oid_of, place, run

LONG = "ä" * 31 + "x"  # 63 bytes
ODD = f"""
CREATE SCHEMA "Odd ""schema";
CREATE TYPE "Odd ""schema".mood AS ENUM ('glad', 'it''s "so"');
CREATE DOMAIN "Odd ""schema".moody AS "Odd ""schema".mood;
CREATE DOMAIN "Odd ""schema".short AS varchar(20) CHECK (VALUE <> '');
CREATE TYPE "Odd ""schema".pair AS (a int, b text);
CREATE TABLE "Odd ""schema"."All/of it" (
    gone int, "the ""key" timestamptz NOT NULL, gone_too text,
    j json, jb jsonb, p point, m "Odd ""schema".mood, ms "Odd ""schema".mood[], d "Odd ""schema".moody,
    s "Odd ""schema".short, r "Odd ""schema".pair, rel regclass, x xml, b bytea, n numeric, f float8, i interval,
    c char(5), v varchar(7), t text, ts timestamp, tz timetz, u uuid, a int[], rng tstzrange, net inet, bits bit(3),
    twice int GENERATED ALWAYS AS (2 * coalesce(array_length(a, 1), 0)) STORED, lots "char", mo money
) PARTITION BY RANGE ("the ""key");
ALTER TABLE "Odd ""schema"."All/of it" DROP COLUMN gone, DROP COLUMN gone_too;
CREATE TABLE "Odd ""schema"."{LONG}" PARTITION OF "Odd ""schema"."All/of it"
 FOR VALUES FROM (MINVALUE) TO ('2024-02-01 00:00:00+00');
INSERT INTO "Odd ""schema"."All/of it" VALUES
 ('2024-01-01 10:00:00.123456+00', '{{"a" :  1, "a": 2}}', '{{"b": null}}', '(1.1,-2e-300)', 'it''s "so"',
  '{{glad,"it''s \\"so\\""}}', 'glad', 'häß', ROW(1, 'x,"y'), 'pg_class', '<a> b</a>', '\\x00ff', 'NaN', '-Infinity',
  '1 year -2 days 00:00:00.5', 'ab', 'v', E'a\\n\\\\.\\n"b",\\t\\r\\n', '2024-01-01', '10:00:00+05:30',
  '00000000-0000-0000-0000-000000000001', '{{1,NULL,3}}', '[2024-01-01 00:00:00+00,)', '::1', '101', DEFAULT, 'q',
  12.34),
 ('2024-01-02 10:00:00+00', 'null', 'null', NULL, NULL, '{{}}', NULL, NULL, ROW(NULL, NULL), NULL, NULL, '', '1.00',
  '0.1', '0', '', '', '', 'infinity', '00:00:00+00', NULL, '{{}}', 'empty', '10.0.0.0/8', '000', DEFAULT, '', -1),
 ('2024-01-03 10:00:00+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
  NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, DEFAULT, NULL, NULL);
"""


def subject_of(dsn: Dsn, table: str = "events_old", parent: str = "events") -> Subject:
    ((bound,),) = run(
        dsn, "SET timezone = 'UTC'; SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = %s", table
    )
    return Subject(oid_of(dsn, table), "public", table, "public", parent, bound)


@pytest.fixture
def here(database: Dsn, bucket: Bucket, ledger: Ledger) -> Place:
    run(database, EVENTS)
    forget(ledger)
    return place(database, bucket, ledger)


def archived(here: Place) -> Archive:
    draft = archive(here.bucket, "app", here.source, subject_of(here.source), "test")
    return verify(here.bucket, draft, here.scratch)


def test_every_type_and_every_name_is_proven_in_both_formats(
    each_database: Dsn, bucket: Bucket, ledger: Ledger
) -> None:
    try:
        run(each_database, ODD)
    except psycopg2.errors.FeatureNotSupported:  # a server that was built without XML
        run(each_database, ODD.replace("'<a> b</a>'", "NULL"))
    forget(ledger)
    at = place(each_database, bucket, ledger)
    ((oid,),) = run(each_database, "SELECT oid::bigint FROM pg_class WHERE relname = %s", LONG)
    told = advance(at, oid, NO_GRACE)
    assert (told.state, told.rows) == ("dropped", 3)
    (one,) = archives_of(bucket, "app")
    assert (one.name, one.parent_name) == (LONG, "All/of it")
    assert (one.exact.format, one.readable.format) == ("text", "text")
    generated = {column.name: column.generated for column in one.columns if column.generated}
    assert list(generated) == ["twice"]
    assert 'CREATE TABLE "Odd ""schema"."' + LONG in one.ddl


def test_an_empty_partition_is_an_archive_too(here: Place) -> None:
    told = advance(here, oid_of(here.source, "events_new"), NO_GRACE)
    assert (told.state, told.rows) == ("dropped", 0)


def test_the_readable_format_can_be_read_with_nothing_but_a_csv_reader(here: Place) -> None:
    one = archived(here)
    body = here.bucket.open([f"{one.folder(here.bucket)}/{data.key}" for data in one.readable.objects]).read()
    rows = list(csv.DictReader(io.StringIO(gzip.decompress(body).decode(), newline="")))
    assert len(rows) == 1000
    assert rows[2]["what"] == 'what 3\n,"' and rows[2]["amount"] == "1.00" and rows[2]["at"] == "2024-01-01 00:03:00+00"


def test_a_line_that_would_end_the_csv_makes_the_readable_format_the_text_one(here: Place) -> None:
    assert archived(here).readable.format == "csv"
    run(here.source, "UPDATE events SET what = E'a\\n\\\\.\\nb' WHERE id = 900")
    one = archived(here)
    assert one.readable.format == "text"
    keys = [info.key.rsplit("/", 1)[1] for info in here.bucket.objects(one.folder(here.bucket) + "/")]
    assert sorted(keys) == ["exact.zst", "manifest.json", "readable.txt.gz"]


def test_the_exact_format_is_binary_where_that_can_be_read_anywhere(here: Place) -> None:
    run(here.source, "CREATE TYPE mood AS ENUM ('glad'); ALTER TABLE events ADD COLUMN m mood DEFAULT 'glad'")
    assert archived(here).exact.format == "binary"


@pytest.mark.parametrize("form", ["exact", "readable"])
@pytest.mark.parametrize("how", ["a flipped bit", "cut off", "gone", "another's"])
def test_a_damaged_archive_is_never_proven_and_never_lets_a_table_go(here: Place, form: str, how: str) -> None:
    draft = archive(here.bucket, "app", here.source, subject_of(here.source), "test")
    data = getattr(draft, form)
    key = f"{draft.folder(here.bucket)}/{data.objects[0].key}"
    body = bytearray(here.bucket.open([key]).read())
    if how == "gone":
        here.bucket.delete([key])
    else:
        if how == "a flipped bit":
            body[len(body) // 2] ^= 1
        elif how == "cut off":
            del body[-100:]
        else:
            run(here.source, "UPDATE events SET what = 'other' WHERE id = 7")
            other = archive(here.bucket, "app", here.source, subject_of(here.source), "test")
            body[:] = here.bucket.open([f"{other.folder(here.bucket)}/{getattr(other, form).objects[0].key}"]).read()
        here.bucket.put(key, bytes(body), "application/octet-stream")
    with pytest.raises((NotProven, StorageError)):
        verify(here.bucket, draft, here.scratch)
    assert archives_of(here.bucket, "app") == ()
    assert run(here.source, "SELECT count(*) FROM pg_database WHERE datname LIKE 'pgops_partition_%'") == [(0,)]


@pytest.mark.parametrize("form", ["exact", "readable"])
def test_other_rows_with_right_hashes_of_the_objects_are_found_by_the_comparison(here: Place, form: str) -> None:
    draft = archive(here.bucket, "app", here.source, subject_of(here.source), "test")
    run(here.source, "UPDATE events SET what = 'other' WHERE id = 7")
    other = archive(here.bucket, "app", here.source, subject_of(here.source), "test")
    with pytest.raises(NotProven, match=f"The {form} archive of .* holds 1000 rows"):
        verify(here.bucket, replace(other, **{form: other_data(here, other, draft, form)}), here.scratch)


def other_data(here: Place, to: Archive, of: Archive, form: str) -> Any:
    data = getattr(of, form)
    for stored in data.objects:
        body = here.bucket.open([f"{of.folder(here.bucket)}/{stored.key}"]).read()
        here.bucket.put(f"{to.folder(here.bucket)}/{stored.key}", body, "application/octet-stream")
    return data


def test_a_damaged_draft_is_made_anew_by_the_next_run(here: Place) -> None:
    oid = oid_of(here.source, "events_old")
    assert killed(here, oid, "verify", 1, False) == -9
    (key,) = [info.key for info in here.bucket.objects(here.bucket.key("app")) if "exact" in info.key]
    here.bucket.put(key, b"damaged", "application/octet-stream")
    with pytest.raises(NotProven):
        advance(here, oid, NO_GRACE)
    assert content(here.source, "events_old")
    assert advance(here, oid, NO_GRACE).state == "dropped"


class Breaking(Bucket):
    """A bucket whose server is killed in the middle of an upload."""

    def upload(self, key: str, source: Reader, storage_class: str = "") -> Any:
        return super().upload(key, Killing(source, self.kill) if "exact" in key else source, storage_class)

    kill: Callable[[], None]


class Killing:
    def __init__(self, source: Reader, kill: Callable[[], None]) -> None:
        self._source, self._kill, self._reads = source, kill, 0

    def read(self, size: int = -1, /) -> bytes:
        self._reads += 1
        if self._reads == 2:
            self._kill()
        return self._source.read(size)


def test_a_store_that_dies_in_the_middle_loses_nothing_and_the_next_run_ends_it(database: Dsn, ledger: Ledger) -> None:
    run(database, EVENTS)
    forget(ledger)
    with servers.running_s3() as s3:
        client = servers.s3_client(s3.endpoint, attempts=1)
        client.create_bucket(Bucket="breaks")
        broken = Breaking(client, "breaks")
        broken.kill = s3.kill
        at = place(database, broken, ledger)
        oid = oid_of(database, "events_old")
        with pytest.raises(StorageError):
            advance(at, oid, NO_GRACE)
        assert run(database, "SELECT count(*) FROM events_old") == [(1000,)]
        s3.start()
        told = advance(replace(at, bucket=Bucket(client, "breaks")), oid, NO_GRACE)
        assert told.state == "dropped"
        assert len(archives_of(at.bucket, "app")) == 1


def test_no_space_and_no_right_on_the_scratch_server_leave_the_table_alone(here: Place) -> None:
    run(here.source, "DROP ROLE IF EXISTS poor; CREATE ROLE poor LOGIN PASSWORD 'p'")
    poor = replace(here, scratch=replace(here.scratch, user="poor", password="p"))
    with pytest.raises(PgOpsError):
        advance(poor, oid_of(here.source, "events_old"), NO_GRACE)
    assert run(here.source, "SELECT count(*) FROM events_old") == [(1000,)]


# --- rewriting ---


def test_an_archive_is_rewritten_without_one_persons_rows_and_the_old_one_is_gone(here: Place) -> None:
    before = archived(here)
    after = rewrite_archive(here.bucket, before, here.scratch, RowsOf(("id",), "7"), "test").archive
    assert (after.rows, after.replaces, after.proof is not None) == (999, before.archive_id, True)
    assert archives_of(here.bucket, "app") == (after,)
    assert not list(here.bucket.objects(before.folder(here.bucket) + "/"))
    run(here.source, "DELETE FROM events WHERE id = 7")
    advance(here, oid_of(here.source, "events_old"), POLICY)
    assert archives_of(here.bucket, "app") == (after,), "it holds what the table holds"


def test_an_archive_without_the_person_stays_as_it_is(here: Place) -> None:
    before = archived(here)
    for column, value in (("id", "70000"), ("what", "x' OR true --"), ("id", "no number"), ("id", "9" * 30)):
        kept = rewrite_archive(here.bucket, before, here.scratch, RowsOf((column,), value), "test")
        assert kept.archive == before and kept.rows == 0
    with pytest.raises(Refused, match="no column"):
        rewrite_archive(here.bucket, before, here.scratch, RowsOf(("id OR true",), "1"), "test")


def test_a_persons_rows_of_an_archive_are_counted_and_written_out_for_them_alone(here: Place) -> None:
    before = archived(here)
    wanted = RowsOf(("id", "what", "not there"), "7")
    assert count_rows(here.bucket, before, here.scratch, wanted) == Counted(1, 1)
    key = here.bucket.key("app", "subjects", "r", "archives", "events_old.csv")
    (written,) = export_rows(here.bucket, before, here.scratch, wanted, key)
    (row,) = csv.DictReader(io.StringIO(here.bucket.open([written.key]).read().decode()))
    assert row["id"] == "7" and row["what"] == 'what 7\n,"'
    assert export_rows(here.bucket, before, here.scratch, RowsOf(("id",), "70000"), key + "2") == ()
    assert archives_of(here.bucket, "app") == (before,)


def test_rows_that_stay_by_policy_are_changed_in_the_archive_as_in_the_table(here: Place) -> None:
    wanted = RowsOf(("id",), "7", {"what": "'gone'", "amount": ""})
    changed = rewrite_archive(here.bucket, archived(here), here.scratch, wanted, "test")
    assert (changed.rows, changed.archive.rows) == (1, 1000)
    assert count_rows(here.bucket, changed.archive, here.scratch, wanted) == Counted(1, 0)
    assert rewrite_archive(here.bucket, changed.archive, here.scratch, wanted, "test") == Rewritten(changed.archive, 0)
    unknown = RowsOf(("id",), "7", {"no such column": "1"})
    assert rewrite_archive(here.bucket, changed.archive, here.scratch, unknown, "test").rows == 0


@pytest.mark.parametrize(
    ("step", "call", "after"),
    [("upload", 1, False), ("upload", 1, True), ("write_manifest", 1, True), ("remove", 1, False), ("remove", 1, True)],
)
def test_a_rewrite_killed_half_way_is_ended_by_the_next_one_also_for_another_person(
    here: Place, step: str, call: int, after: bool
) -> None:
    before = archived(here)
    assert killed(here, 0, f"rewrite {step}", call, after) == -9
    for value in ("8", "7"):
        for one in archives_of(here.bucket, "app"):
            rewrite_archive(here.bucket, one, here.scratch, RowsOf(("id",), value), "test")
    finish_rewrites(here.bucket, "app")
    discard_unproven(here.bucket, "app")
    (last,) = archives_of(here.bucket, "app")
    assert last.rows == 998
    folder = last.folder(here.bucket) + "/"
    assert all(info.key.startswith(folder) for info in here.bucket.objects(here.bucket.key("app")))
    assert read_archive(here.bucket, before.folder(here.bucket)) is None
