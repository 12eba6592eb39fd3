"""What the team reads in Slack: alerts, the nightly report and drill reports, as pure functions to Block Kit."""

from __future__ import annotations

import json
import os
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pgops import units
from pgops.alerts.blocks import (
    CODE_ROWS_TEXT,
    MESSAGE_BLOCKS,
    MESSAGE_TEXT,
    NOTIFICATION_TEXT,
    Block,
    Message,
    code,
    code_block,
    context,
    escape,
    fields,
    header,
    link,
    markdown,
    one_line,
    prose,
    safe,
    text_length,
    when,
)
from pgops.alerts.runbook import SECTIONS, runbook_base

Severity = Literal["info", "warn", "crit"]


@dataclass(frozen=True)
class Look:
    """How a severity is shown: the icon and the colour repeat what the words say."""

    icon: str
    word: str
    how_bad: str
    color: str


LOOKS: dict[Severity, Look] = {
    "info": Look(":information_source:", "INFO", "Information: nothing to do now", "#36709b"),
    "warn": Look(":warning:", "WARNING", "Warning: look at it today", "#d99a1c"),
    "crit": Look(":rotating_light:", "CRITICAL", "Critical: act now", "#c9284b"),
}

GOOD_ICON, BAD_ICON = ":white_check_mark:", ":x:"
DETAILED_FAILURES = 8
NAMED_FAILURES = 40
PROVEN_ROWS = 40
COMMAND_TEXT = 600
RUN_COMMAND = "airflow dags trigger"
DETAILED_NOTES = 6
NAME_WIDTH = 12  # a row then has 39 characters: what a phone shows without wrapping


@dataclass(frozen=True)
class Alert:
    """One thing that went wrong, as the person on call must hear it.

    Args:
        title: the headline, a few words.
        severity: info, warn or crit.
        database: its name in the fleet; empty when it is about none in particular.
        what: the fact, in a sentence.
        where: task, host, object or file.
        since: when it began.
        remedy: what to do next, in a sentence.
        log_url: the task's log in the Airflow UI.
        runbook: a section of the runbook (a key of runbook.SECTIONS).
        command: the next command, to be copied.
        details: further small print, such as the run.
        log_label: what the link to `log_url` says.
    """

    title: str
    severity: Severity
    database: str
    what: str
    where: str
    since: datetime | None
    remedy: str
    log_url: str
    runbook: str
    command: str = ""
    details: tuple[str, ...] = ()
    log_label: str = "Open the task log"


@dataclass(frozen=True)
class BackupLine:
    """What became of one database's backup tonight.

    Args:
        name: the database's name in the fleet.
        ok: proven: read back, checked and committed.
        bytes: what lies in the bucket.
        seconds: from the dump's start to the verification's end.
        throughput: bytes read from the database in a second.
        change: of `bytes` since the last backup, in percent.
        verification: the level that was reached, such as "contents".
        error: why it is not ok.
        notes: what the reader must know though it is ok.
    """

    name: str
    ok: bool
    bytes: int | None = None
    seconds: float | None = None
    throughput: float | None = None
    change: float | None = None
    verification: str = ""
    error: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class BaseLine:
    """What became of one server's base backup tonight.

    Args:
        server: its name in the fleet.
        ok: proven: read back with the WAL that it needs.
        backup_id: the engine's name of it.
        kind: full or delta.
        taken: tonight; else the one before is young enough.
        bytes: what lies in the bucket.
        seconds: that taking it took.
        error: why it is not ok.
        notes: what the reader must know though it is ok.
    """

    server: str
    ok: bool
    backup_id: str = ""
    kind: str = ""
    taken: bool = False
    bytes: int | None = None
    seconds: float | None = None
    error: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class NightlyReport:
    """One night of the whole fleet."""

    lines: tuple[BackupLine, ...]
    started_at: datetime
    seconds: float
    log_url: str
    pruned: int = 0
    command: str = ""
    bases: tuple[BaseLine, ...] = ()


@dataclass(frozen=True)
class Canary:
    """A query of the fleet file, asked of the restored database."""

    name: str
    ok: bool
    detail: str = ""


