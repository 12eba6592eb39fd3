"""The version ledger tells what a database has, wholly or in part, and refuses what does not fit that."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pgops.errors import Refused
from pgops.migration.deployment import versions
from pgops.migration.deployment.versions import Step, standings, start_of
from pgops.postgres import connect
from tests.migration.deployments import Background, execute, holding, migration, one, run, until

FIRST = migration("CREATE TABLE a ()", "DROP TABLE a")
SECOND = migration("CREATE TABLE b ()", "DROP TABLE b", "002", "second")


def step(made, segment: int, segments: int, state="done", direction="apply") -> Step:
    return Step(
        made.version, made.name, made.checksum, direction, segment, segments, state, "owner", "ann", "run",
        datetime.now(UTC),
    )  # fmt: skip


def start(rows, made, direction="apply", segments=3):
    return start_of(rows, made, direction, segments, "here")


def test_a_database_without_a_ledger_has_nothing_and_gets_none_by_being_asked(each_database):
    assert versions.applied(each_database) == {}
    assert one(each_database, "SELECT to_regnamespace('pgops') IS NULL")


def test_two_that_make_the_ledger_at_once_both_have_it(database):
    """The first has not committed yet when the second begins."""
    with holding(database, "CREATE SCHEMA pgops") as first, connect(database, "second") as connection:
        making = Background(versions.ensure, connection)
        until(lambda: one(database, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))
        first.commit()
        making.result()
    assert versions.applied(database) == {}


def test_a_role_that_may_not_make_the_schema_is_told_what_to_do(postgres, database):
    role = f"poor_{database.dbname}"
    execute(database, f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
    try:
        poor = database.__class__(database.host, database.port, database.dbname, role, "x")
        with pytest.raises(Refused, match="which keeps what was applied") as caught:
            run(poor, FIRST)
        execute(database, caught.value.remedy.partition(": ")[2])
        run(poor, migration("SELECT 1"))
        assert versions.applied(poor)["001"].by == role
    finally:
        execute(database, f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


def test_a_file_that_was_edited_after_it_was_applied_is_refused(database):
    run(database, FIRST)
    edited = migration("CREATE TABLE a (x int)", "DROP TABLE a")
    with pytest.raises(Refused, match="edited after it was applied"):
        run(database, edited)
    with pytest.raises(Refused, match="edited after it was applied"):
        run(database, edited, "rollback")


def test_a_rollback_that_was_edited_after_the_version_was_applied_is_refused(database):
    run(database, FIRST)
    with pytest.raises(Refused, match="edited after it was applied"):
        run(database, migration("CREATE TABLE a ()", "DROP TABLE a CASCADE"), "rollback")


def test_what_was_never_applied_cannot_be_rolled_back(database):
    with pytest.raises(Refused, match="Nothing of 001 first is applied"):
        run(database, FIRST, "rollback")


def test_nothing_begins_while_another_version_is_half_done(database):
    half = migration("CREATE TABLE a (); SELECT 1; VACUUM a; SELECT 1 / 0")
    with pytest.raises(Exception, match="22012"):
        run(database, half)
    with pytest.raises(Refused, match=r"001 first is half done: 2 of 3 segments of its apply are done"):
        run(database, SECOND)


def test_an_older_version_after_a_newer_one_is_a_warning(database):
    run(database, SECOND)
    assert run(database, FIRST).notes == ("out of order: 002 came before 001",)


def test_a_version_below_others_is_rolled_back_with_a_warning(database):
    run(database, FIRST)
    run(database, SECOND)
    assert run(database, FIRST, "rollback").notes == ("rolled back below 002, applied after it",)


@pytest.mark.parametrize(
    ("older", "newer", "warned"), [("2", "10", True), ("1.2", "1.10", True), ("ae10", "1f", False), ("10", "2", False)]
)
def test_versions_are_ordered_by_their_numbers_and_revisions_not_at_all(older, newer, warned):
    done = step(migration("SELECT 1", version=newer), 0, 1)
    assert bool(start([done], migration("SELECT 1", version=older), segments=1).warnings) is warned


def test_a_run_begins_after_the_last_segment_that_is_done():
    rows = [step(FIRST, 0, 3), step(FIRST, 1, 3, "started")]
    standing = standings(rows)["001"]
    assert (standing.complete, standing.next_segment, standing.begun) == (False, 1, True)
    assert (start(rows, FIRST).segment, start(rows, FIRST).begun) == (1, True)


def test_a_segment_that_is_known_to_have_failed_is_not_in_doubt():
    rows = [step(FIRST, 0, 3), step(FIRST, 1, 3, "started"), step(FIRST, 1, 3, "failed")]
    assert start(rows, FIRST) == versions.Start(1)


def test_a_failed_attempt_that_left_nothing_does_not_bind_the_file():
    rows = [step(FIRST, 0, 3, "failed")]
    assert standings(rows) == {}
    assert start(rows, migration("edited")) == versions.Start(0)


def test_a_failed_rollback_that_left_nothing_leaves_the_version_applied():
    rows = [step(FIRST, 0, 1), step(FIRST, 0, 2, "failed", "rollback")]
    assert standings(rows)["001"].standing == "applied"


def test_a_half_done_rollback_has_to_be_finished():
    rows = [step(FIRST, 0, 1), step(FIRST, 0, 2, "done", "rollback")]
    assert standings(rows)["001"].direction == "rollback"
    assert start(rows, FIRST, "rollback", 2).segment == 1
    with pytest.raises(Refused, match="The rollback of 001 first is half done"):
        start(rows, FIRST, "apply", 1)


def test_a_half_done_migration_may_be_rolled_back_instead():
    assert start([step(FIRST, 0, 3)], FIRST, "rollback", 1) == versions.Start(0)


def test_a_half_done_migration_that_is_now_taken_apart_differently_is_refused():
    with pytest.raises(Refused, match="begun as 3 segments and is now taken apart into 4"):
        start([step(FIRST, 0, 3)], FIRST, segments=4)
    assert start([step(FIRST, 0, 1)], FIRST, segments=4).segment == 4


def test_after_a_rollback_an_edited_file_may_be_applied_and_the_old_history_does_not_count():
    edited = migration("edited")
    rows = [step(FIRST, 0, 1), step(FIRST, 0, 1, "done", "rollback")]
    assert start(rows, edited, segments=2) == versions.Start(0)
    rows.append(step(edited, 0, 2))
    assert (start(rows, edited, segments=2).segment, standings(rows)["001"].checksum) == (1, edited.checksum)


def test_who_and_when_and_which_run_are_kept_for_every_step(database):
    run(database, FIRST)
    (row,) = execute(
        database,
        "SELECT state, by_role, requested_by, dag_run, at <= clock_timestamp(), ms > 0 FROM pgops.schema_steps",
    )
    assert row == ("done", "postgres", "ann", "manual__1", True, True)
    assert versions.applied(database)["001"].dag_run == "manual__1"
