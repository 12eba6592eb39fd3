"""What the ledger keeps of health checks: news is told once, whatever is tried again, killed, muted, or down."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pgops.dashboard.reports import policy
from pgops.errors import Refused
from pgops.health import Check, Status, Target
from pgops.health.daily import Checked, Desk, check_health
from pgops.health.model import Threshold
from pgops.health.records import mute, past, unmute
from pgops.ledger import Ledger
from pgops.postgres import Dsn
from pgops.storage import Bucket
from sandbox.postgres import PostgresServer, free_port
from tests import servers

# Days that lie in this month and the next ones: for others the ledger has no partition.
MORNING = datetime.now(UTC).replace(hour=7, minute=0, second=0, microsecond=0)
DAY = timedelta(days=1)
TABLES = """
CREATE TABLE faults (object text, value float8, says text DEFAULT 'seen', mend text DEFAULT 'mend it');
CREATE TABLE counter (count int, total int);
INSERT INTO counter VALUES (0, 1000);
"""


def check(name: str, query: str, **parts: Any) -> Check:
    plain = Check(
        name=name,
        title=f"The title of {name}",
        purpose="for tests",
        scope="database",
        kind="state",
        versions=((15, 18, query),),
        privileges=(),
        heavy=False,
        dimension="count",
        info=None,
        warn=Threshold(True, True, 1),
        crit=Threshold(True, True, 10),
        source="a source",
        mend="words",
        risk="a risk",
    )
    return replace(plain, **parts)


STATE = check("state", "SELECT * FROM public.faults")
DELTA = check(
    "delta",
    "SELECT '' AS object, count, total, NULL AS since, NULL AS says, NULL AS mend FROM public.counter",
    kind="delta",
    dimension="percent",
)
FORECAST = check(
    "forecast",
    "SELECT '' AS object, count AS value, total AS ceiling, NULL AS says, NULL AS mend FROM public.counter",
    kind="forecast",
    dimension="seconds",
    warn=Threshold(False, False, 30 * 86400),
    crit=None,
)


@dataclass
class Place:
    """One database that is looked at, with its name in a ledger that other tests use too."""

    server: PostgresServer
    dsn: Dsn
    ledger: Ledger
    bucket: Bucket

    def execute(self, statement: str) -> None:
        self.server.execute(statement, self.dsn.dbname)

    def plant(self, about: str = "a thing", value: float = 10) -> None:
        self.execute(f"INSERT INTO faults VALUES ('{about}', {value})")

    def look(self, run_id: str, days: float = 0, checks: tuple[Check, ...] = (STATE,), **desk: Any) -> Checked:
        """One look, so many days after the first morning."""
        made = replace(Desk(self.ledger, self.bucket, run_id), **desk)
        target = Target(self.dsn.dbname, self.dsn, server="primary")
        return check_health(made, target, checks=checks, now=MORNING + days * DAY)[0]

    def rows(self, columns: str, table: str = "health_findings", where: str = "true") -> list[tuple[Any, ...]]:
        whose = f"database = '{self.dsn.dbname}'"
        statement = f"SELECT {columns} FROM pgops.{table} WHERE {whose} AND {where} ORDER BY 1"
        return self.server.execute(statement, self.ledger.dsn.dbname)


@pytest.fixture
def place(postgres: PostgresServer, database: Dsn, ledger: Ledger, bucket: Bucket) -> Place:
    place = Place(postgres, database, ledger, bucket)
    place.execute(TABLES)
    return place


@pytest.fixture
def own_ledger(postgres: PostgresServer) -> Iterator[Ledger]:
    with servers.fresh_database(postgres, "own_ledger") as dsn:
        yield Ledger(dsn)


def names(findings: Any) -> list[str]:
    return [one.object for one in findings]


# --- from one day to the next ---


def test_a_finding_is_told_when_it_appears_and_when_it_is_resolved_and_has_one_row(place: Place) -> None:
    place.plant()
    first = place.look("monday")
    assert names(first.new) == ["a thing"] and first.grade is Status.CRIT
    second = place.look("tuesday", 1)
    assert not (second.new or second.worse or second.resolved) and second.open == {"crit": 1}
    place.execute("DELETE FROM faults")
    third = place.look("wednesday", 2)
    assert names(third.resolved) == ["a thing"] and third.grade is Status.OK
    assert place.rows("first_seen, last_seen, resolved_at") == [(MORNING, MORNING + DAY, MORNING + 2 * DAY)]
    assert [grade for _, grade in place.rows("at, grade", "health_runs")] == ["crit", "crit", "ok"]
    assert not place.look("thursday", 3).resolved


def test_worse_and_better_are_told_with_the_true_age(place: Place) -> None:
    place.plant(value=1)
    place.look("monday")
    place.execute("UPDATE faults SET value = 10")
    (worse,) = place.look("tuesday", 1).worse
    assert (worse.status, worse.since) == (Status.CRIT, MORNING)
    place.execute("UPDATE faults SET value = 1")
    assert names(place.look("wednesday", 2).better) == ["a thing"]


def test_what_comes_back_is_new_and_has_a_row_of_its_own(place: Place) -> None:
    place.plant()
    place.look("monday")
    place.execute("DELETE FROM faults")
    place.look("tuesday", 1)
    place.plant()
    (again,) = place.look("wednesday", 2).new
    assert again.since == MORNING + 2 * DAY
    assert len(place.rows("1")) == 2


def test_differences_and_forecasts_are_made_from_the_ledger(place: Place) -> None:
    checks = (DELTA, FORECAST)
    assert place.look("1", 0, checks).counts == {"unknown": 2, "ok": 1}
    for day in (1, 2):
        place.execute("UPDATE counter SET count = count + 100, total = total + 200")
        last = place.look(str(day + 1), day, checks)
    found = {one.check: one for one in (*last.new, *last.worse)}
    assert found["forecast"].says.startswith("12 d left") and last.open == {"crit": 1, "warn": 1}
    assert place.rows("at, value, facts ->> 'unit'", "health_figures", "name = 'delta'") == [
        (MORNING, None, "percent"),
        (MORNING + DAY, 50, "percent"),
        (MORNING + 2 * DAY, 50, "percent"),
    ]


# --- a run that is tried again ---


def test_a_run_that_is_tried_again_tells_the_same_news_and_counts_once(place: Place) -> None:
    place.plant("old")
    place.look("monday")
    place.execute("DELETE FROM faults")
    place.plant("new")
    for minutes in (0, 5, 10):
        tried = place.look("tuesday", 1 + minutes / 1440)
        assert (names(tried.new), names(tried.resolved)) == (["new"], ["old"]), minutes
    at = MORNING + DAY + timedelta(minutes=10)
    assert sorted(place.rows("object, first_seen, resolved_at")) == [("new", at, None), ("old", MORNING, at)]
    assert len(place.rows("1", "health_runs")) == 2
    assert sorted(place.rows("object, at", "health_figures")) == [("new", at), ("old", MORNING)]
    assert not place.look("wednesday", 2).new


def test_what_was_mended_between_two_tries_was_never_there(place: Place) -> None:
    place.look("monday")
    place.plant()
    place.look("tuesday", 1)
    place.execute("DELETE FROM faults")
    tried = place.look("tuesday", 1.01)
    assert not (tried.new or tried.resolved)
    assert place.rows("1") == []


def test_a_task_of_yesterday_that_is_cleared_today_leaves_one_open_row(place: Place) -> None:
    place.plant("kept")
    place.plant("gone")
    place.look("monday")
    place.execute("DELETE FROM faults WHERE object = 'gone'")
    place.look("tuesday", 1)
    place.plant("gone")
    place.look("wednesday", 2)
    place.look("tuesday", 3)
    still = place.rows("object, first_seen", where="resolved_at IS NULL")
    assert sorted(name for name, _ in still) == ["gone", "kept"]
    assert ("kept", MORNING) in still


def test_a_second_look_on_the_same_day_does_not_compare_with_its_own_first_try(place: Place) -> None:
    place.look("monday", 0, (DELTA,))
    place.execute("UPDATE counter SET count = 100, total = 1200")
    place.look("tuesday", 1, (DELTA,))
    (again,) = place.look("tuesday", 1.01, (DELTA,)).new
    assert again.value == 50


# --- muted ---


def test_what_is_muted_is_not_told_and_is_news_when_the_mute_is_over(place: Place) -> None:
    place.plant()
    place.plant("another")
    first = place.look("monday")
    fingerprint = next(one.fingerprint for one in first.new if one.object == "a thing")
    name = place.dsn.dbname
    assert "a thing" in mute(place.ledger, name, fingerprint, datetime.now(UTC) + DAY, "known", "ann")
    muted = place.look("tuesday", 0.1)
    assert not muted.new and muted.muted == 1 and muted.open == {"crit": 1}
    assert unmute(place.ledger, name, fingerprint) and not unmute(place.ledger, name, fingerprint)
    (again,) = place.look("wednesday", 0.2).new
    assert (again.object, again.since) == ("a thing", MORNING)


def test_what_was_resolved_while_it_was_muted_is_no_news(place: Place) -> None:
    mute(place.ledger, place.dsn.dbname, "", datetime.now(UTC) + DAY, "moved today", "ann")
    place.plant()
    assert not place.look("monday").new
    place.execute("DELETE FROM faults")
    assert not place.look("tuesday", 0.1).resolved
    assert place.rows("resolved_at IS NULL") == [(False,)]


def test_a_deployment_mutes_its_database(place: Place) -> None:
    place.ledger.rows("begin_mute", database=place.dsn.dbname, run_id="deploy", reason="deploying", seconds=86400)
    place.plant()
    assert place.look("monday").muted == 1
    place.ledger.rows("end_mute", database=place.dsn.dbname, run_id="deploy")
    assert names(place.look("tuesday", 0.1).new) == ["a thing"]


def test_only_an_open_finding_can_be_muted_and_the_open_ones_are_named(place: Place) -> None:
    place.plant()
    place.look("monday")
    with pytest.raises(Refused, match="The title of state a thing"):
        mute(place.ledger, place.dsn.dbname, "0" * 16, datetime.now(UTC) + DAY, "x", "ann")


# --- what may be down ---


def test_without_a_partition_of_this_month_all_but_the_figures_is_kept_and_that_is_said(
    place: Place, own_ledger: Ledger
) -> None:
    place.ledger = own_ledger
    place.look("sunday", -1)
    own_ledger_name = own_ledger.dsn.dbname
    for (name,) in place.server.execute(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'pgops.health_figures'::regclass",
        own_ledger_name,
    ):
        place.server.execute(f"DROP TABLE {name}", own_ledger_name)
    place.plant()
    checked = place.look("monday")
    assert names(checked.new) == ["a thing"] and len(place.rows("1")) == 1
    assert any("partition_maintenance" in note for note in checked.notes)


def test_a_ledger_that_is_down_costs_the_comparison_and_nothing_else(place: Place) -> None:
    place.plant()
    place.look("monday")
    down = Ledger(replace(place.ledger.dsn, port=free_port()))
    checked = place.look("tuesday", 1, ledger=down)
    assert not checked.compared and names(checked.new) == ["a thing"] and checked.page
    assert any("the ledger does not say" in note for note in checked.notes)
    assert not place.look("wednesday", 2).new  # it was open all the time


def test_a_bucket_that_is_not_there_costs_the_report_and_nothing_else(place: Place) -> None:
    place.plant()
    gone = Bucket(place.bucket.client, f"gone-{secrets.token_hex(4)}")
    checked = place.look("monday", bucket=gone)
    assert checked.page is None and any("no report" in note for note in checked.notes)
    assert place.rows("report", "health_runs") == [(None,)]


def test_a_database_that_is_down_is_a_finding_and_its_others_stay_open(place: Place) -> None:
    place.plant()
    place.look("monday")
    reached, place.dsn = place.dsn, replace(place.dsn, port=free_port())
    down = place.look("tuesday", 1)
    assert [one.check for one in down.new] == ["unreachable"] and not down.resolved and down.grade is Status.CRIT
    place.dsn = reached
    back = place.look("wednesday", 2)
    assert [one.check for one in back.resolved] == ["unreachable"] and not back.new


# --- the report in the bucket ---


def test_the_report_shows_names_as_text_and_its_style_may_be_used_where_no_script_may(place: Place) -> None:
    evil = '"><script>alert(1)</script><img src=x onerror=alert(1) style=color:red>'
    place.plant(evil)
    checked = place.look("monday")
    assert checked.page
    page = place.bucket.open([checked.page]).read().decode()
    assert "&lt;script&gt;" in page and "<script" not in page and "<img" not in page
    assert page.count("<style>") == 1 and "sha256-" in policy(page)
    assert "mend it" in page and "a risk" in page and "The title of state" in page
    assert place.rows("report", "health_runs") == [(checked.page,)]


def test_reports_leave_when_their_time_is_over(place: Place) -> None:
    old = place.look("long ago", -91).page
    young = place.look("not so long ago", -89).page
    new = place.look("today").page
    assert [one.key for one in place.bucket.objects("")] == [young, new] and old


def test_nothing_is_known_before_the_first_run(place: Place) -> None:
    known = past(place.ledger, place.dsn.dbname, "monday", MORNING)
    assert (known.history, known.before, known.mutes) == ((), (), ())