@dataclass(frozen=True)
class DrillReport:
    """One backup, restored on trial.

    Args:
        database: its name in the fleet.
        backup_id: which backup.
        restored: whether pg_restore ended well.
        tables: how many tables were compared with the manifest.
        differing: the tables whose contents differ from it.
        restore_seconds: the measured restore time.
        rto_seconds: what the policy allows; None when it says nothing.
        amcheck: problems that pg_amcheck found; None when it was not run.
        canaries: the canary queries; None when they were not asked.
        started_at: when the drill began.
        log_url: the task's log in the Airflow UI.
        error: why the drill stopped, when it did.
        command: the command that repeats the drill.
    """

    database: str
    backup_id: str
    restored: bool
    tables: int
    differing: tuple[str, ...]
    restore_seconds: float | None
    rto_seconds: float | None
    amcheck: int | None
    canaries: tuple[Canary, ...] | None
    started_at: datetime
    log_url: str
    error: str = ""
    command: str = ""

    @property
    def within_rto(self) -> bool:
        """Whether the restore was as fast as the policy asks."""
        return self.rto_seconds is None or (
            self.restore_seconds is not None and self.restore_seconds <= self.rto_seconds
        )

    @property
    def runbook(self) -> str:
        """The runbook section for the worst finding; empty when all is well."""
        findings = (
            (not self.restored or bool(self.error), "drill-could-not-restore"),
            (bool(self.differing), "drill-found-a-mismatch"),
            (bool(self.amcheck), "drill-amcheck-found-corruption"),
            (not all(c.ok for c in self.canaries or ()), "drill-canary-query-failed"),
            (not self.within_rto, "drill-missed-its-rto"),
        )
        return next((section for found, section in findings if found), "")

    @property
    def ok(self) -> bool:
        """Whether the backup is proven."""
        return not self.runbook


