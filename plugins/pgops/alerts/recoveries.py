"""What the team reads in Slack about recoveries to a point in time, as pure functions to Block Kit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pgops import units
from pgops.alerts.blocks import (
    NOTIFICATION_TEXT,
    Block,
    Message,
    code,
    code_block,
    fields,
    header,
    markdown,
    safe,
    when,
)
from pgops.alerts.messages import BAD_ICON, GOOD_ICON, LOOKS, ending

_SHOWN = 2_500


@dataclass(frozen=True)
class RecoveryNews:
    """What became of a recovery.

    Attributes:
        mode: "side by side" or "in place".
        state: recovered, degraded (it serves, but a standby that the fleet file names does not follow it), planned
            (nothing was asked for but the plan), refused (nothing was touched) or failed.
        address: where the copy is reached; empty where there is none.
        stopped: the stopping point, as the server's log names it.
        checks: what was looked at, and what came of it.
        commands: how to look into it and how to copy a table back; or the way back of one in place.
        standbys: what became of those that the fleet file names.
    """

    database: str
    target: str
    mode: str
    state: str
    error: str
    address: str
    until: datetime | None
    backup_id: str
    stopped: str
    checks: tuple[str, ...]
    counts: tuple[str, ...]
    plan: tuple[str, ...]
    commands: tuple[str, ...]
    seconds: float
    started_at: datetime
    log_url: str
    command: str = ""
    standbys: tuple[str, ...] = ()


def recovery_message(news: RecoveryNews, *, runbook_url: str | None = None) -> Message:
    """One recovery: where it is, what it is, and what to do with it."""
    good = news.state in ("recovered", "planned")
    word = news.state if good else news.state.upper()
    headline = f"{news.database} as of {news.target}: {word}, {news.mode}"
    pairs = [
        ("Database", code(news.database)),
        ("As of", code(news.target)),
        ("Base backup", code(news.backup_id or "none")),
        ("Took", units.duration(news.seconds)),
        ("Started", when(news.started_at)),
        *([("Where", code(news.address))] if news.address else []),
        *([("Stays until", when(news.until))] if news.until else []),
    ]
    blocks: list[Block] = [header(f"{GOOD_ICON if good else BAD_ICON} {headline}"), fields(pairs)]
    if news.error:
        blocks.append(markdown("*Error*\n" + code_block(news.error, 1500)))
    if news.stopped:
        blocks.append(markdown("*Where recovery stopped*\n" + code_block(news.stopped, 400)))
    for title, lines in (
        ("Plan", news.plan if news.state == "planned" else ()),
        ("Checks", news.checks),
        ("Rows", news.counts),
        ("Standbys", news.standbys),
        ("Look, copy back, undo", news.commands),
    ):
        if lines:
            blocks.append(markdown(f"*{title}*\n" + code_block("\n".join(lines), _SHOWN if title == "Plan" else 1500)))
    command = "" if good or news.state == "degraded" else news.command  # which would recover the server once more
    blocks += ending(news.log_url, command, "" if good else "recovery-not-finished", runbook_url)
    return Message(safe(headline, NOTIFICATION_TEXT), tuple(blocks), "" if good else LOOKS["crit"].color)


@dataclass(frozen=True)
class RecoveryDrillNews:
    """What a drill of a server measured. Seconds; None where it did not get so far."""

    server: str
    passed: bool
    failures: tuple[str, ...]
    target: datetime | None
    rpo_seconds: float | None
    rpo_limit_seconds: float
    rto_seconds: float | None
    rto_limit_seconds: float
    backup_id: str
    started_at: datetime
    log_url: str
    command: str = ""


def recovery_drill_message(news: RecoveryDrillNews, *, runbook_url: str | None = None) -> Message:
    """One drill: whether recovery is proven, and how much and how long it would have cost."""
    headline = f"{news.server}: recovery to a point in time {'proven' if news.passed else 'NOT proven'}"
    pairs = [
        ("Server", code(news.server)),
        ("Instant", when(news.target)),
        ("Data at risk (RPO)", _against(news.rpo_seconds, news.rpo_limit_seconds)),
        ("Time to recover (RTO)", _against(news.rto_seconds, news.rto_limit_seconds)),
        ("Base backup", code(news.backup_id or "none")),
        ("Started", when(news.started_at)),
    ]
    blocks: list[Block] = [header(f"{GOOD_ICON if news.passed else BAD_ICON} {headline}"), fields(pairs)]
    if news.failures:
        blocks.append(markdown("*What failed*\n" + code_block("\n".join(news.failures), 1500)))
    section = "" if news.passed else "recovery-not-proven"
    blocks += ending(news.log_url, "" if news.passed else news.command, section, runbook_url)
    return Message(safe(headline, NOTIFICATION_TEXT), tuple(blocks), "" if news.passed else LOOKS["crit"].color)


def _against(measured: float | None, limit: float) -> str:
    if measured is None:
        return f"{BAD_ICON} not measured, allowed {units.duration(limit)}"
    words = f"{units.duration(measured)} of {units.duration(limit)}"
    return f"{GOOD_ICON} {words}" if measured <= limit else f"{BAD_ICON} {words}: MISSED"
