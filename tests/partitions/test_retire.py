"""A partition is dropped only with proof, and whatever dies on the way, nothing is lost or done twice."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import Any

import psycopg2
import pytest

from pgops.errors import PgOpsError, Refused
from pgops.ledger import Ledger
from pgops.ledger.partitions import partition_state
from pgops.partitions import finalize
from pgops.partitions.manifest import archives_of
from pgops.partitions.place import Place
from pgops.partitions.retire import advance
from pgops.partitions.unfinished import unfinished
from pgops.postgres import Dsn
from pgops.storage import Bucket
from tests import servers
from tests.partitions.retirements import (
    EVENTS,
    NO_GRACE,
    POLICY,
    content,
    forget,
    killed,
    later,
    oid_of,
    place,
    run,
)


@pytest.fixture
def here(each_database: Dsn, bucket: Bucket, ledger: Ledger) -> Place:
    run(each_database, EVENTS)
    forget(ledger)
    return place(each_database, bucket, ledger)


def exists(here: Place, table: str) -> bool:
    return run(here.source, "SELECT to_regclass(%s) IS NOT NULL", table) == [(True,)]


def state(here: Place, oid: int) -> Any:
    found = partition_state(here.ledger, here.database, oid)
    return found.state if found else None


def test_a_partition_is_detached_archived_proven_and_dropped_when_its_grace_is_over(here: Place) -> None:
    oid = oid_of(here.source, "events_old")
    before = content(here.source, "events_old")

    first = advance(here, oid, POLICY)
    assert (first.state, state(here, oid), first.rows) == ("grace", "grace", 1000)
    assert content(here.source, "events_old") == before
    assert run(here.source, "SELECT count(*) FROM events") == [(0,)]
    assert [one.oid for one in unfinished(here)] == [oid]

    assert advance(here, oid, POLICY, later(6.9)).state == "grace"
    assert exists(here, "events_old")
    last = advance(here, oid, POLICY, later(7.1))
    assert (last.state, state(here, oid)) == ("dropped", "dropped")
    assert not exists(here, "events_old")
    assert len(archives_of(here.bucket, "app")) == 1
    assert unfinished(here) == ()


def test_without_an_archive_only_grace_is_waited_for_and_counted_from_the_detaching(here: Place) -> None:
    oid = oid_of(here.source, "events_old")
    policy = POLICY.model_copy(update={"archive": False})
    assert advance(here, oid, policy).state == "grace"
    assert advance(here, oid, policy, later(6.9)).state == "grace"
    assert advance(here, oid, policy, later(7.1)).state == "dropped"
    assert archives_of(here.bucket, "app") == ()


def test_a_default_partition_makes_the_detaching_a_plain_one(here: Place) -> None:
    run(here.source, "CREATE TABLE events_default PARTITION OF events DEFAULT")
    oid = oid_of(here.source, "events_old")
    assert advance(here, oid, NO_GRACE).state == "dropped"
    with pytest.raises(Refused, match="DEFAULT"):
        advance(here, oid_of(here.source, "events_default"), NO_GRACE)
    assert exists(here, "events_default")


KILLS = [
    *[("record", call, False) for call in range(1, 8)],
    ("record", 7, True),
    *[("mark", 1, False), ("mark", 1, True)],
    *[("detach", 1, False), ("detach", 1, True)],
    *[("archive", 1, True), ("verify", 1, False), ("verify", 1, True)],
    *[("write_manifest", 1, False), ("write_manifest", 1, True)],
    *[("drop", 1, False), ("drop", 1, True)],
]


@pytest.mark.slow
def test_killed_at_any_state_change_the_next_run_ends_it_with_every_row_in_one_archive(
    postgres_of: Any, bucket: Bucket, ledger: Ledger
) -> None:
    for major in servers.MAJORS:
        postgres_of(major)  # before the threads ask for it

    def kill(number: int) -> None:
        step, call, after = KILLS[number]
        major = servers.MAJORS[number % len(servers.MAJORS)]
        label = f"{'after' if after else 'before'} {step} {call}"
        with servers.fresh_database(postgres_of(major)) as dsn:
            run(dsn, EVENTS)
            before = content(dsn, "events_old")
            at = place(dsn, bucket, ledger, f"kill{number}")
            oid = oid_of(dsn, "events_old")
            assert killed(at, oid, step, call, after) == -9, label
            if exists(at, "events_old"):
                assert content(dsn, "events_old") == before, label
            assert advance(at, oid, NO_GRACE).state == "dropped", label
            assert not exists(at, "events_old"), label
            (one,) = archives_of(bucket, at.database)
            assert (one.rows, one.proof is not None) == (1000, True), label
            folder = one.folder(bucket) + "/"
            left = [info.key for info in bucket.objects(bucket.key(at.database) + "/")]
            assert all(key.startswith(folder) for key in left), (label, left)
            assert unfinished(at) == (), label

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(kill, range(len(KILLS))))


def test_a_detaching_that_a_long_reader_cut_off_is_finished_by_the_next_run(here: Place) -> None:
    oid = oid_of(here.source, "events_old")
    reader = psycopg2.connect(here.source.conninfo(), password=here.source.password)
    reader.cursor().execute("BEGIN; SELECT count(*) FROM events")
    hurried = replace(here, policies=here.policies.model_copy(update={"parent_budget_seconds": 0.3}))
    with pytest.raises(PgOpsError, match="older") as caught:
        advance(hurried, oid, NO_GRACE)
    assert caught.value.retry
    assert run(here.source, "SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = %s", oid) == [(True,)]
    assert [one.oid for one in unfinished(here)] == [oid]
    reader.close()
    assert advance(here, oid, NO_GRACE).state == "dropped"


def test_an_interrupted_detaching_of_a_sibling_is_finished_first(here: Place) -> None:
    sibling = oid_of(here.source, "events_new")
    reader = psycopg2.connect(here.source.conninfo(), password=here.source.password)
    reader.cursor().execute("BEGIN; SELECT count(*) FROM events")
    with pytest.raises(psycopg2.Error):
        run(here.source, "SET lock_timeout = 200")
        connection = psycopg2.connect(
            here.source.conninfo(), password=here.source.password, options="-c lock_timeout=200"
        )
        connection.autocommit = True
        connection.cursor().execute("ALTER TABLE events DETACH PARTITION events_new CONCURRENTLY")
    reader.close()
    assert advance(here, oid_of(here.source, "events_old"), POLICY).state == "grace"
    assert run(here.source, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'events'::regclass") == [(0,)]
    assert state(here, sibling) is None, "it is nobody's to retire"
    finalize(here.source, sibling, here.policies)


def test_a_foreign_key_into_the_rows_is_named_and_nothing_has_changed(here: Place) -> None:
    run(
        here.source,
        """CREATE TABLE notes (id bigint, at timestamptz, CONSTRAINT "notes of events" FOREIGN KEY (id, at)
           REFERENCES events); INSERT INTO notes SELECT id, at FROM events LIMIT 1""",
    )
    oid = oid_of(here.source, "events_old")
    with pytest.raises(Refused, match="notes of events"):
        advance(here, oid, NO_GRACE)
    assert run(here.source, "SELECT count(*) FROM events") == [(1000,)]
    assert run(here.source, "SELECT obj_description('events_old'::regclass)") == [("January",)]
    assert state(here, oid) == "attached"
    run(here.source, "DELETE FROM notes")
    assert advance(here, oid, NO_GRACE).state == "dropped"


def test_a_foreign_key_to_the_detached_table_stops_the_drop(here: Place) -> None:
    oid = oid_of(here.source, "events_old")
    advance(here, oid, POLICY)
    run(
        here.source,
        "CREATE TABLE notes (id bigint, at timestamptz, CONSTRAINT to_old FOREIGN KEY (id, at) REFERENCES events_old)",
    )
    with pytest.raises(Refused, match="to_old on"):
        advance(here, oid, POLICY, later())
    assert exists(here, "events_old")


def test_a_view_on_the_detached_table_stops_the_drop(here: Place) -> None:
    oid = oid_of(here.source, "events_old")
    run(here.source, "CREATE VIEW january AS SELECT * FROM events_old")
    with pytest.raises(Refused, match="january"):
        advance(here, oid, NO_GRACE)
    assert exists(here, "events_old")


def test_its_own_foreign_keys_do_not_stop_the_drop(here: Place) -> None:
    run(
        here.source,
        """CREATE TABLE kinds (what text PRIMARY KEY); INSERT INTO kinds SELECT what FROM events;
           ALTER TABLE events ADD CONSTRAINT kind FOREIGN KEY (what) REFERENCES kinds""",
    )
    assert advance(here, oid_of(here.source, "events_old"), NO_GRACE).state == "dropped"
    assert run(here.source, "SELECT count(*) FROM kinds") == [(1000,)]


def test_a_legal_hold_stops_before_the_detaching_and_before_the_drop(here: Place) -> None:
    oid = oid_of(here.source, "events_old")
    held = NO_GRACE.model_copy(update={"legal_hold": "case 4711"})
    told = advance(here, oid, held)
    assert (told.state, told.notes) == ("attached", ("legal hold: case 4711",))
    assert run(here.source, "SELECT count(*) FROM events") == [(1000,)]

    advance(here, oid, POLICY)
    told = advance(here, oid, held, later())
    assert (told.state, told.notes) == ("grace", ("legal hold: case 4711",))
    assert exists(here, "events_old")
    assert advance(here, oid, NO_GRACE, later()).state == "dropped"


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE events_old SET what = 'changed' WHERE id = 5",
        "DELETE FROM events_old WHERE id = 5",
        "INSERT INTO events_old SELECT id + 100000, at FROM events_old WHERE id = 5",
        "TRUNCATE events_old",
        "ALTER TABLE events_old ADD COLUMN more text DEFAULT 'x'",
    ],
)
def test_a_partition_changed_after_its_archive_is_archived_again_and_has_its_grace_again(
    here: Place, change: str
) -> None:
    oid = oid_of(here.source, "events_old")
    first = advance(here, oid, POLICY)
    run(here.source, change)
    now = content(here.source, "events_old")
    again = advance(here, oid, POLICY, datetime.fromisoformat(first.drop_after or ""))
    assert again.archive != first.archive
    assert again.state == "grace" and "changed after" in again.notes[0]
    assert content(here.source, "events_old") == now
    assert len(archives_of(here.bucket, "app")) == 2, "what was proven once is not thrown away"


def test_with_the_ledger_lost_the_catalog_and_the_bucket_are_enough(here: Place) -> None:
    oid = oid_of(here.source, "events_old")
    first = advance(here, oid, POLICY)
    forget(here.ledger)
    assert [(one.oid, one.parent) for one in unfinished(here)] == [(oid, "public.events")]
    again = advance(here, oid, POLICY)
    assert (again.state, again.archive, again.drop_after) == ("grace", first.archive, first.drop_after)
    assert len(archives_of(here.bucket, "app")) == 1


def test_two_runs_do_not_retire_one_partition_at_the_same_time(here: Place) -> None:
    oid = oid_of(here.source, "events_old")
    outcomes: list[object] = []

    def retire() -> None:
        try:
            outcomes.append(advance(here, oid, POLICY).state)
        except Refused as error:
            outcomes.append(error.retry)

    threads = [threading.Thread(target=retire) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(map(str, outcomes)) <= {"grace", "True"} and "grace" in outcomes
    assert len(archives_of(here.bucket, "app")) == 1


def test_a_table_that_was_no_partition_is_refused(here: Place) -> None:
    run(here.source, "CREATE TABLE users (id int)")
    with pytest.raises(Refused, match="no partition"):
        advance(here, oid_of(here.source, "users"), NO_GRACE)
    assert exists(here, "users")
    with pytest.raises(Refused, match="no table"):
        advance(here, 999_999, NO_GRACE)


def test_a_sub_partitioned_one_is_refused(here: Place) -> None:
    run(
        here.source,
        """CREATE TABLE events_tree PARTITION OF events FOR VALUES FROM ('2023-01-01+00') TO ('2023-02-01+00')
           PARTITION BY HASH (id)""",
    )
    with pytest.raises(Refused, match="partitioned itself"):
        advance(here, oid_of(here.source, "events_tree"), NO_GRACE)


def test_an_archive_whose_objects_are_gone_does_not_let_the_table_go(here: Place) -> None:
    oid = oid_of(here.source, "events_old")
    advance(here, oid, POLICY)
    (one,) = archives_of(here.bucket, "app")
    here.bucket.delete([f"{one.folder(here.bucket)}/{one.exact.objects[0].key}"])
    with pytest.raises(PgOpsError, match="no longer whole"):
        advance(here, oid, POLICY, later())
    assert exists(here, "events_old")
