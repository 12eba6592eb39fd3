"""What the team reads in Slack about the health of the fleet, as pure functions to Block Kit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pgops import units
from pgops.alerts.blocks import (
    MESSAGE_BLOCKS,
    MESSAGE_TEXT,
    NOTIFICATION_TEXT,
    Block,
    Message,
    code,
    code_block,
    context,
    header,
    link,
    markdown,
    safe,
    text_length,
    when,
)
from pgops.alerts.messages import BAD_ICON, GOOD_ICON, LOOKS, Severity, ending, listed
from pgops.health import Finding, Status
from pgops.health.daily import Checked

DETAILED = 8
_NOTES, _RESOLVED = 5, 15
_KINDS = ("new", "worse", "better", "resolved")
_SEVERITIES: dict[Status, Severity] = {Status.CRIT: "crit", Status.WARN: "warn", Status.INFO: "info"}


@dataclass(frozen=True)
class Told:
    """A finding with how it has changed, and the databases in which it is the same one (a server that is down)."""

    finding: Finding
    change: str
    databases: tuple[str, ...]


@dataclass(frozen=True)
class HealthNews:
    """One run over the whole fleet.

    Attributes:
        checked: what became of each database.
        failed: databases that could not be looked at, and why.
    """

    checked: tuple[Checked, ...]
    started_at: datetime
    seconds: float
    log_url: str
    failed: Mapping[str, str] = field(default_factory=dict)
    dashboard_url: str = ""
    command: str = ""

    def told(self, *changes: str) -> tuple[Told, ...]:
        """Findings that changed so, the worst first."""
        found: dict[tuple[str, str], Told] = {}
        for one in self.checked:
            for change in changes:
                for finding in getattr(one, change):
                    key = (finding.fingerprint, change)
                    databases = found[key].databases if key in found else ()
                    found[key] = Told(finding, change, (*databases, one.database))
        return tuple(sorted(found.values(), key=lambda told: (-told.finding.status.rank, told.databases)))


def health_message(news: HealthNews, *, runbook_url: str | None = None) -> Message:
    """One message for the fleet: what could not be checked, what is new or worse, what is better or gone."""
    bad = news.told("new", "worse")
    serious = [one for one in bad if one.finding.status in (Status.CRIT, Status.WARN)]
    good = news.told("better", "resolved")
    headline = _headline(news, bad, good)
    blocks: list[Block] = [header(f"{_icon(news, serious)} {headline}"), context(_grades(news))]
    if news.failed:
        lines = [f"• {code(name, 100)}: {safe(why, 300)}" for name, why in list(news.failed.items())[:DETAILED]]
        more = [f"and {len(news.failed) - DETAILED} more"] if len(news.failed) > DETAILED else []
        blocks.append(markdown("*Not checked*\n" + "\n".join([*lines, *more])))
    tail = [*_good(good), *_quiet(news, bad), *_notes(news)]
    crit = any(one.finding.status is Status.CRIT for one in serious)
    section = "health-check-did-not-run" if news.failed else "health-finding-is-critical" if crit else ""
    if news.dashboard_url:
        tail.append(markdown(link(news.dashboard_url, "Open the fleet dashboard: evidence, reports, fingerprints")))
    tail += ending(news.log_url, news.command if news.failed else "", section, runbook_url)
    blocks += _details(serious, MESSAGE_TEXT - text_length([*blocks, *tail]))
    blocks = [*blocks, *tail][:MESSAGE_BLOCKS]
    worst: Severity | None = "crit" if news.failed or crit else "warn" if serious else None
    return Message(safe(headline, NOTIFICATION_TEXT), tuple(blocks), LOOKS[worst].color if worst else "")


def critical_message(
    database: str, findings: Sequence[Finding], log_url: str, *, runbook_url: str | None = None
) -> Message:
    """Critical findings that were not there yesterday, said while the rest of the fleet is still looked at."""
    look = LOOKS["crit"]
    first = findings[0]
    about = f"{first.title}{f' and {len(findings) - 1} more' if len(findings) > 1 else ''}"
    blocks: list[Block] = [header(f"{look.icon} {look.word} · {database}: {about}")]
    blocks += _details([Told(one, "new", (database,)) for one in findings], MESSAGE_TEXT - 1000)
    blocks += ending(log_url, "", "health-finding-is-critical", runbook_url)
    text = f"{look.word}: {database}: {about}. {first.object} {first.says}. Next: {first.mend}"
    return Message(safe(text, NOTIFICATION_TEXT), tuple(blocks), look.color)


def _icon(news: HealthNews, serious: Sequence[Told]) -> str:
    if news.failed:
        return BAD_ICON
    if not serious:
        return GOOD_ICON
    return LOOKS[_SEVERITIES[serious[0].finding.status]].icon


def _headline(news: HealthNews, bad: Sequence[Told], good: Sequence[Told]) -> str:
    numbers = [
        (len(news.failed), "NOT CHECKED"),
        (sum(one.finding.status is Status.CRIT for one in bad), "critical"),
        (warnings := sum(one.finding.status is Status.WARN for one in bad), f"warning{'s' if warnings != 1 else ''}"),
        (sum(one.finding.status is Status.INFO for one in bad), "information"),
        (sum(one.change == "better" for one in good), "better"),
        (sum(one.change == "resolved" for one in good), "resolved"),
    ]
    changed = ", ".join(f"{number} {what}" for number, what in numbers if number)
    if changed and not all(one.compared for one in news.checked):
        changed += " (not compared)"
    fleet = len(news.checked) + len(news.failed)
    return f"Health of {fleet} database{'s' if fleet != 1 else ''}: {changed or 'no change'}"


def _grades(news: HealthNews) -> str:
    """How many databases have which grade, and what is still open."""
    grades: dict[Status, list[str]] = {}
    for one in news.checked:
        grades.setdefault(one.grade, []).append(one.database)
    parts = [
        f"{status}: {listed(names, 8)}" if status in (Status.CRIT, Status.WARN) else f"{status}: {len(names)}"
        for status, names in sorted(grades.items(), key=lambda item: -item[0].rank)
    ]
    still = {status: sum(one.open.get(str(status), 0) for one in news.checked) for status in (Status.CRIT, Status.WARN)}
    muted = sum(one.muted for one in news.checked)
    parts.append(f"open: {still[Status.CRIT]} crit, {still[Status.WARN]} warn{f', {muted} muted' if muted else ''}")
    parts.append(f"in {units.duration(news.seconds)}, started {when(news.started_at)}")
    return "  ·  ".join(parts)


def _details(told: Sequence[Told], room: int) -> list[Block]:
    """Each with its evidence and its mend, as many as are readable and fit; the names of the rest."""
    blocks: list[Block] = []
    for one in told[:DETAILED]:
        paragraph = markdown(_paragraph(one))
        if text_length([*blocks, paragraph]) > room - 500:
            break
        blocks.append(paragraph)
    rest = [f"{one.finding.status} {one.finding.title} {one.finding.object}".strip() for one in told[len(blocks) :]]
    return [*blocks, markdown(f"*And {len(rest)} more:* {_within(rest, 400)}")] if rest else blocks


def _within(names: Sequence[str], limit: int) -> str:
    shown: list[str] = []
    for name in names:
        shown.append(code(name, 80))
        if len(", ".join(shown)) > limit:
            break
    return ", ".join(shown) + (" ..." if len(shown) < len(names) else "")


def _paragraph(told: Told) -> str:
    one = told.finding
    look = LOOKS[_SEVERITIES[one.status]]
    about = f" {code(one.object, 120)}" if one.object else ""
    measured = one.value is not None and one.dimension != "count"  # what was counted stands in the evidence
    value = f"*{safe(one.shown, 20)}* " if measured else ""
    risk = f" (risk: {safe(one.risk, 150)})" if one.risk not in ("", "none") else ""
    mend = f"\n*Next*{risk}\n{code_block(one.mend, 350)}" if one.mend else ""
    what = f"{look.icon} *{look.word} · {safe(one.title, 100)}*{about} in {listed(told.databases, 5)}, {told.change}"
    return f"{what}\n{value}{safe(one.says, 250)}{mend}"


def _good(good: Sequence[Told]) -> list[Block]:
    lines = [
        f"• {one.change}: {safe(one.finding.title, 100)}"
        f"{f' {code(one.finding.object, 100)}' if one.finding.object else ''} in {listed(one.databases, 5)}"
        for one in good[:_RESOLVED]
    ]
    more = [f"and {len(good) - _RESOLVED} more"] if len(good) > _RESOLVED else []
    return [markdown("*Better*\n" + "\n".join([*lines, *more]))] if good else []


def _quiet(news: HealthNews, bad: Sequence[Told]) -> list[Block]:
    """What is only counted: information, and what does not fit into what a task hands on."""
    found = sum(one.finding.status is Status.INFO for one in bad)
    left = sum(one.numbers.get(kind, 0) - len(getattr(one, kind)) for one in news.checked for kind in _KINDS)
    parts = [f"{found} new as information"] if found else []
    parts += [f"{left} more that changed are only in the reports"] if left else []
    return [context("; ".join(parts))] if parts else []


def _notes(news: HealthNews) -> list[Block]:
    by_note: dict[str, list[str]] = {}
    for one in news.checked:
        for note in one.notes:
            by_note.setdefault(note, []).append(one.database)
    lines = [f"• {listed(names, 5)}: {safe(note, 300)}" for note, names in by_note.items()]
    more = [f"and {len(lines) - _NOTES} more"] if len(lines) > _NOTES else []
    return [markdown("*Not whole*\n" + "\n".join([*lines[:_NOTES], *more]))] if lines else []


def summary(told: Iterable[Told]) -> list[str]:
    """A line for each finding, as a run's result shows it."""
    return [
        " ".join(filter(None, (str(one.finding.status), one.change, ",".join(one.databases), one.finding.check,
                               one.finding.object)))
        for one in told
    ]  # fmt: skip