def run_command(dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
    """The command that runs a DAG, fit for a shell whatever the names in it hold.

    $PGOPS_RUN_COMMAND is its beginning, for whatever takes `DAG --conf JSON`: the sandbox says `./dev run`.
    """
    command = f"{os.environ.get('PGOPS_RUN_COMMAND') or RUN_COMMAND} {shlex.quote(dag_id)}"
    return f"{command} --conf {shlex.quote(json.dumps(conf, ensure_ascii=False))}" if conf else command


def alert_message(alert: Alert, *, runbook_url: str | None = None) -> Message:
    """An alert as a Slack message."""
    look = LOOKS[alert.severity]
    about = f"{alert.database}: {alert.title}" if alert.database else alert.title
    blocks = [
        header(f"{look.icon} {look.word} · {about}"),
        prose(alert.what),
        fields(
            [
                *([("Database", code(alert.database))] if alert.database else []),
                ("How bad", look.how_bad),
                ("Where", code(alert.where)),
                ("Since", when(alert.since)),
            ]
        ),
        markdown("*Next*"),
        prose(alert.remedy),
    ]
    if alert.command:
        blocks.append(markdown(code_block(alert.command, COMMAND_TEXT)))
    blocks.append(markdown(_links(alert.log_url, alert.runbook, runbook_url, alert.log_label)))
    if alert.details:
        blocks.append(context(" · ".join(code(detail, 200) for detail in alert.details)))
    text = safe(f"{look.word}: {about}. {alert.what}. Next: {alert.remedy}", NOTIFICATION_TEXT)
    return Message(text, tuple(blocks), look.color)


def nightly_message(report: NightlyReport, *, runbook_url: str | None = None) -> Message:
    """One message for the whole fleet: failures first, then a table that a phone can show."""
    failed = sorted((line for line in report.lines if not line.ok), key=lambda line: line.name)
    proven = sorted((line for line in report.lines if line.ok), key=_worst_first)
    unsafe = [base for base in report.bases if not base.ok]
    headline = _nightly_headline(len(report.lines), len(failed), len(unsafe))
    blocks = [header(headline), markdown(_nightly_totals(report, proven))]
    blocks += _failures(failed) + _bases(report.bases)
    bad = bool(failed or unsafe)
    end = ending(report.log_url, report.command if bad else "", "a-task-failed" if bad else "", runbook_url)
    notes = _notes([(line.name, line.notes) for line in proven] + [(base.server, base.notes) for base in report.bases])
    room = MESSAGE_TEXT - text_length([*blocks, *notes, *end])
    blocks += [*_proven_table(proven, room), *notes, *end]
    names = ", ".join([*(line.name for line in failed), *(f"base backup of {base.server}" for base in unsafe)])
    plain = headline.split(" ", 1)[1] + (f" ({names})" if names else "")
    return Message(safe(plain, NOTIFICATION_TEXT), tuple(blocks[:MESSAGE_BLOCKS]))


def drill_message(report: DrillReport, *, runbook_url: str | None = None) -> Message:
    """What a restore drill found."""
    verdict = "proven by a restore" if report.ok else "NOT proven"
    headline = f"{report.database}: backup {report.backup_id} {verdict}"
    blocks = [
        header(f"{GOOD_ICON if report.ok else BAD_ICON} {headline}"),
        fields(
            [
                ("Database", code(report.database)),
                ("Backup", code(report.backup_id)),
                ("Restored", _mark(report.restored, "yes", "NO")),
                ("Contents", _contents(report)),
                ("Restore time (RTO)", _measured_rto(report)),
                ("pg_amcheck", _amcheck(report.amcheck)),
                ("Canary queries", _canary_summary(report.canaries if report.restored else None)),
                ("Started", when(report.started_at)),
            ]
        ),
    ]
    if report.error:
        blocks.append(markdown("*Error*\n" + code_block(report.error, 1500)))
    if report.differing:
        blocks.append(markdown("*Tables that differ*\n" + listed(report.differing, 20)))
    broken = [f"{c.name}: {c.detail}" if c.detail else c.name for c in report.canaries or () if not c.ok]
    if broken:
        blocks.append(markdown("*Canary queries that failed*\n" + listed(broken, 10)))
    blocks += ending(report.log_url, "" if report.ok else report.command, report.runbook, runbook_url)
    color = "" if report.ok else LOOKS["crit"].color
    return Message(safe(headline, NOTIFICATION_TEXT), tuple(blocks), color)


# --- The parts ---------------------------------------------------------------------------------------------------


def _links(log_url: str, section: str, runbook_url: str | None, log_label: str = "Open the task log") -> str:
    parts = [link(log_url, log_label)] if log_url else []
    if section:
        base = runbook_url or runbook_base()
        address, title = f"{base}#{section}", f"Runbook: {SECTIONS.get(section, section)}"
        is_web = base.startswith(("http://", "https://"))
        parts.append(link(address, title) if is_web else f"{escape(title)} ({code(address)})")
    return "  ·  ".join(parts) or "No log"


def ending(
    log_url: str, command: str, section: str, runbook_url: str | None, log_label: str = "Open the task log"
) -> list[Block]:
    """What every message ends with: the next command, if any, and where to read on."""
    next_command = [markdown("*Next command*\n" + code_block(command, COMMAND_TEXT))] if command else []
    return [*next_command, markdown(_links(log_url, section, runbook_url, log_label))]


def _nightly_headline(total: int, failed: int, unsafe: int) -> str:
    if total == 0:
        return f"{BAD_ICON} Nightly backup: no database in the fleet"
    bases = f", {_count(unsafe, 'base backup')} FAILED" if unsafe else ""
    if failed == 0:
        return f"{BAD_ICON if unsafe else GOOD_ICON} Nightly backup: {_count(total, 'database')} proven{bases}"
    return f"{BAD_ICON} Nightly backup: {failed} of {_count(total, 'database')} FAILED{bases}"


def _bases(lines: Sequence[BaseLine]) -> list[Block]:
    """The servers' base backups, a line each."""
    told = []
    for line in sorted(lines, key=lambda line: (line.ok, line.server))[:DETAILED_FAILURES]:
        if not line.ok:
            why = code_block(line.error or "No error was reported: see the log.", 350)
            told.append(f"{BAD_ICON} *Failed:* {code(line.server, 100)}\n{why}")
            continue
        when_taken = f"in {units.duration(line.seconds)}" if line.taken else "of before, young enough"
        told.append(
            f"{code(line.server, 60)} {line.kind} {code(line.backup_id, 60)} {units.size(line.bytes)} {when_taken}"
        )
    more = [f"and {len(lines) - len(told)} more"] if len(lines) > len(told) else []
    return [markdown("*Base backups*\n" + "\n".join([*told, *more]))] if told else []


def _nightly_totals(report: NightlyReport, proven: Sequence[BackupLine]) -> str:
    stored = sum(line.bytes or 0 for line in proven)
    levels = Counter(line.verification or "unnamed" for line in proven)
    parts = [
        f"*{units.size(stored)}* in *{units.duration(report.seconds)}*",
        f"started {when(report.started_at)}",
        f"pruned {report.pruned}" if report.pruned else "nothing pruned",
    ]
    proofs = ", ".join(f"{count} × {safe(level, 40)}" for level, count in levels.most_common(5))
    return "  ·  ".join(parts) + (f"\nProof: {proofs}" if proofs else "")


def _failures(failed: Sequence[BackupLine]) -> list[Block]:
    blocks = []
    for line in failed[:DETAILED_FAILURES]:
        why = code_block(line.error or "No error was reported: see the log.", 350)
        blocks.append(markdown(f"{BAD_ICON} *Failed:* {code(line.name, 100)}\n{why}"))
    others = [line.name for line in failed[DETAILED_FAILURES:]]
    if others:
        blocks.append(markdown(f"{BAD_ICON} *Failed too:* {listed(others, NAMED_FAILURES)}"))
    return blocks


def listed(names: Sequence[str], limit: int) -> str:
    """Names as code, as many as are readable, and how many more."""
    shown: list[str] = []
    for name in names[:limit]:
        shown.append(code(name, 100))
        if len(", ".join(shown)) > 1200:
            break
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _worst_first(line: BackupLine) -> tuple[bool, float, str]:
    return (not line.notes, -abs(line.change or 0), line.name)


def _proven_table(proven: Sequence[BackupLine], room: int) -> list[Block]:
    """The table, in as many rows as are readable and fit; what is left out is said."""
    with_proof = len({line.verification for line in proven}) > 1  # said once in the totals when it is the same for all
    heading = _row("database", "size", "time", "MiB/s", "chg", "proof" if with_proof else "")
    rows, length = [heading], len(heading)
    for line in proven[:PROVEN_ROWS]:
        row = _line_row(line, with_proof)
        length += len(escape(row)) + 1
        if length > min(CODE_ROWS_TEXT, room):
            break
        rows.append(row)
    shown = len(rows) - 1
    blocks = [markdown(code_block("\n".join(rows)))] if shown else []
    more = len(proven) - shown
    return [*blocks, context(f"and {more} more: all proven")] if more else blocks


def _line_row(line: BackupLine, with_proof: bool) -> str:
    rate = units.ABSENT if line.throughput is None else units.short(line.throughput / 2**20)
    size, time, change = units.size(line.bytes), units.duration(line.seconds), units.change(line.change)
    return _row(line.name, size, time, rate, change, line.verification if with_proof else "")


def _row(name: str, size: str, time: str, rate: str, change: str, proof: str) -> str:
    name = one_line(name, NAME_WIDTH)
    return f"{name:<{NAME_WIDTH}} {size:>7} {time:>6} {rate:>5} {change:>5} {one_line(proof, 9)}".rstrip()


def _notes(lines: Sequence[tuple[str, Sequence[str]]]) -> list[Block]:
    noted = [f"{code(name, 60)}: {safe(note, 160)}" for name, notes in lines for note in notes]
    if not noted:
        return []
    more = [f"and {len(noted) - DETAILED_NOTES} more notes"] if len(noted) > DETAILED_NOTES else []
    return [markdown("*Notes*\n" + "\n".join([*noted[:DETAILED_NOTES], *more]))]


def _mark(good: bool, yes: str, no: str) -> str:
    return f"{GOOD_ICON} {yes}" if good else f"{BAD_ICON} {no}"


def _contents(report: DrillReport) -> str:
    if not report.restored:
        return "not compared"
    same = report.tables - len(report.differing)
    return _mark(
        not report.differing, f"{_count(same, 'table')} the same", f"{len(report.differing)} of {report.tables} differ"
    )


def _measured_rto(report: DrillReport) -> str:
    if report.restore_seconds is None:
        return "not measured"
    measured = units.duration(report.restore_seconds)
    if report.rto_seconds is None:
        return f"{measured} (no RTO in the policy)"
    allowed = f"{measured} of {units.duration(report.rto_seconds)}"
    return _mark(report.within_rto, allowed, f"{allowed}: MISSED")


def _amcheck(problems: int | None) -> str:
    return "not run" if problems is None else _mark(problems == 0, "clean", _count(problems, "problem"))


def _canary_summary(canaries: Sequence[Canary] | None) -> str:
    if canaries is None:
        return "not asked"
    if not canaries:
        return "none in the fleet file"
    good = sum(c.ok for c in canaries)
    return _mark(good == len(canaries), f"{good} passed", f"{len(canaries) - good} of {len(canaries)} FAILED")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
