"""The morning's message about health: what changed, the worst first, each with its mend; it fits whatever is found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pgops.alerts.blocks import MESSAGE_BLOCKS, text_length
from pgops.alerts.health import HealthNews, critical_message, health_message, summary
from pgops.health import Finding, Status
from pgops.health.daily import Checked

NOW = datetime(2026, 11, 23, 7, tzinfo=UTC)


def finding(name: str, status: Status, **parts: Any) -> Finding:
    plain = Finding(
        check=name,
        fingerprint=name,
        title=f"Title of {name}",
        status=status,
        server="primary",
        database="app",
        object="public.orders",
        value=95.2,
        dimension="percent",
        says="the evidence",
        mend=f"mend {name};",
        risk="it locks",
        since=NOW,
    )
    return replace(plain, **parts)


def checked(database: str = "app", new: Sequence[Finding] = (), resolved: Sequence[Finding] = ()) -> Checked:
    return Checked(
        database=database,
        server="primary",
        grade=max((one.status for one in new), key=lambda one: one.rank, default=Status.OK),
        at=NOW,
        seconds=0.5,
        counts={"ok": 80},
        open={"crit": 1},
        new=tuple(new),
        worse=(),
        better=(),
        resolved=tuple(resolved),
        numbers={"new": len(new), "worse": 0, "better": 0, "resolved": len(resolved)},
        muted=0,
        blind={},
    )


def news(*databases: Checked, **parts: Any) -> HealthNews:
    return HealthNews(checked=databases, started_at=NOW, seconds=4.2, log_url="http://airflow.test/log", **parts)


def said(message: Any) -> str:
    return json.dumps(message.blocks, ensure_ascii=False)


def test_the_worst_comes_first_with_its_evidence_and_its_mend_and_information_is_only_counted():
    found = [finding("small", Status.INFO), finding("middle", Status.WARN), finding("big", Status.CRIT)]
    message = health_message(news(checked(new=found)))
    text = said(message)
    assert 0 < text.index("Title of big") < text.index("Title of middle")
    assert "mend big;" in text and "the evidence" in text and "(risk: it locks)" in text and "95 %" in text
    assert "Title of small" not in text and "1 new as information" in text
    assert message.text == "Health of 1 database: 1 critical, 1 warning, 1 information"
    assert "health-finding-is-critical" in text and message.color


def test_a_quiet_day_is_one_quiet_message():
    message = health_message(news(checked(), checked("crm")))
    assert message.text == "Health of 2 databases: no change"
    assert not message.color and "runbook" not in said(message) and ":white_check_mark:" in said(message)


def test_what_is_resolved_is_named_without_alarm():
    message = health_message(news(checked(resolved=[finding("gone", Status.CRIT)])))
    assert message.text == "Health of 1 database: 1 resolved" and not message.color
    assert "resolved: Title of gone" in said(message)


def test_a_server_that_is_down_is_one_finding_with_all_its_databases():
    down = finding("unreachable", Status.CRIT, object="")
    message = health_message(news(checked("app", [down]), checked("crm", [down])))
    assert message.text == "Health of 2 databases: 1 critical"
    assert said(message).count("Title of unreachable") == 1 and "`app`, `crm`" in said(message)


def test_what_could_not_be_checked_and_what_is_not_whole_is_said():
    partly = replace(checked("crm"), notes=("the ledger does not answer",), compared=False)
    message = health_message(news(partly, failed={"app": "no connection <!channel>"}))
    text = said(message)
    assert "1 NOT CHECKED" in message.text and "no connection &lt;!channel&gt;" in text
    assert "the ledger does not answer" in text and "health-check-did-not-run" in text


def test_it_fits_however_much_is_found_and_says_what_is_left_out():
    evil = "<!channel> `code` " * 100
    many = [
        finding(f"check_{number}", Status.CRIT, says=evil, object=evil, mend=evil, title=evil) for number in range(100)
    ]
    fleet = [replace(checked(f"db_{number}", many), numbers={"new": 300}, notes=(evil,)) for number in range(50)]
    for message in (health_message(news(*fleet)), critical_message("app", many, "http://airflow.test/log")):
        assert text_length(message.blocks) < 11_000 and len(message.blocks) <= MESSAGE_BLOCKS
        assert all(text_length(block) <= 3_000 for block in message.blocks)
        interpreted = [block for block in message.blocks if block["type"] != "header"]
        assert "<!channel>" not in json.dumps(interpreted) and "more:" in said(message)
    assert "10000 more that changed are only in the reports" in said(health_message(news(*fleet)))


def test_a_critical_finding_alerts_with_its_mend_and_the_runbook():
    message = critical_message("app", [finding("big", Status.CRIT), finding("too", Status.CRIT)], "http://x/log")
    assert message.text.startswith("CRITICAL: app: Title of big and 1 more.")
    assert "mend big;" in said(message) and "health-finding-is-critical" in said(message)


def test_the_result_of_a_run_has_a_line_for_each_finding():
    told = news(checked(new=[finding("big", Status.CRIT)])).told("new")
    assert summary(told) == ["crit new app big public.orders"]
