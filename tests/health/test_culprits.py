"""Who is to blame is called what it is, and no mend is told that cannot run."""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import replace
from threading import Thread

import psycopg2

from pgops.health import Check, Finding, Target, Threshold, run
from pgops.postgres import Dsn
from tests import servers
from tests.health.scenes import check_named, superuser
from tests.servers import eventually

SLOWLY_VACUUMED = """
CREATE TABLE wanted WITH (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0,
                          autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)
    AS SELECT n, repeat('x', 500) FROM generate_series(1, 10000) n;
DELETE FROM wanted WHERE n % 2 = 0
"""


def findings(dsn: Dsn, check: Check) -> list[Finding]:
    """Whatever the check lists."""
    listed = replace(check, info=None, crit=None, warn=Threshold(True, True, 0))
    return list(run(Target("culprits", dsn), checks=[listed]).findings)


def test_an_autovacuum_that_blocks_is_no_prepared_transaction() -> None:
    patience = {"autovacuum": "on", "autovacuum_naptime": "1s", "deadlock_timeout": "10min"}
    with servers.running_postgres(servers.MAJORS[0], **patience) as server:
        dsn = superuser(server, "postgres")
        for statement in SLOWLY_VACUUMED.split(";\n"):
            server.execute(statement)
        assert eventually(lambda: server.execute("SELECT 1 FROM pg_stat_progress_vacuum"), 60)
        with closing(psycopg2.connect(dsn.conninfo(), password=dsn.password)) as connection:

            def wait() -> None:
                with suppress(psycopg2.Error):
                    connection.cursor().execute("LOCK wanted")

            waiter = Thread(target=wait)
            waiter.start()
            assert eventually(lambda: server.execute("SELECT 1 FROM pg_locks WHERE NOT granted"))
            (found,) = findings(dsn, check_named("blocked_sessions"))
            server.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted")
            waiter.join()
    assert found.object.startswith("postgres autovacuum worker")
    assert "autovacuum: VACUUM" in found.says and found.mend.startswith("SELECT pg_cancel_backend(")


def test_a_slot_in_use_is_not_told_to_be_dropped(database: Dsn) -> None:
    check = check_named("slot_retained_wal")
    with closing(psycopg2.connect(database.conninfo(), password=database.password)) as session:
        session.autocommit = True
        cursor = session.cursor()
        cursor.execute("SELECT pg_create_physical_replication_slot('idle', true)")
        # A temporary slot is in use by who made it.
        cursor.execute("SELECT pg_create_physical_replication_slot('used', true, true)")
        try:
            mends = {one.object: one.mend for one in findings(database, check)}
        finally:
            cursor.execute("SELECT pg_drop_replication_slot('idle')")
    assert mends["used"] == check.mend
    assert mends["idle"].startswith("SELECT pg_drop_replication_slot('idle')")
