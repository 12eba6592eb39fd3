"""How long an integer key lasts, told by what the ledger kept of earlier days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pgops.health import Outcome, Status, Target, compare, run
from pgops.health.records import past, record
from pgops.ledger import Ledger
from pgops.postgres import Dsn
from tests.health.scenes import check_named
from tests.nights import execute

# Days that lie in this month and the next ones: for others the ledger has no partition.
MORNING = datetime.now(UTC).replace(hour=7, minute=0, second=0, microsecond=0)
CHECK = check_named("int4_keys_days_left")


@pytest.fixture
def keys(each_database: Dsn) -> Dsn:
    execute(each_database, "CREATE TABLE t (id int PRIMARY KEY)")
    return each_database


def looked(dsn: Dsn, ledger: Ledger, day: int, highest: int) -> Outcome:
    """The outcome of that day's look, after a row with that key; the ledger keeps it."""
    execute(dsn, f"INSERT INTO t SELECT {highest} - n FROM generate_series(0, 9) n ON CONFLICT DO NOTHING", "ANALYZE t")
    name, run_id, now = dsn.dbname, f"day {day}", MORNING + timedelta(days=day)
    before = past(ledger, name, run_id, now)
    report = run(Target(name, dsn, server="primary"), checks=[CHECK], history=before.history, now=now)
    record(ledger, run_id, report, compare(report, before.before))
    return next(one for one in report.outcomes if one.check == CHECK)


def test_a_key_that_grows_lasts_as_long_as_its_pace_says(keys: Dsn, ledger: Ledger) -> None:
    outcomes = [looked(keys, ledger, day, 1_500_000_000 + day * 100_000_000) for day in range(4)]
    (finding,) = outcomes[-1].findings
    assert (finding.status, finding.object) == (Status.CRIT, "public.t.id")
    assert finding.value == pytest.approx((2**31 - 1 - 1_800_000_000) / 100_000_000 * 86400, rel=0.01)
    assert "the last 72 h (4 looks)" in finding.says and "at least 1800000000" in finding.says


def test_without_a_history_it_says_why_it_cannot_tell(keys: Dsn, ledger: Ledger) -> None:
    outcome = looked(keys, ledger, 0, 2_000_000_000)
    assert outcome.status is Status.UNKNOWN and "too little history: 0 earlier looks" in outcome.why


def test_a_key_that_does_not_grow_has_no_end(keys: Dsn, ledger: Ledger) -> None:
    outcomes = [looked(keys, ledger, day, 2_000_000_000) for day in range(4)]
    assert (outcomes[-1].status, outcomes[-1].findings, outcomes[-1].measures[0].value) == (Status.OK, (), None)


def test_a_key_that_has_hardly_begun_is_not_asked(keys: Dsn, ledger: Ledger) -> None:
    assert looked(keys, ledger, 0, 500_000_000).measures == ()
