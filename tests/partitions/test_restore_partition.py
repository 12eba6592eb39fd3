"""An archived partition comes back as it was, is compared before anybody sees it, and goes again in its time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest

from pgops.catalog import NotProven
from pgops.errors import PgOpsError, Refused
from pgops.ledger import Ledger
from pgops.ledger.partitions import partition_states
from pgops.partitions.manifest import Archive, archives_of
from pgops.partitions.place import Place
from pgops.partitions.restore import chosen_archives, drop_expired_copies, restore_attached, restore_beside
from pgops.partitions.retire import advance
from pgops.partitions.unfinished import unfinished
from pgops.postgres import Dsn
from pgops.storage import Bucket
from tests import servers
from tests.partitions.retirements import EVENTS, NO_GRACE, POLICY, content, forget, killed, later, oid_of, place, run
from tests.partitions.test_partition_archive import LONG, ODD


@pytest.fixture
def here(each_database: Dsn, bucket: Bucket, ledger: Ledger) -> Place:
    run(each_database, EVENTS)
    forget(ledger)
    return place(each_database, bucket, ledger)


def retired(here: Place, table: str = "events_old") -> Archive:
    assert advance(here, oid_of(here.source, table), NO_GRACE).state == "dropped"
    return next(one for one in archives_of(here.bucket, here.database) if one.name == table)


def test_a_dropped_partition_is_attached_again_with_every_row(here: Place) -> None:
    before = content(here.source, "events")
    one = retired(here)
    assert content(here.source, "events") == []
    told = restore_attached(here, one, later(3))
    assert (told.rows, told.attached, told.format) == (1000, True, "binary")
    assert content(here.source, "events") == before
    assert run(here.source, "SELECT count(*) FROM pg_tables WHERE schemaname = 'archive_restore'") == [(0,)]
    assert run(here.source, "SELECT relname FROM pg_class WHERE relname LIKE 'loading%'") == []
    assert run(
        here.source, "SELECT conname FROM pg_constraint WHERE conrelid = 'events_old'::regclass AND contype = 'p'"
    ) == [("events_old_pkey",)]
    assert run(here.source, "SELECT 1 FROM pg_constraint WHERE conname LIKE 'loading%'") == []


def test_a_restored_partition_is_left_alone_until_its_expiry_and_then_dropped_by_its_old_proof(here: Place) -> None:
    one = retired(here)
    restore_attached(here, one, later(3))
    oid = oid_of(here.source, "events_old")
    assert unfinished(here) == ()
    told = advance(here, oid, NO_GRACE)
    assert told.state == "restored" and "left alone until" in told.notes[0]
    assert run(here.source, "SELECT count(*) FROM events") == [(1000,)]
    told = advance(here, oid, NO_GRACE, later(3.1))
    assert (told.state, told.archive) == ("dropped", one.folder(here.bucket))
    assert archives_of(here.bucket, "app") == (one,)


def test_with_the_ledger_lost_the_restored_one_is_known_by_its_comment_and_proven_by_its_rows(here: Place) -> None:
    one = retired(here)
    restore_attached(here, one, later(3))
    forget(here.ledger)
    oid = oid_of(here.source, "events_old")
    assert advance(here, oid, NO_GRACE).state == "restored"
    assert advance(here, oid, NO_GRACE, later(3.1)).state == "dropped"
    assert archives_of(here.bucket, "app") == (one,)


def test_a_restored_partition_that_was_corrected_is_archived_again(here: Place) -> None:
    one = retired(here)
    restore_attached(here, one, later(3))
    run(here.source, "UPDATE events SET what = 'corrected' WHERE id = 3")
    assert one.proof is not None
    told = advance(here, oid_of(here.source, "events_old"), POLICY, one.proof.at + timedelta(days=7))
    assert told.state == "grace" and told.archive != one.folder(here.bucket)


@pytest.mark.parametrize(
    ("step", "after"), [("load", False), ("load", True), ("compare", True), ("note", True), ("attach", True)]
)
def test_killed_while_it_comes_back_it_is_there_whole_or_not_at_all_and_the_next_run_ends_it(
    here: Place, step: str, after: bool
) -> None:
    before = content(here.source, "events")
    one = retired(here)
    assert killed(here, 0, f"restore {step}", 1, after) == -9
    there = content(here.source, "events")
    assert there == (before if step == "attach" else [])
    if not there:
        assert restore_attached(here, one, later(3)).rows == 1000
    assert content(here.source, "events") == before
    assert run(here.source, "SELECT count(*) FROM pg_tables WHERE schemaname = 'archive_restore'") == [(0,)]
    for left in unfinished(here):  # the ledger knows of a table that is gone
        assert left.oid != oid_of(here.source, "events_old")
        advance(here, left.oid, NO_GRACE)
    assert unfinished(here) == ()
    assert advance(here, oid_of(here.source, "events_old"), NO_GRACE).state == "restored"


def test_a_copy_beside_shows_the_rows_and_is_dropped_after_its_expiry(here: Place) -> None:
    before = content(here.source, "events_old")
    one = retired(here)
    told = restore_beside(here, one, later(3))
    assert (told.schema, told.name, told.attached) == ("archive_restore", "events_old_restored", False)
    assert content(here.source, "archive_restore.events_old_restored") == before
    assert run(here.source, "SELECT count(*) FROM events") == [(0,)]
    with pytest.raises(Refused, match="already"):
        restore_beside(here, one, later(3))
    assert unfinished(here) == ()
    assert drop_expired_copies(here) == ()
    assert drop_expired_copies(here, later(3.1)) == ("archive_restore.events_old_restored",)
    assert run(here.source, "SELECT count(*) FROM pg_tables WHERE schemaname = 'archive_restore'") == [(0,)]


def test_nobody_else_can_look_at_a_copy(here: Place) -> None:
    one = retired(here)
    restore_beside(here, one, later(3))
    run(here.source, "DROP ROLE IF EXISTS somebody; CREATE ROLE somebody")
    granted = "has_schema_privilege('somebody', 'archive_restore', 'USAGE')"
    assert run(here.source, f"SELECT {granted}") == [(False,)]


def test_every_type_and_name_comes_back_attached_and_beside(each_database: Dsn, bucket: Bucket, ledger: Ledger) -> None:
    try:
        run(each_database, ODD)
    except psycopg2.errors.FeatureNotSupported:
        run(each_database, ODD.replace("'<a> b</a>'", "NULL"))
    forget(ledger)
    at = place(each_database, bucket, ledger)
    table = f'"Odd ""schema"."{LONG}"'
    before = content(each_database, table)
    advance(at, oid_of(each_database, table), NO_GRACE)
    (one,) = archives_of(bucket, "app")
    restore_attached(at, one, later(1))
    assert content(each_database, table) == before
    restore_beside(at, one, later(1))
    assert advance(at, oid_of(each_database, table), NO_GRACE, later(2)).state == "dropped"


def test_on_another_major_version_the_readable_format_is_used(
    postgres_of: Callable[[int], Any], bucket: Bucket, ledger: Ledger
) -> None:
    if len(servers.MAJORS) < 2:
        pytest.skip("only one major version is on this machine")
    old, new = (postgres_of(major) for major in sorted(servers.MAJORS))
    forget(ledger)
    with servers.fresh_database(old) as before, servers.fresh_database(new) as after:
        run(before, EVENTS)
        run(after, EVENTS)
        rows = content(before, "events_old")
        one = retired(place(before, bucket, ledger))
        run(after, "DROP TABLE events_old")
        told = restore_attached(place(after, bucket, ledger), one, later(1))
        assert told.format == "csv"
        assert content(after, "events_old") == rows


def test_a_damaged_archive_is_not_restored_and_leaves_nothing(here: Place) -> None:
    one = retired(here)
    key = f"{one.folder(here.bucket)}/{one.exact.objects[0].key}"
    body = bytearray(here.bucket.open([key]).read())
    body[len(body) // 2] ^= 1
    here.bucket.put(key, bytes(body), "application/octet-stream")
    for restore in (restore_attached, restore_beside):
        with pytest.raises(NotProven):
            restore(here, one, later(1))
    assert run(here.source, "SELECT count(*) FROM pg_tables WHERE schemaname = 'archive_restore'") == [(0,)]
    assert run(here.source, "SELECT count(*) FROM events") == [(0,)]


def test_rows_that_are_not_those_of_the_manifest_are_seen_by_nobody(here: Place) -> None:
    one = retired(here)
    with pytest.raises(NotProven, match="holds 1000 rows"):
        restore_attached(here, replace(one, hash="1"), later(1))
    assert run(here.source, "SELECT count(*) FROM events") == [(0,)]


def test_columns_that_the_table_got_since_take_their_defaults_and_lost_ones_are_named(here: Place) -> None:
    one = retired(here)
    run(here.source, "ALTER TABLE events ADD COLUMN more text DEFAULT 'since'")
    restore_attached(here, one, later(1))
    assert run(here.source, "SELECT DISTINCT more FROM events") == [("since",)]
    run(here.source, "DROP TABLE events_old; ALTER TABLE events DROP COLUMN amount")
    with pytest.raises(Refused, match=r"amount numeric\(10,2\)"):
        restore_attached(here, one, later(1))
    assert restore_beside(here, one, later(1)).rows == 1000


def test_a_name_that_is_taken_and_a_range_that_is_taken_are_refused(here: Place) -> None:
    advance(here, oid_of(here.source, "events_old"), POLICY)
    (one,) = archives_of(here.bucket, "app")
    with pytest.raises(Refused, match="already"):
        restore_attached(here, one, later(1))
    run(here.source, "DROP TABLE events_old")
    run(here.source, "CREATE TABLE other PARTITION OF events FOR VALUES FROM ('2024-01-05+00') TO ('2024-01-06+00')")
    with pytest.raises(PgOpsError, match="overlap"):
        restore_attached(here, one, later(1))
    assert run(here.source, "SELECT count(*) FROM events") == [(0,)]


def test_the_bound_in_a_manifest_is_data_and_never_a_statement(here: Place) -> None:
    one = retired(here)
    for bound in (
        "FOR VALUES FROM ('2024-01-01') TO (now())",
        "FOR VALUES FROM ('2024-01-01') TO ('2024-02-01'); DROP TABLE events; --')",
        "DEFAULT",
    ):
        with pytest.raises(Refused, match="not understood"):
            restore_attached(here, replace(one, range=bound), later(1))
    evil = replace(one.columns[0], type="bigint); DROP TABLE events; --", stored_as="text")
    with pytest.raises(PgOpsError):
        restore_beside(here, replace(one, columns=(evil, *one.columns[1:])), later(1))
    assert run(here.source, "SELECT to_regclass('events') IS NOT NULL") == [(True,)]


def test_archives_are_chosen_by_name_and_by_range_from_the_bucket_alone(here: Place) -> None:
    old, new = retired(here), retired(here, "events_new")
    forget(here.ledger)
    assert chosen_archives(here, "public.events") == (new, old)
    assert chosen_archives(here, "public.events", name="events_old") == (old,)
    assert chosen_archives(here, "public.events", lower="2024-02-01 00:00:00+00") == (new,)
    assert chosen_archives(here, "public.events", upper="2024-02-01 00:00:00+00") == (old,)
    assert chosen_archives(here, "public.events", lower="2024-01-31 23:00+00", upper="2024-02-01 01:00+00") == (
        new,
        old,
    )
    with pytest.raises(Refused, match="events_new, events_old"):
        chosen_archives(here, "public.events", name="events_x")
    with pytest.raises(PgOpsError):
        chosen_archives(here, "public.events", lower="'; DROP TABLE events")


def test_an_expiry_in_the_past_is_refused(here: Place) -> None:
    one = retired(here)
    with pytest.raises(Refused, match="no expiry"):
        restore_attached(here, one, datetime.now(UTC) - timedelta(seconds=1))


def test_two_restores_at_the_same_time_make_one_partition(here: Place) -> None:
    one = retired(here)
    outcomes: list[str] = []

    def restore() -> None:
        try:
            restore_attached(here, one, later(1))
            outcomes.append("restored")
        except Refused:
            outcomes.append("refused")

    threads = [threading.Thread(target=restore) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused", "restored"]
    assert run(here.source, "SELECT count(*) FROM events") == [(1000,)]


def test_what_a_dead_restore_left_is_taken_away_by_the_next(here: Place) -> None:
    one = retired(here)
    with pytest.raises(PgOpsError):
        restore_attached(replace(here, ledger=Ledger(replace(here.ledger.dsn, port=1))), one, later(1))
    assert run(here.source, "SELECT count(*) FROM events") == [(0,)]
    restore_attached(here, one, later(1))
    assert run(here.source, "SELECT count(*) FROM events") == [(1000,)]
    assert run(here.source, "SELECT count(*) FROM pg_tables WHERE schemaname = 'archive_restore'") == [(0,)]
    assert {row.state for row in partition_states(here.ledger, "app")} == {"dropped", "restored"}
