"""A rehearsal passes what can be deployed, and refuses everything else for the right reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pgops.fleet import MigrationPolicy
from pgops.fleet.migrations import DeployPolicy
from pgops.migration.gate.check import check
from pgops.migration.model import Migration, Source
from pgops.migration.rehearsal.rehearse import HELD_SECONDS
from pgops.migration.rehearsal.validation import validate
from pgops.migration.scripts.sources import migrations_in
from pgops.migration.verdict.records import correction_from
from pgops.migration.verdict.report import as_html, as_text
from tests.migration.rehearsals import Copies, expected_reason, sample_copies
from tests.nights import execute

ROOT = Path(__file__).parents[2]
BAD = Path(__file__).parent / "bad" / "dynamic"
POLICY = MigrationPolicy(folder="migrations/app", connection="copies", budget_seconds=60, big_table_mb=1)

# What the verdict must say, by what the file says of itself.
REASONS = {
    "the rollback leaves an index behind": "index public.orders_total_amount_idx is there",
    "the rollback leaves a column default behind": "is \"text; not null; default 'pending'::text\"",
    "the rollback leaves an enum value behind": "is \"'sad', 'happy', 'content'\"",
    "the rollback leaves a function behind": "FUNCTION public.shout(text) is there",
    "the rollback leaves a privilege behind": "privileges on public.orders was",
    "the rollback leaves a storage parameter behind": "options fillfactor=70",
    "the rollback does not restore the body of a function": "function public.greeting() was",
    "the rollback drops what was there before": "INDEX public.orders_user_id_idx is gone",
    "the rollback does not restore the data": "public.users was '4000 rows, hash",
    "the rollback deletes rows that were there before": "public.orders was '20000 rows, hash",
    "the rollback destroys values without saying so": "the rollback destroys column public.users.nickname: 3 values",
    "the rollback fails": 'index "orders_state_idx" does not exist (SQLSTATE 42704)',
    "unknown table": 'relation "userz" does not exist (SQLSTATE 42P01)',
    "unknown column": 'column "surname" does not exist (SQLSTATE 42703)',
    "unknown type": 'type "plan_kind" does not exist (SQLSTATE 42704)',
    "a concurrent index fails on duplicates and stays behind, invalid": "It left an invalid index behind",
    "rows violate the constraint": "(SQLSTATE 23514)",
    "a statement fails after others were committed": ":4, UPDATE: division by zero",
    "the sequence is exhausted": "(SQLSTATE 2200H)",
    "over budget: it never ends": "the migration took longer than its budget of 3.0 s and was cut off",
    "over budget: it catches its own cancellation": "the migration took longer than its budget of 3.0 s",
    "over budget: it turns the timeouts off": "the migration took longer than its budget of 3.0 s",
    "the rollback is over budget": "the rollback took longer than its budget of 3.0 s",
    "a lock against everybody is held too long": "AccessExclusiveLock on public.users was held for",
    "a big table is rewritten": "rewrites public.orders",
    "a big table is read under a lock": "reads all of public.orders",
    "it cannot be applied after its own rollback": "applying it again failed",
    "a constraint is left unvalidated": "It is NOT VALID",
}


@pytest.fixture(scope="module")
def copies(postgres) -> Copies:
    return sample_copies(postgres)


@pytest.fixture(scope="module")
def each_copies(each_postgres) -> Copies:
    return sample_copies(each_postgres)


@pytest.mark.parametrize("bad", migrations_in(BAD), ids=lambda bad: bad.label)
def test_a_bad_migration_is_refused_for_its_own_reason(copies, bad):
    written = expected_reason(BAD, bad)
    seconds = 3 if "over budget" in written else 60
    judged = copies.judge(bad, POLICY.model_copy(update={"budget_seconds": seconds}))
    assert [reason for reason in judged.reasons if REASONS[written] in reason], judged.reasons


def test_the_samples_migrations_pass(each_copies):
    migrations = migrations_in(ROOT / "include" / "migrations" / "app")
    with each_copies.bench() as bench:
        found = check(migrations, POLICY, each_copies.version)
        judged = [one.judged for one in validate(bench, [], migrations, found, POLICY)]
    assert {one.rehearsal.version: one.reasons for one in judged} == {"001": (), "002": ()}
    assert "PASSED" in as_text(judged[0])
    locks = {(lock.relation, lock.mode) for lock in judged[0].rehearsal.applied.locks}
    assert ("public.users", "ShareRowExclusiveLock") in locks, "the foreign key locks the table that it points to"


def migration(version: str, up: str, down: str | None) -> Migration:
    name = f"V{version}__x"
    return Migration(version, "x", Source(f"{name}.sql", up), Source(f"{name}.rollback.sql", down) if down else None)


def test_every_migration_of_a_history_gets_a_verdict_on_the_ground_of_those_before(copies):
    history = [
        migration("1", "CREATE TABLE one (id int PRIMARY KEY)", "DROP TABLE one"),
        migration("2", "CREATE TABLE two (id int PRIMARY KEY)", None),
        migration("3", "CREATE TABLE two_and_a_half (id nonsense)", "DROP TABLE two_and_a_half"),
        migration(
            "4",
            "ALTER TABLE two ADD COLUMN one int",
            "-- rollback: destructive acknowledged\nALTER TABLE two DROP COLUMN one",
        ),
    ]
    acknowledged = [
        replace(one, down=replace(one.down, text="-- rollback: destructive acknowledged\n" + one.down.text))
        if one.down
        else one
        for one in history
    ]
    lenient = POLICY.model_copy(update={"rules": {"missing-rollback": "off"}})
    with copies.bench() as bench:
        found = [finding for finding in check(acknowledged, lenient, copies.version) if finding.level == "error"]
        judged = {
            one.judged.rehearsal.version: one.judged.reasons
            for one in validate(bench, [], acknowledged, found, lenient)
        }
    assert judged["1"] == ()
    assert judged["2"] == ("there is no rollback",)
    assert 'type "nonsense" does not exist' in judged["3"][0]
    assert judged["4"] == ()


def test_what_comes_before_is_applied_and_not_judged(copies):
    first, second = migrations_in(ROOT / "include" / "migrations" / "app")
    with copies.bench() as bench:
        (only,) = validate(bench, [first], [second], [], POLICY)
        assert execute(bench.copy, "SELECT to_regclass('user_preferences') IS NOT NULL") == [(True,)]
    assert only.judged.rehearsal.version == "002" and only.judged.passed


def test_an_old_row_that_a_migration_and_its_rollback_change_is_seen(copies):
    sneaky = migration(
        "1",
        "ALTER TABLE orders ADD COLUMN seen boolean",
        "-- rollback: destructive acknowledged\n"
        "ALTER TABLE orders DROP COLUMN seen;\n-- pgops: autocommit\nUPDATE orders SET status = 'paid' WHERE id = 7",
    )
    judged = copies.judge(sneaky, POLICY)
    assert [reason for reason in judged.reasons if "public.orders was '20000 rows" in reason], judged.reasons


def test_the_page_shows_what_comes_from_outside_as_text(copies):
    hostile = migration("1", 'CREATE TABLE "<script>alert(1)</script>" (id int PRIMARY KEY)', "SELECT 1")
    page = as_html(copies.judge(hostile, POLICY), "today")
    assert "<script>" not in page and "&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("up", "down"),
    [
        ("ALTER TABLE users RENAME COLUMN name TO full_name", "ALTER TABLE users RENAME COLUMN full_name TO name"),
        ("ALTER TABLE orders RENAME TO purchases", "ALTER TABLE purchases RENAME TO orders"),
        (
            "CREATE SCHEMA shop; ALTER TABLE orders SET SCHEMA shop",
            "ALTER TABLE shop.orders SET SCHEMA public; DROP SCHEMA shop",
        ),
    ],
    ids=["column", "table", "schema"],
)
def test_a_name_that_changes_and_changes_back_destroys_nothing(copies, up, down):
    allow = "-- pgops: allow renaming-column, renaming-table, destructive-rollback\n"
    assert copies.judge(migration("1", allow + up, allow + down), POLICY).reasons == ()


def test_what_is_added_to_a_renamed_table_is_still_destroyed(copies):
    allow = "-- pgops: allow renaming-table, destructive-rollback\n"
    judged = copies.judge(
        migration(
            "1",
            allow + "ALTER TABLE users RENAME TO people; ALTER TABLE people ADD COLUMN nick text",
            allow + "ALTER TABLE people DROP COLUMN nick; ALTER TABLE people RENAME TO users",
        ),
        POLICY,
    )
    assert [reason for reason in judged.reasons if "destroys column public.people.nick: 3 values" in reason]


@pytest.mark.parametrize(
    "statement",
    ["CREATE ROLE of_a_refused_migration", "COPY taken FROM PROGRAM 'echo 7'", "ALTER SYSTEM SET work_mem = '5MB'"],
)
def test_what_reaches_out_of_the_copy_is_refused_and_not_run_for_the_sake_of_those_after_it(copies, statement):
    one = migration("1", f"CREATE TABLE taken (id int); {statement}", "SELECT 1")
    acknowledged = "-- rollback: destructive acknowledged\nDROP TABLE after_it"
    two = migration("2", "CREATE TABLE after_it (id bigint PRIMARY KEY)", acknowledged)
    with copies.bench() as bench:
        findings = check([one, two], POLICY, copies.version)
        first, second = (each.judged for each in validate(bench, [], [one, two], findings, POLICY))
        assert execute(bench.copy, "SELECT to_regclass('taken'), to_regclass('after_it')") == [(None, "after_it")]
    assert not first.passed and second.passed


@pytest.mark.parametrize(
    ("up", "down"),
    [
        ("ALTER TABLE users ADD COLUMN nick text", "ALTER TABLE users DROP COLUMN nick"),
        (
            "DROP INDEX CONCURRENTLY orders_user_id_idx",
            "CREATE INDEX CONCURRENTLY orders_user_id_idx ON orders (user_id)",
        ),
    ],
    ids=["its lock", "its snapshot"],
)
def test_waiting_for_the_reader_beside_it_is_no_time_of_the_migration(copies, up, down):
    """Else it would be multiplied by how much larger production is, and a short lock be taken for a long one."""
    patient = POLICY.model_copy(update={"deploy": DeployPolicy(connection="x", lock_timeout_ms=5000)})
    judged = copies.judge(migration("1", up, f"-- rollback: destructive acknowledged\n{down}"), patient)
    assert judged.passed, judged.reasons
    assert judged.rehearsal.applied.seconds > HELD_SECONDS / 2, "it did not wait, so nothing is proven"
    assert judged.forecast.seconds < HELD_SECONDS / 2 and judged.forecast.downtime_seconds < HELD_SECONDS / 2


def test_short_deployments_do_not_correct_the_forecast_of_long_ones():
    def correction(*pairs: tuple[float, float]) -> float:
        return correction_from([{"forecast_seconds": one, "actual_seconds": other} for one, other in pairs])

    assert correction() == correction((0.001, 0.2), (0.005, 0.5), (0.0, 0.1)) == 1
    assert correction((0.001, 0.2), (10, 20), (0.001, 0.2)) == 2
    assert correction((0.5, 2)) == 4 and correction((1, 1000)) == 10


ALLOW_DROP = "-- pgops: allow ban-drop-column, ban-drop-table\n"
ADD_NAME = (
    "ALTER TABLE users ADD COLUMN name text NOT NULL DEFAULT ''; ALTER TABLE users ALTER COLUMN name DROP DEFAULT"
)


def test_a_column_may_be_dropped_when_its_rollback_says_that_it_knows_what_is_lost(copies):
    drop = ALLOW_DROP + "ALTER TABLE users DROP COLUMN name"
    judged = copies.judge(migration("1", drop, f"-- rollback: destructive acknowledged\n{ADD_NAME}"), POLICY)
    assert judged.passed, judged.reasons
    assert "the migration destroys values of public.users, and no rollback brings them back" in judged.rehearsal.notes
    assert not copies.judge(migration("1", drop, ADD_NAME), POLICY).passed


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("; -- pgops: autocommit\nUPDATE users SET email = email || '.' WHERE id = 7", "public.users was '4000 rows"),
        ("; ALTER TABLE users ADD COLUMN left_behind int", "users.left_behind"),
        ("; ALTER TABLE users ALTER COLUMN name DROP NOT NULL", "column public.users.name was"),
    ],
    ids=["another column's values", "a column", "its definition"],
)
def test_dropping_a_column_excuses_nothing_else(copies, more, reason):
    drop = ALLOW_DROP + "ALTER TABLE users DROP COLUMN name"
    judged = copies.judge(migration("1", drop, f"-- rollback: destructive acknowledged\n{ADD_NAME}{more}"), POLICY)
    assert [one for one in judged.reasons if reason in one], judged.reasons


def test_a_table_may_be_dropped_when_its_rollback_makes_it_again(copies):
    table = "CREATE TABLE given (id bigint PRIMARY KEY, x text)"
    judged = copies.judge(
        migration(
            "1",
            f"-- given: {table}\n-- given: INSERT INTO given VALUES (1, 'x')\n{ALLOW_DROP}DROP TABLE given",
            f"-- rollback: destructive acknowledged\n{table}",
        ),
        POLICY,
    )
    assert judged.passed, judged.reasons


BOOM = (
    "CREATE FUNCTION boom() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no more'; END $$;"
    " CREATE TRIGGER boom BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION boom()"
)
NO_BOOM = "DROP TRIGGER boom ON users; DROP FUNCTION boom()"


def test_a_migration_after_which_the_application_cannot_write_is_refused(copies):
    judged = copies.judge(migration("1", BOOM, NO_BOOM), POLICY)
    assert [reason for reason in judged.reasons if "fails: no more" in reason and "writes-fail" in reason]
    assert copies.judge(migration("1", f"-- pgops: allow writes-fail\n{BOOM}", NO_BOOM), POLICY).passed


def test_a_file_may_allow_itself_what_the_review_of_the_copy_finds(copies):
    """A constraint that is NOT VALID now and validated by the next version is how it should be done."""
    up = "ALTER TABLE users ADD CONSTRAINT named CHECK (name <> '') NOT VALID"
    down = "ALTER TABLE users DROP CONSTRAINT named"
    assert not copies.judge(migration("1", up, down), POLICY).passed
    allowed = copies.judge(migration("1", f"-- pgops: allow unvalidated-constraint\n{up}", down), POLICY)
    assert allowed.passed, allowed.reasons
