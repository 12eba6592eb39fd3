"""What a review makes of the ledger: which days it compares, what it adds up, how it splits what was added."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pgops.ledger import Ledger
from pgops.queries.review import Thresholds, parts, review
from pgops.queries.usage import DAY, Usage, windows
from tests.servers import fresh_database

NOW = datetime.now(UTC).replace(hour=6, minute=30, second=0, microsecond=0)
DATABASE = "shop"
LIMITS = Thresholds(seconds=10, calls=100, new_seconds=1)


class Book:
    """A ledger with a history that a test writes by the hour."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.ids: dict[str, int] = {}
        self._do("ALTER TABLE pgops.query_deltas RENAME TO parted")
        self._do("ALTER TABLE pgops.query_snapshots RENAME TO parted_snapshots")
        self._do("CREATE TABLE pgops.query_deltas (LIKE pgops.parted)")
        self._do("CREATE TABLE pgops.query_snapshots (LIKE pgops.parted_snapshots INCLUDING DEFAULTS)")
        self._do(
            "INSERT INTO pgops.query_sources (database, watched_since) VALUES (%s, %s)",
            DATABASE, NOW - timedelta(days=90),
        )  # fmt: skip

    def _do(self, statement: str, *values: object) -> list[tuple]:
        with self.ledger.session() as connection, connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def query(self, text: str, first_seen: datetime | None = None, major: int = 15) -> str:
        self._do("INSERT INTO pgops.query_texts (fingerprint, text, whole) VALUES (%s, %s, true)"
                 " ON CONFLICT DO NOTHING", text, text)  # fmt: skip
        ((self.ids[text],),) = self._do(
            "INSERT INTO pgops.query_statements (database, username, queryid, toplevel, major, fingerprint, first_seen)"
            " VALUES (%s, 'app', %s, true, %s, %s, %s) RETURNING id",
            *(DATABASE, sum(text.encode()) + major, major, text, first_seen or NOW - timedelta(days=90)),
        )
        return text

    def day(self, ago: float, hours: int = 24, notes: tuple[str, ...] = (), **queries: tuple[int, float, int]) -> None:
        """Calls, ms and blocks of a whole day, in so many of its hours."""
        for hour in range(hours):
            at = NOW - timedelta(days=ago, hours=hour)
            self._do(
                "INSERT INTO pgops.query_snapshots (database, at, since, statements, moved, seconds, notes)"
                " VALUES (%s, %s, %s, 9, 1, 0, %s)",
                *(DATABASE, at, at - timedelta(hours=1), list(notes)),
            )
            for text, (calls, ms, blocks) in queries.items():
                self._do(
                    "INSERT INTO pgops.query_deltas (at, statement, calls, exec_ms, rows, hit, read)"
                    " VALUES (%s, %s, %s, %s, 1, %s, 0)",
                    *(at, self.ids[text], calls // 24, ms / 24, blocks // 24),
                )

    def deployed(self, version: str, at: datetime) -> None:
        self._do(
            "INSERT INTO pgops.deployments (run_id, database, version, checksum, requested_by, state, started_at,"
            " finished_at) VALUES (%s, %s, %s, 'c', 'op', 'deployed', %s, %s)",
            *(version, DATABASE, version, at - timedelta(minutes=1), at),
        )

    def review(self):
        return review(self.ledger, DATABASE, NOW, LIMITS)


@pytest.fixture
def book(postgres):
    with fresh_database(postgres, "ledger") as dsn:
        ledger = Ledger(dsn)
        ledger.rows("has_version")
        yield Book(ledger)


def test_a_day_is_compared_with_the_median_of_the_same_weekday(book):
    book.query("steady"), book.query("worse")
    for week, ms in ((1, 24_000), (2, 26_400), (3, 240_000), (4, 21_600)):  # one outlier moves no median
        book.day(7 * week, steady=(2400, 24_000, 240), worse=(2400, ms, 240))
    book.day(1, steady=(240, 1, 240), worse=(240, 1, 24))  # yesterday is another weekday
    book.day(0, steady=(2400, 24_000, 240), worse=(2400, 60_000, 240))
    found = book.review()
    (one,) = found.regressions
    assert one.query.text == "worse" and one.cause == "slower calls"
    assert one.added == pytest.approx(60 - 25.2, abs=0.5)
    assert (found.past_windows, found.same_weekday, found.notes) == (4, True, ())


def test_regressions_are_ranked_by_seconds_added_and_not_by_ratio(book):
    book.query("tenfold"), book.query("big")
    book.day(7, tenfold=(2400, 2_400, 240), big=(2400, 2_400_000, 240))
    book.day(0, tenfold=(2400, 24_000, 240), big=(2400, 2_640_000, 240))
    assert [one.query.text for one in book.review().regressions] == ["big", "tenfold"]


def test_without_a_week_of_history_the_days_before_stand_in_and_that_is_said(book):
    book.query("q")
    book.day(1, q=(2400, 24_000, 240))
    book.day(2, q=(2400, 24_000, 240))
    book.day(0, q=(2400, 48_000, 240))
    found = book.review()
    assert len(found.regressions) == 1 and found.past_windows == 2 and not found.same_weekday
    assert any("no week of history" in note for note in found.notes)


def test_without_any_history_nothing_is_called_a_regression(book):
    book.query("q")
    book.day(0, q=(2400, 48_000, 240))
    found = book.review()
    assert found.regressions == () and any("nothing to compare" in note for note in found.notes)


def test_what_snapshots_could_not_tell_stands_in_the_review(book):
    book.query("q")
    book.day(7, q=(2400, 24_000, 240))
    book.day(0, hours=18, notes=("pg_stat_statements was reset",), q=(2400, 24_000, 240))
    found = book.review()
    assert "pg_stat_statements was reset" in found.notes
    assert any("18.0 of the 24 hours" in note for note in found.notes)
    assert found.by_mean[0].usage.calls == pytest.approx(2400)  # brought to a whole day


def test_a_difference_that_reaches_beyond_the_day_counts_with_its_share(book):
    book.query("q")
    book._do("INSERT INTO pgops.query_snapshots (database, at, since, statements, moved, seconds) VALUES"
             " (%s, %s, %s, 1, 1, 0)", DATABASE, NOW, NOW - timedelta(days=4))  # fmt: skip
    book._do("INSERT INTO pgops.query_deltas (at, statement, calls, exec_ms) VALUES (%s, %s, 400, 4000)",
             NOW, book.ids["q"])  # fmt: skip
    (today,) = windows(book.ledger, DATABASE, NOW, width=DAY)
    ((_, usage),) = today.usage.items()
    assert (usage.calls, usage.exec_ms, today.covered) == (pytest.approx(100), pytest.approx(1000), 1)


def test_only_what_nobody_has_seen_before_is_new_and_an_upgrade_makes_nothing_new(book):
    book.query("old"), book.query("upgraded", NOW - timedelta(days=60), 15)
    book.query("upgraded", NOW - timedelta(hours=3), 16)
    book.query("new", NOW - timedelta(hours=3))
    book.day(7, old=(2400, 24_000, 240))
    book.day(0, old=(2400, 24_000, 240), upgraded=(2400, 24_000, 240), new=(2400, 24_000, 240))
    found = book.review()
    assert [one.text for one in found.new] == ["new"]
    assert [one.query.text for one in found.regressions] == ["upgraded"]


def test_a_query_of_last_week_is_no_regression_every_day_until_it_is_a_month_old(book):
    """Days before a query was there say nothing of what is usual for it; one younger than a week has its days."""
    book.query("old"), book.query("launched", NOW - timedelta(days=9)), book.query("young", NOW - timedelta(days=4))
    for days in (7, 14, 21, 28):
        book.day(days, old=(2400, 24_000, 240), **({"launched": (2400, 48_000, 240)} if days == 7 else {}))
    for days in (1, 2, 3):
        book.day(days, old=(2400, 24_000, 240), launched=(2400, 48_000, 240), young=(2400, 96_000, 240))
    book.day(0, old=(2400, 24_000, 240), launched=(2400, 48_000, 240), young=(2400, 96_000, 240))
    found = book.review()
    assert found.regressions == () and found.new == () and found.same_weekday

    book._do("UPDATE pgops.query_deltas SET exec_ms = exec_ms * 2 WHERE at > %s", NOW - timedelta(days=1))
    regressed = [(one.query.text, one.cause) for one in book.review().regressions]
    assert regressed == [("young", "slower calls"), ("launched", "slower calls"), ("old", "slower calls")]


def test_a_deployment_is_held_against_as_long_before_it(book):
    book.query("slower"), book.query("same")
    book.day(1, slower=(2400, 24_000, 240), same=(2400, 24_000, 240))
    book.day(0, hours=6, slower=(2400, 240_000, 240), same=(2400, 24_000, 240))
    for hour in range(6, 24):
        book.day(hour / 24, hours=1, slower=(2400, 24_000, 240), same=(2400, 24_000, 240))
    book.deployed("002", NOW - timedelta(hours=6))
    book.deployed("003", NOW - timedelta(minutes=10))
    judged, young = book.review().deployments
    assert judged.version == "002" and judged.hours == pytest.approx(6)
    first = judged.effects[0]
    assert first.text == "slower"
    assert (first.before, first.after) == (pytest.approx(1, abs=0.1), pytest.approx(10, abs=0.5))
    assert "too young" in young.note


def test_a_deployment_without_half_of_the_time_before_it_is_not_judged(book):
    """Ten minutes counted before it, held against six hours after it, would make every query slower."""
    book.query("same")
    book.day(0, hours=6, same=(2400, 24_000, 240))
    book.day(6 / 24, hours=1, same=(2400, 24_000, 240))
    book.deployed("002", NOW - timedelta(hours=6))
    (one,) = book.review().deployments
    assert "less than half" in one.note and one.effects == ()


def test_the_top_tens_are_by_mean_by_total_and_by_lowest_hit(book):
    for text in ("slow", "often", "cold"):
        book.query(text)
    book.day(0, slow=(24, 240_000, 24), often=(240_000, 480_000, 240_000), cold=(24, 24, 24))
    book._do("UPDATE pgops.query_deltas SET read = 24000 WHERE statement = %s", book.ids["cold"])
    found = book.review()
    assert found.by_mean[0].text == "slow"
    assert found.by_total[0].text == "often"
    assert [one.text for one in found.by_hit] == ["cold", "often"]
    assert found.by_hit[0].usage.hit_ratio == pytest.approx(0.004, abs=0.01)


@pytest.mark.parametrize(
    ("before", "now", "causes"),
    [
        (Usage(calls=10, exec_ms=100), Usage(calls=1000, exec_ms=10_000), ["more calls"]),
        (Usage(calls=100, exec_ms=100), Usage(calls=100, exec_ms=10_000), ["slower calls"]),
        (Usage(calls=100, exec_ms=100, hit=300), Usage(calls=100, exec_ms=10_000, hit=90_000),
         ["slower calls", "more reads"]),
        (Usage(), Usage(calls=100, exec_ms=10_000), ["more calls"]),
    ],
)  # fmt: skip
def test_what_was_added_is_split_into_its_reasons(before, now, causes):
    found = parts(before, now)
    assert [one.cause for one in found] == causes
    added = sum(one.seconds for one in found if one.cause in ("more calls", "slower calls"))
    assert added == pytest.approx((now.exec_ms - before.exec_ms) / 1000)


def test_the_seconds_of_more_reads_are_those_of_reading():
    found = parts(Usage(calls=100, exec_ms=1_000, hit=100), Usage(calls=100, exec_ms=9_000, read=9_000, read_ms=7_000))
    (reads,) = [one for one in found if one.cause == "more reads"]
    assert reads.seconds == pytest.approx(7) and "from disk" in reads.says
