"""Messages fit Slack's limits whatever they are given, and say what the person on call must know."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime

import pytest

from pgops import units
from pgops.alerts.messages import (
    Alert,
    BackupLine,
    Canary,
    DrillReport,
    Message,
    NightlyReport,
    alert_message,
    drill_message,
    nightly_message,
    run_command,
)
from pgops.alerts.send import payload
from sandbox.slack_rules import check_message

AT = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
LOG = "http://airflow.test/dags/nightly_backup"
NASTY = (
    "<!channel>",
    "*x*",
    "`x`",
    "```",
    "a&b",
    "<http://evil|x>",
    "nul\x00\nline",
    "\u202eesrever",
    "x" * 5000,
    "",
    "&<>" * 2000,
)


def alert(**changes) -> Alert:
    base = {
        "title": "dump failed", "severity": "crit", "database": "billing", "what": "pg_dump stopped",
        "where": "db:5432", "since": AT, "remedy": "Run it again", "log_url": LOG, "runbook": "backup-dump-failed",
        "command": "./dev status",
    }  # fmt: skip
    return Alert(**(base | changes))


def drill(**changes) -> DrillReport:
    base = {
        "database": "billing", "backup_id": "20261123T020000Z-k3x9", "restored": True, "tables": 3, "differing": (),
        "restore_seconds": 60, "rto_seconds": 120, "amcheck": 0, "canaries": (), "started_at": AT, "log_url": LOG,
        "command": "./dev run restore_drill",
    }  # fmt: skip
    return DrillReport(**(base | changes))


def night(lines, **changes) -> NightlyReport:
    return NightlyReport(tuple(lines), started_at=AT, seconds=700, log_url=LOG, **changes)


def line(name: str, ok: bool = True, **changes) -> BackupLine:
    good = {"bytes": 3 * 2**30, "seconds": 200, "throughput": 48 * 2**20, "change": 1.0, "verification": "contents"}
    return BackupLine(name, ok, **((good if ok else {"error": "it broke"}) | changes))


def texts(message: Message) -> str:
    """All that is shown, in one string."""

    def walk(part):
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict):
            for key, value in part.items():
                yield from walk(value) if key in ("text", "fields", "elements") else ()
        elif isinstance(part, list | tuple):
            for one in part:
                yield from walk(one)

    return "\n".join(walk(list(message.blocks)))


def assert_slack_takes(message: Message) -> None:
    content = {"attachments": [], **payload(message)}
    check_message(content)
    assert message.text, "notifications need a text"
    json.dumps(content).encode()  # no lone surrogate


def test_an_alert_says_what_where_how_bad_since_when_and_what_next():
    shown = texts(alert_message(alert(), runbook_url="https://docs.test/runbook.md"))
    for part in ("CRITICAL", "Critical: act now", "`billing`", "pg_dump stopped", "`db:5432`", "2026-11-23 02:00 UTC"):
        assert part in shown
    assert "Run it again" in shown and "```./dev status```" in shown
    assert f"<{LOG}|Open the task log>" in shown
    assert "<https://docs.test/runbook.md#backup-dump-failed|Runbook: Backup: dump failed>" in shown


def test_each_severity_is_told_by_words_not_only_by_colour():
    words = {s: texts(alert_message(alert(severity=s))) for s in ("info", "warn", "crit")}
    assert "INFO" in words["info"] and "WARNING" in words["warn"] and "CRITICAL" in words["crit"]
    assert len({alert_message(alert(severity=s)).color for s in words}) == 3


def test_a_runbook_that_is_no_web_page_is_named_rather_than_linked():
    assert "`docs/runbook.md#backup-dump-failed`" in texts(alert_message(alert(), runbook_url="docs/runbook.md"))


@pytest.mark.parametrize("nasty", NASTY)
def test_no_content_breaks_an_alert_or_calls_anybody(nasty):
    message = alert_message(
        alert(
            title=nasty,
            database=nasty,
            what=nasty,
            where=nasty,
            remedy=nasty,
            command=nasty,
            details=(nasty,),
            log_url="",
        )
    )
    assert_slack_takes(message)
    assert_no_foreign_markup(message)


@pytest.mark.parametrize("nasty", NASTY)
def test_no_content_breaks_a_report(nasty):
    lines = [line(nasty, False, error=nasty), line(nasty, notes=(nasty,), verification=nasty), line("b")]
    for message in (
        nightly_message(night(lines, command=nasty)),
        drill_message(
            drill(database=nasty, error=nasty, differing=(nasty,) * 99, canaries=(Canary(nasty, False, nasty),))
        ),
    ):
        assert_slack_takes(message)
        assert_no_foreign_markup(message)


def assert_no_foreign_markup(message: Message) -> None:
    marked = [b["text"]["text"] for b in message.blocks if b.get("text", {}).get("type") == "mrkdwn"]
    marked += [f["text"] for b in message.blocks for f in b.get("fields", []) + b.get("elements", [])]
    for text in [*marked, message.text]:
        assert "<!channel>" not in text
        assert "evil|x>" not in text or "&lt;http://evil" in text
        assert text.count("```") in (0, 2), "a code block was ended early"
        assert "\x00" not in text and "\u202e" not in text


def test_a_secret_in_an_error_does_not_reach_the_message_even_when_it_is_cut_there():
    for padding in range(300, 340):
        error = "x" * padding + " postgresql://app:hunter2secret@db/x"
        message = nightly_message(night([line("a", False, error=error)]))
        assert "hunter2" not in json.dumps(payload(message))


@pytest.mark.parametrize("count", [0, 1, 2, 40, 41, 500])
def test_a_fleet_of_any_size_fits_one_message(count):
    message = nightly_message(night([line(f"database_{i:03}") for i in range(count)]))
    assert_slack_takes(message)
    shown = texts(message)
    assert shown.count("48 ") <= 60
    if count > 40:
        assert f"and {count - 40} more: all proven" in shown
    else:
        assert "more:" not in shown
        assert all(f"database_{i:03}" in shown for i in range(count))


def test_no_database_at_all_is_not_shown_as_success():
    assert ":x:" in texts(nightly_message(night([])))


@pytest.mark.parametrize("failed", [1, 8, 9, 499, 500])
def test_failures_come_first_and_are_counted_even_when_not_all_fit(failed):
    lines = [line(f"good_{i:03}", notes=("from the standby",) * 3) for i in range(500 - failed)]
    lines += [line(f"bad_{i:03}_{'n' * 90}", False, error="ERROR: & <boom> " * 500) for i in range(failed)]
    message = nightly_message(night(lines, command="./dev run nightly_backup"))
    assert_slack_takes(message)
    shown = texts(message)
    assert f"{failed} of 500 databases FAILED" in shown
    assert "bad_000" in shown
    if failed < 500:
        assert shown.index("bad_000") < shown.index("good_000")
        assert failed == 499 or ": all proven" in shown
    named = sum(f"bad_{i:03}" in shown for i in range(failed))
    assert named == failed or f"and {failed - named} more" in shown


def test_the_table_shows_the_oddest_first_and_fits_a_phone():
    lines = [line("steady", change=0.2), line("shrunk", change=-60.0), line("a" * 40), line("noted", notes=("note",))]
    table = next(t for t in texts(nightly_message(night(lines))).split("```") if t.startswith("database"))
    rows = table.splitlines()
    assert [row.split()[0].rstrip("…") for row in rows] == ["database", "noted", "shrunk", "a" * 11, "steady"]
    assert "-60%" in rows[2] and "3.0 GiB" in rows[2] and "3 min" in rows[2] and "48" in rows[2]
    assert max(map(len, rows)) <= 40


def test_the_proof_is_named_per_database_when_it_differs():
    same = texts(nightly_message(night([line("a"), line("b")])))
    assert "Proof: 2 × contents" in same
    differs = texts(nightly_message(night([line("a"), line("b", verification="decoded")])))
    assert "1 × contents, 1 × decoded" in differs
    assert any(row.startswith("b ") and row.endswith("decoded") for row in differs.replace("`", "").splitlines())


def test_a_drill_is_proven_only_when_everything_held():
    assert drill().ok and ":white_check_mark:" in texts(drill_message(drill()))
    for changes, section in (
        ({"restored": False}, "drill-could-not-restore"),
        ({"error": "pg_restore: error"}, "drill-could-not-restore"),
        ({"differing": ("public.a",)}, "drill-found-a-mismatch"),
        ({"amcheck": 2}, "drill-amcheck-found-corruption"),
        ({"canaries": (Canary("c", False),)}, "drill-canary-query-failed"),
        ({"restore_seconds": 121}, "drill-missed-its-rto"),
        ({"restore_seconds": None}, "drill-missed-its-rto"),
    ):
        failed = drill(**changes)
        message = drill_message(failed)
        assert (failed.ok, failed.runbook) == (False, section)
        assert "NOT proven" in texts(message) and section in texts(message) and "Next command" in texts(message)
        assert_slack_takes(message)


def test_what_a_drill_did_not_come_to_is_not_told_as_if_it_had():
    stopped = texts(drill_message(drill(restored=False, restore_seconds=None, amcheck=None, error="pg_restore died")))
    assert "*Restore time (RTO)*\nnot measured" in stopped and "*Canary queries*\nnot asked" in stopped
    assert "*Canary queries*\nnone in the fleet file" in texts(drill_message(drill(canaries=())))
    assert "*Canary queries*\nnot asked" in texts(drill_message(drill(canaries=None)))


def test_a_slow_throughput_keeps_a_decimal():
    assert " 3.4 " in texts(nightly_message(night([line("a", throughput=3.4 * 2**20)])))
    assert " 34 " in texts(nightly_message(night([line("a", throughput=34.4 * 2**20)])))


@pytest.mark.parametrize(
    ("configured", "beginning"), [("", ["airflow", "dags", "trigger"]), ("./dev run", ["./dev", "run"])]
)
def test_the_command_survives_a_shell_whatever_the_name(monkeypatch, configured, beginning):
    monkeypatch.setenv("PGOPS_RUN_COMMAND", configured)
    command = run_command("nightly_backup", {"database": 'it\'s "$(rm)" ünï'})
    words = shlex.split(command)
    assert words[:-1] == [*beginning, "nightly_backup", "--conf"]
    assert json.loads(words[-1]) == {"database": 'it\'s "$(rm)" ünï'}


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (units.size(0), "0 B"),
        (units.size(1023), "1.0 KiB"),
        (units.size(1.5 * 2**20), "1.5 MiB"),
        (units.size(345 * 2**30), "345 GiB"),
        (units.size(2**50), "1024 TiB"),
        (units.duration(3.24), "3.2 s"),
        (units.duration(99), "99 s"),
        (units.duration(100), "2 min"),
        (units.duration(7300), "2 h"),
        (units.duration(None), "-"),
        (units.change(-0.3), "0%"),
        (units.change(12.4), "+12%"),
        (units.change(123456), ">999%"),
        (units.rate(48 * 2**20), "48 MiB/s"),
    ],
)
def test_numbers_are_shown_in_units_that_people_read(shown, expected):
    assert shown == expected
