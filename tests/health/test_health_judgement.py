"""Differences, forecasts, grades and changes: said honestly, or said to be unknown."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pgops.health import Check, Finding, Mute, Outcome, Report, Sample, Snapshot, Status, Threshold, compare
from pgops.health.ask import Answer, Row
from pgops.health.judge import Place, judge

NOW = datetime(2026, 3, 1, 6, tzinfo=UTC)
RESET = datetime(2026, 1, 1, tzinfo=UTC)
PLACE = Place("server", "app", NOW, "cluster/1")
CHECK = Check(
    name="one",
    title="One",
    purpose="",
    scope="database",
    kind="state",
    versions=((15, 18, "SELECT"),),
    privileges=(),
    heavy=False,
    dimension="count",
    info=None,
    warn=Threshold(True, False, 10),
    crit=Threshold(True, False, 100),
    source="",
    mend="words",
    risk="none",
)
DELTA = replace(CHECK, kind="delta")
SHARE = replace(DELTA, dimension="percent", least=1000)
FORECAST = replace(CHECK, kind="forecast", dimension="seconds", warn=Threshold(False, False, 14 * 86400), crit=None)


def row(amount: float | None, other: float | None = None, since: datetime | None = RESET, about: str = "") -> Row:
    return Row(about, amount, other, since, "evidence", "")


def look(days_ago: float, amount: float, other: float | None = None, identity: str = "cluster/1") -> Snapshot:
    sample = Sample("one", "server", "", amount, other, RESET)
    return Snapshot(NOW - timedelta(days=days_ago), identity, (sample,))


def judged(check: Check, one: Row, *history: Snapshot) -> Outcome:
    return judge(check, Answer((one,)), PLACE, history)


# --- differences ---


def test_a_difference_counts_since_the_last_look_and_not_since_the_reset() -> None:
    outcome = judged(DELTA, row(1050), look(1, 1000))
    assert (outcome.status, outcome.findings[0].value) == (Status.WARN, 50)
    assert judged(DELTA, row(1005), look(1, 1000)).status is Status.OK


def test_a_difference_over_a_week_is_per_day_and_one_over_an_hour_is_not_blown_up() -> None:
    assert judged(DELTA, row(1070), look(7, 1000)).status is Status.OK
    outcome = judged(DELTA, row(1011), look(1 / 24, 1000))
    assert outcome.findings[0].value == 11


def test_a_look_that_saw_nothing_is_passed_over() -> None:
    blind = Snapshot(NOW - timedelta(days=1), "", ())
    assert judged(DELTA, row(1050), look(2, 1000), blind).findings[0].value == 25


def test_a_share_is_of_what_happened_since_the_last_look() -> None:
    outcome = judged(SHARE, row(1500, 12000), look(1, 1000, 10000))
    assert outcome.findings[0].value == 25


def test_a_share_of_too_little_is_not_judged() -> None:
    outcome = judged(SHARE, row(1500, 10999), look(1, 1000, 10000))
    assert (outcome.status, outcome.findings) == (Status.OK, ())


@pytest.mark.parametrize(
    ("now", "history", "why"),
    [
        (row(1050), [], "first look"),
        (row(1050, since=NOW), [look(1, 1000)], "statistics were reset at 2026-03-01"),
        (row(50), [look(1, 1000)], "counters went back"),
        (row(1050), [look(1, 1000, identity="cluster/2")], "another server answers"),
        (row(1050, about="new"), [look(1, 1000)], "first look at this"),
        (row(None), [look(1, 1000)], "evidence"),
    ],
)
def test_a_difference_that_cannot_be_told_is_unknown_and_says_why(now: Row, history: list[Snapshot], why: str) -> None:
    outcome = judged(DELTA, now, *history)
    assert outcome.status is Status.UNKNOWN
    assert why in outcome.why


# --- forecasts ---


def test_a_forecast_stands_on_the_steeper_of_7_and_28_days() -> None:
    slow = [look(days, 1000 - days) for days in range(28, 7, -1)]
    fast = [look(days, 1000 - 7 + 20 * (7 - days)) for days in range(7, 0, -1)]
    outcome = judged(FORECAST, row(993 + 140, 993 + 140 + 200), *slow, *fast)
    (finding,) = outcome.findings
    assert finding.value == pytest.approx(10 * 86400, rel=0.01)
    assert "7 d (8 looks)" in finding.says


@pytest.mark.parametrize("history", [[], [look(1, 10)], [look(0.2, 10), look(0.1, 20)]])
def test_too_little_history_is_said_and_nothing_is_guessed(history: list[Snapshot]) -> None:
    outcome = judged(FORECAST, row(100, 101), *history)
    assert outcome.status is Status.UNKNOWN
    assert f"{len(history)} earlier looks" in outcome.why


def test_what_shrinks_never_ends() -> None:
    assert judged(FORECAST, row(80, 101), look(2, 100), look(1, 90)).status is Status.OK


def test_what_is_over_its_ceiling_has_no_time_left() -> None:
    assert judged(FORECAST, row(120, 101), look(2, 100), look(1, 110)).findings[0].value == 0


# --- findings ---


def test_the_fingerprint_stays_whatever_the_value() -> None:
    (small,), (large,) = judged(CHECK, row(11)).findings, judged(CHECK, row(99)).findings
    assert small.fingerprint == large.fingerprint
    assert small.fingerprint != judged(CHECK, row(11, about="other")).findings[0].fingerprint


def test_rows_of_one_object_are_one_finding_the_worst() -> None:
    outcome = judge(CHECK, Answer((row(11), row(500), row(20))), PLACE, ())
    (finding,) = outcome.findings
    assert (finding.status, finding.value) == (Status.CRIT, 500)
    assert finding.says == "evidence; and 2 more"


def test_an_object_that_cannot_be_told_does_not_hide_the_others() -> None:
    outcome = judge(CHECK, Answer((row(None, about="dark"), row(11, about="seen"))), PLACE, ())
    assert outcome.status is Status.WARN
    assert {one.object: one.status for one in outcome.findings} == {"seen": Status.WARN, "dark": Status.UNKNOWN}


# --- grades ---


def report(*outcomes: Outcome, at: datetime = NOW) -> Report:
    return Report("app", "server", "app", at, 0.1, "18.1", outcomes, Snapshot(at, "cluster/1", ()))


def outcome(status: Status, name: str = "one", *findings: Finding) -> Outcome:
    return Outcome(replace(CHECK, name=name), "server", "app", status, "" if status is Status.OK else "why", findings)


@pytest.mark.parametrize("blind", [Status.UNKNOWN, Status.SKIPPED])
def test_the_grade_is_never_ok_when_more_than_a_tenth_could_not_see(blind: Status) -> None:
    fine = [outcome(Status.OK)] * 9
    assert report(*fine, outcome(blind)).grade is Status.OK
    assert report(*fine, outcome(blind), outcome(blind)).grade is Status.UNKNOWN
    assert report().grade is Status.UNKNOWN


def test_blindness_hides_no_finding() -> None:
    found = judged(CHECK, row(11))
    assert report(found, outcome(Status.UNKNOWN), outcome(Status.SKIPPED)).grade is Status.WARN


# --- changes ---


def test_a_finding_is_new_once_and_keeps_its_since() -> None:
    first = compare(report(judged(CHECK, row(11))), ())
    assert [one.since for one in first.new] == [NOW]
    second = compare(report(judged(CHECK, row(99)), at=NOW + timedelta(days=1)), first.open)
    assert [one.since for one in second.same] == [NOW]
    assert not second.anything


def test_worse_and_better_go_by_the_status() -> None:
    warn, crit = judged(CHECK, row(11)), judged(CHECK, row(500))
    assert compare(report(crit), warn.findings).worse
    assert compare(report(warn), crit.findings).better


def test_gone_is_resolved_only_if_the_check_could_look() -> None:
    before = judged(CHECK, row(11)).findings
    assert compare(report(outcome(Status.OK)), before).resolved == before
    assert compare(report(judged(CHECK, row(11, about="other"))), before).resolved == before
    for blind in (outcome(Status.UNKNOWN), outcome(Status.SKIPPED), judged(CHECK, row(None))):
        changes = compare(report(blind), before)
        assert changes.unseen == before
        assert changes.open == before
        assert not changes.resolved


def test_gone_is_not_resolved_while_others_fill_the_list() -> None:
    check = replace(CHECK, versions=((15, 18, "SELECT 1 LIMIT 2"),))
    rows = {about: row(11, about=about) for about in "abc"}
    before = judge(check, Answer((rows["b"], rows["c"])), PLACE, ()).findings
    full = report(judge(check, Answer((rows["a"], rows["b"])), PLACE, ()))
    assert [one.object for one in compare(full, before).unseen] == ["c"]
    assert "more than the 2" in full.blind[0].why
    for less in ((rows["a"],), (rows["a"], row(9, about="d"))):
        seen = report(judge(check, Answer(less), PLACE, ()))
        assert [one.object for one in compare(seen, before).resolved] == ["b", "c"] and not seen.blind


def test_a_check_that_is_no_more_retires_its_findings() -> None:
    before = judged(CHECK, row(11)).findings
    changes = compare(report(outcome(Status.OK, "another")), before)
    assert changes.retired == before
    assert not changes.open


def test_a_mute_silences_what_it_names_until_its_time() -> None:
    found = judged(CHECK, row(11, about="a"))
    tomorrow = NOW + timedelta(days=1)
    silent = [
        Mute("app", "known", tomorrow),
        Mute("app", "known", tomorrow, found.findings[0].fingerprint),
    ]
    for mute in silent:
        changes = compare(report(found), (), [mute])
        assert [one.object for one, _ in changes.muted] == ["a"]
        assert not changes.anything
        assert len(changes.open) == 1
    loud = [
        Mute("other", "known", tomorrow),
        Mute("app", "known", NOW),
        Mute("app", "known", tomorrow, judged(CHECK, row(11, about="b")).findings[0].fingerprint),
    ]
    assert compare(report(found), (), loud).new
