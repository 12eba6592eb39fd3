"""A rollback that would destroy what was written since stops, and says what."""

from __future__ import annotations

import psycopg2.errors
import pytest

from pgops.migration.deployment import losses, versions
from pgops.migration.deployment.losses import CountedLoss, DestroysData, Loss
from pgops.migration.scripts.statements import parse
from tests.migration.deployments import (
    Background,
    execute,
    exists,
    guarded,
    holding,
    migration,
    one,
    open_session,
    policy,
    run,
    until,
    waiting_sessions,
)

COLUMN = migration("ALTER TABLE t ADD x text", "ALTER TABLE t DROP COLUMN x")


def test_a_rollback_that_would_destroy_values_stops_unless_that_was_acknowledged(each_database):
    execute(each_database, "CREATE TABLE t (id int); INSERT INTO t VALUES (1), (2), (3)")
    run(each_database, COLUMN)
    execute(each_database, "UPDATE t SET x = 'written' WHERE id < 3")
    with pytest.raises(DestroysData, match=r"2 values of column public\.t\.x"):
        guarded(each_database, COLUMN)
    assert one(each_database, "SELECT count(x) FROM t") == 2
    assert versions.applied(each_database)["001"].standing == "applied"
    guarded(each_database, COLUMN, acknowledged=True)
    assert versions.applied(each_database) == {}


def test_a_rollback_that_destroys_nothing_goes_through(database):
    execute(database, "CREATE TABLE t (id int); INSERT INTO t VALUES (1)")
    made = migration(
        "CREATE TABLE u (id int); ALTER TABLE t ADD x text, ADD y int NOT NULL DEFAULT 7,"
        " ADD z int GENERATED ALWAYS AS (id * 2) STORED",
        "ALTER TABLE t DROP x, DROP COLUMN IF EXISTS y, DROP z; DROP TABLE u",
    )
    run(database, made)
    guarded(database, made)
    assert execute(database, "SELECT * FROM t") == [(1,)]


def test_a_value_that_differs_from_the_constant_default_is_a_loss(database):
    execute(database, "CREATE TABLE t (id int); INSERT INTO t VALUES (1), (2)")
    made = migration("ALTER TABLE t ADD y int NOT NULL DEFAULT 7", "ALTER TABLE t DROP y")
    run(database, made)
    execute(database, "UPDATE t SET y = 8 WHERE id = 2")
    with pytest.raises(DestroysData, match="1 values of column"):
        guarded(database, made)


def test_a_value_written_after_the_check_is_seen_because_the_count_is_under_lock(database):
    """A writer that has not committed yet keeps the count waiting; one that comes later waits for the rollback."""
    execute(database, "CREATE TABLE t (id int); INSERT INTO t VALUES (1)")
    run(database, COLUMN)
    with holding(database, "UPDATE t SET x = 'late'", "late-writer") as writer:
        going = Background(
            run,
            database,
            COLUMN,
            "rollback",
            policy(5000),
            guard=losses.destruction_guard(parse(COLUMN.down), acknowledged=False, where=""),
        )
        until(lambda: waiting_sessions(database))
        writer.commit()
        with pytest.raises(DestroysData, match="1 values"):
            going.result()
    assert one(database, "SELECT x FROM t") == "late"


