"""What a rehearsal showed, as people read it: a table in the task log, a page in the bucket."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from pgops import units
from pgops.migration.model import Executed, Ran
from pgops.migration.verdict.judge import Forecast, Rehearsal

_HEADING = ("line", "statement", "ms", "strongest lock", "held ms", "blocks", "rewrites", "rows scanned", "WAL")
_RUNS = (("applied", "Applied"), ("rolled_back", "Rolled back"), ("applied_again", "Applied again"))


@dataclass(frozen=True)
class Judged:
    """A rehearsal with its verdict."""

    database: str
    rehearsal: Rehearsal
    reasons: tuple[str, ...]
    forecast: Forecast | None

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.reasons

    @property
    def headline(self) -> str:
        """The verdict in one line."""
        label = f"{self.database}: migration {self.rehearsal.version} {self.rehearsal.name}".strip()
        return f"{label}: {'PASSED' if self.passed else 'REFUSED'}"


def as_text(judged: Judged) -> str:
    """The report for a log."""
    lines = [judged.headline, ""]
    lines += [f"  REFUSED: {reason}" for reason in judged.reasons]
    for name, title in _RUNS:
        ran: Ran | None = getattr(judged.rehearsal, name)
        if ran is not None:
            lines += ["", f"{title} in {units.moment(ran.seconds)}{_wal(ran)}:"]
            lines += _columns([_HEADING, *(_row(one) for one in ran.statements)])
    lines += _section("Felt by an application beside it", (_stall(judged.rehearsal)))
    lines += _section("Findings", (str(one) for one in judged.rehearsal.findings))
    lines += _section("What the rollback destroyed", (f"{d.what}: {d.after}" for d in judged.rehearsal.destroyed))
    lines += _section(
        "Left behind by the rollback",
        (f"{d.what}: {d.before or '(was not there)'} -> {d.after or '(gone)'}" for d in judged.rehearsal.left_behind),
    )
    lines += _section("Forecast for production", _forecast(judged.forecast))
    lines += _section("Notes", judged.rehearsal.notes)
    return "\n".join(lines)


def as_html(judged: Judged, at: str) -> str:
    """The report as a page of its own; everything that comes from outside is escaped."""
    rehearsal = judged.rehearsal
    body = [
        f'<h1 class="{"good" if judged.passed else "bad"}">{escape(judged.headline)}</h1>',
        f"<p>checksum <code>{escape(rehearsal.checksum)}</code>, rehearsed {escape(at)}</p>",
        _html_list("Why it is refused", judged.reasons, "bad"),
        _html_list("Forecast for production", _forecast(judged.forecast)),
    ]
    for name, title in _RUNS:
        ran: Ran | None = getattr(rehearsal, name)
        if ran is not None:
            body.append(f"<h2>{title} in {units.moment(ran.seconds)}{_wal(ran)}</h2>")
            rows = [_HEADING, *(_row(one) for one in ran.statements)]
            used = _used(rows)
            body.append(_html_table([_HEADING[n] for n in used], [[row[n] for n in used] for row in rows[1:]]))
            if ran.failure:
                body.append(f'<p class="bad">line {ran.failure.line}: {escape(ran.failure.message)}</p>')
    body += [
        _html_list("Felt by an application beside it", _stall(rehearsal)),
        _html_list("Findings", [str(one) for one in rehearsal.findings]),
        _html_list("What the rollback destroyed", [f"{d.what}: {d.after}" for d in rehearsal.destroyed]),
        _html_table(
            ("left behind by the rollback", "before", "after"),
            [(d.what, d.before, d.after) for d in rehearsal.left_behind],
        ),
        _html_list("Notes", rehearsal.notes),
    ]
    return _PAGE.format(title=escape(judged.headline), body="\n".join(part for part in body if part))


def _wal(ran: Ran) -> str:
    return "" if ran.wal_bytes is None else f", {units.size(ran.wal_bytes)} of WAL"


def _row(one: Executed) -> tuple[str, ...]:
    existing = [lock for lock in one.locks if lock.existed]
    # What keeps readers waiting comes first, then what keeps writers waiting, then the rest.
    worst = max(existing, key=lambda lock: (lock.blocks != "", "reads" in lock.blocks, lock.held_ms), default=None)
    return (
        str(one.line),
        one.text if len(one.text) <= 60 else one.text[:59] + "…",
        f"{one.ms:.1f}",
        "" if worst is None else f"{worst.mode.removesuffix('Lock')} {worst.relation}" + (" ~" if one.sampled else ""),
        "" if worst is None else f"{worst.held_ms:.1f}",
        "" if worst is None else worst.blocks,
        ", ".join(one.rewritten),
        ", ".join(f"{scan.relation} {scan.rows}" for scan in one.scans),
        units.size(one.wal_bytes),
    )


def _stall(rehearsal: Rehearsal) -> list[str]:
    return [
        f"{one.kind} of {one.relation}: longest {one.longest_ms:.0f} ms, median {one.median_ms:.1f} ms,"
        f" {one.attempts} times" + (f", {one.errors} errors" if one.errors else "")
        for one in sorted(rehearsal.stalls, key=lambda stall: stall.longest_ms, reverse=True)
    ]


def _forecast(forecast: Forecast | None) -> list[str]:
    if forecast is None:
        return []
    return [
        f"{units.moment(forecast.seconds)}, of which a table cannot be used or written for at most"
        f" {units.moment(forecast.downtime_seconds)}",
        "WAL for each standby: " + ("unknown" if forecast.wal_bytes is None else units.size(forecast.wal_bytes)),
        f"production is {forecast.size_ratio:.1f} times the copy; corrected by {forecast.correction:.2f}"
        " from earlier deployments",
    ]


def _section(title: str, lines: Iterable[str]) -> list[str]:
    shown = [f"  {line}" for line in lines]
    return ["", f"{title}:", *shown] if shown else []


def _used(rows: Sequence[tuple[str, ...]]) -> list[int]:
    """The columns in which something stands below the heading."""
    return [n for n in range(len(rows[0])) if any(row[n] not in ("", units.ABSENT) for row in rows[1:])]


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows in columns as wide as they need; columns that are empty in every row are left out."""
    used = _used(rows)
    widths = {n: max(len(row[n]) for row in rows) for n in used}
    return ["  " + "  ".join(row[n].ljust(widths[n]) for n in used).rstrip() for row in rows]


def _html_list(title: str, lines: Sequence[str], css: str = "") -> str:
    if not lines:
        return ""
    return f'<h2>{escape(title)}</h2><ul class="{css}">{"".join(f"<li>{escape(line)}</li>" for line in lines)}</ul>'


def _html_table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in heading)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; color: #1d2733;
       background: #fff }}
h1 {{ font-size: 1.4rem }} h2 {{ font-size: 1.05rem; margin-top: 1.8rem }}
table {{ border-collapse: collapse; font-size: 13px; display: block; overflow-x: auto }}
th, td {{ text-align: left; padding: .3rem .7rem; border-bottom: 1px solid #dde3ea; vertical-align: top }}
td {{ font-family: ui-monospace, monospace; white-space: nowrap }}
td:nth-child(2) {{ white-space: normal; min-width: 22rem }}
code {{ font-family: ui-monospace, monospace }} .bad {{ color: #a01733; font-weight: 600 }}
h1.good {{ color: #17703f }}
</style></head><body>
{body}
</body></html>
"""
