"""What happens seldom: odd names, large tables, rows that go elsewhere, and wishes that come at odd moments."""

from __future__ import annotations

from dataclasses import replace

from pgops import backfill
from pgops.backfill.job import analyze
from pgops.postgres import Dsn
from tests.backfill.backfills import FAST, begun, done, execute, one, users

SMALL = replace(FAST, first_batch=100, most_batch=100)


def test_statistics_are_refreshed_whatever_the_table_is_called_now(each_database: Dsn) -> None:
    users(each_database, 100)
    odd = '"S ""x"."U;%s{} --"'
    execute(each_database, f"CREATE SCHEMA \"S \"\"x\"; ALTER TABLE users RENAME TO \"U;%s{{}} --\"")
    execute(each_database, 'ALTER TABLE "U;%s{} --" SET SCHEMA "S ""x"')
    job = done(each_database, table=odd).job
    analyze(each_database, backfill.state(each_database, job).job)
    known = "SELECT count(*) FROM pg_stats WHERE attname = 'tier' AND null_frac = 0 AND tablename = "
    assert one(each_database, known + "'U;%s{} --'") == 1
    execute(each_database, f"ALTER TABLE {odd} RENAME TO users")
    analyze(each_database, backfill.state(each_database, job).job)
    execute(each_database, 'DROP TABLE "S ""x".users')
    analyze(each_database, backfill.state(each_database, job).job)