@pytest.mark.parametrize(
    "rollback",
    [
        "SET search_path = s; DROP TABLE t",
        "ALTER TABLE s.t RENAME TO old; DROP TABLE s.old",
        "ALTER TABLE s.t SET SCHEMA public; DROP TABLE t",
        "ALTER TABLE s.t RENAME COLUMN x TO old; ALTER TABLE s.t DROP COLUMN old",
        "CREATE TABLE s.n (LIKE s.t); ALTER TABLE s.t RENAME TO old; ALTER TABLE s.n RENAME TO t; DROP TABLE s.old",
        "WITH gone AS (DELETE FROM s.t RETURNING *) SELECT count(*) FROM gone",
        "WITH new AS (UPDATE s.t SET x = '' RETURNING *) INSERT INTO s.log SELECT x FROM new",
        "INSERT INTO s.t VALUES (1, '') ON CONFLICT (id) DO UPDATE SET x = excluded.x",
        "ALTER TYPE types.pair DROP ATTRIBUTE b",
        "DROP SCHEMA types CASCADE",
        "DROP OWNED BY CURRENT_USER",
    ],
)
def test_no_way_of_writing_it_hides_what_a_rollback_destroys(database, rollback):
    execute(
        database,
        "CREATE SCHEMA s; CREATE SCHEMA types; CREATE TYPE types.pair AS (a int, b int); CREATE TABLE s.log (x text);"
        "CREATE TABLE s.t (id int PRIMARY KEY, x text); INSERT INTO s.t VALUES (1, 'written');"
        "CREATE TABLE s.pairs (one types.pair); INSERT INTO s.pairs VALUES ('(1,2)')",
    )
    made = migration("SELECT 1", rollback)
    run(database, made)
    with pytest.raises(DestroysData):
        guarded(database, made)
    assert execute(database, "SELECT t.*, (one).* FROM s.t, s.pairs") == [(1, "written", 1, 2)]


def test_what_a_rollback_makes_and_drops_itself_is_no_loss(database):
    execute(database, "CREATE TABLE t (id int); INSERT INTO t VALUES (1)")
    made = migration(
        "SELECT 1",
        "CREATE TABLE helper AS SELECT * FROM t; CREATE FUNCTION f() RETURNS void LANGUAGE sql BEGIN ATOMIC"
        " DELETE FROM t; END; DROP FUNCTION f(); INSERT INTO t VALUES (2); DROP TABLE helper",
    )
    run(database, made)
    guarded(database, made)
    assert execute(database, "SELECT count(*) FROM t") == [(2,)]


def test_counting_keeps_writers_away_and_lets_readers_read(database):
    execute(database, "CREATE TABLE t (id int, x int); INSERT INTO t VALUES (1, 1)")
    with holding(database, "SELECT 1") as connection:
        assert losses.count_losses(connection, [Loss("t", "x"), Loss("t"), Loss("gone"), Loss("t", "gone")]) == [
            CountedLoss("column public.t.x", 1),
            CountedLoss("table public.t", 1),
        ]
        assert execute(database, "SELECT x FROM t") == [(1,)]
        with pytest.raises(psycopg2.errors.LockNotAvailable):
            execute(database, "SET lock_timeout = '50ms'; UPDATE t SET x = 2")


def test_tables_schemas_and_what_cannot_be_counted_are_found_in_a_rollback(database):
    execute(database, 'CREATE SCHEMA s; CREATE TABLE s."T x" (id int); INSERT INTO s."T x" VALUES (1), (2)')
    script = parse(migration("SELECT 1", "DROP SCHEMA s CASCADE; DROP TABLE a.b, c; DELETE FROM d; TRUNCATE e").down)
    assert losses.dropped_by(script) == (
        Loss("s", schema=True), Loss('"a"."b"'), Loss('"c"'), Loss('"e"'),
    )  # fmt: skip
    assert losses.uncounted_in(script) == ("what line 1 (DELETE) changes",)
    with holding(database, "SELECT 1") as connection:
        assert losses.count_losses(connection, losses.dropped_by(script)) == [CountedLoss("table s.T x", 2)]


def test_a_rollback_that_begins_with_an_index_asks_before_it_drops_it(database):
    made = migration(
        "CREATE TABLE t (id int); CREATE INDEX CONCURRENTLY i ON t (id)",
        "DROP INDEX CONCURRENTLY i; DROP TABLE t",
    )
    run(database, made)
    execute(database, "INSERT INTO t VALUES (1)")
    with pytest.raises(DestroysData, match=r"1 rows of table public\.t"):
        guarded(database, made)
    assert exists(database, "i")


def test_rows_hidden_by_a_policy_are_counted(database):
    execute(database, "CREATE TABLE t (id int); INSERT INTO t VALUES (1)")
    execute(database, "ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY")
    with open_session(database) as connection:
        assert losses.count_losses(connection, [Loss("t")]) == [CountedLoss("table public.t", 1)]
    connection.close()
