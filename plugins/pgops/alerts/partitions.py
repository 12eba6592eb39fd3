"""What the team reads in Slack about partitions, as pure functions to Block Kit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pgops import units
from pgops.alerts.blocks import NOTIFICATION_TEXT, Block, Message, code, context, header, markdown, safe, when
from pgops.alerts.messages import BAD_ICON, GOOD_ICON, LOOKS, ending, listed

_BLOCK_TEXT = 2_600


@dataclass(frozen=True)
class ParentLine:
    """What became of one partitioned table.

    Args:
        created: names of new partitions.
        retired: name and state of each partition on its way out, such as ("events_2024_01", "verified").
        findings: what a person should know; `bad` ones endanger inserts or data.
        errors: why something was not done.
    """

    database: str
    parent: str
    created: tuple[str, ...] = ()
    retired: tuple[tuple[str, str], ...] = ()
    findings: tuple[str, ...] = ()
    bad: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Database and table."""
        return f"{self.database} {self.parent}".strip()


@dataclass(frozen=True)
class PartitionNews:
    """One run over the whole fleet; `parents` is how many partitioned tables were looked at."""

    lines: tuple[ParentLine, ...]
    parents: int
    started_at: datetime
    seconds: float
    log_url: str
    command: str = ""


def worth_telling(news: PartitionNews) -> bool:
    """Whether a person should hear of the run: a quiet one stays quiet."""
    return any(line.created or line.retired or line.bad or line.errors for line in news.lines)


def partitions_message(news: PartitionNews, *, runbook_url: str | None = None) -> Message:
    """One message for the fleet: what failed, what is in danger, what was done."""
    failed = [line for line in news.lines if line.errors]
    endangered = [line for line in news.lines if line.bad and not line.errors]
    good = not failed and not endangered
    created = sum(len(line.created) for line in news.lines)
    retired = sum(len(line.retired) for line in news.lines)
    trouble = f"{len(failed)} FAILED" if failed else f"{len(endangered)} in danger" if endangered else "all is ready"
    headline = f"Partitions: {trouble}, {created} made, {retired} on the way out"
    summary = f"{news.parents} partitioned tables in {units.duration(news.seconds)}, started {when(news.started_at)}"
    blocks: list[Block] = [header(f"{GOOD_ICON if good else BAD_ICON} {headline}"), context(summary)]
    blocks += _paragraphs("Failed", [(line.title, line.errors) for line in failed])
    blocks += _paragraphs("In danger", [(line.title, line.bad) for line in news.lines if line.bad])
    blocks += _done("Made", [(line.title, line.created) for line in news.lines])
    blocks += _done(
        "Retired", [(line.title, [f"{name}: {state}" for name, state in line.retired]) for line in news.lines]
    )
    section = "partitions-not-ready" if failed or endangered else ""
    blocks += ending(news.log_url, news.command if failed else "", section, runbook_url)
    color = "" if good else LOOKS["crit" if failed else "warn"].color
    return Message(safe(headline, NOTIFICATION_TEXT), tuple(blocks), color)


def _paragraphs(title: str, found: Sequence[tuple[str, Sequence[str]]]) -> list[Block]:
    lines = [f"• {code(name, 100)}: {safe('; '.join(says), 300)}" for name, says in found]
    return _with_more(title, lines)


def _done(title: str, found: Sequence[tuple[str, Sequence[str]]]) -> list[Block]:
    return _with_more(title, [f"• {code(name, 100)}: {listed(names, 8)}" for name, names in found if names])


def _with_more(title: str, lines: Sequence[str]) -> list[Block]:
    """As many lines as a block holds, and how many more there are."""
    shown: list[str] = []
    for line in lines:
        if len("\n".join([*shown, line])) > _BLOCK_TEXT:
            break
        shown.append(line)
    more = [f"and {len(lines) - len(shown)} more tables"] if len(lines) > len(shown) else []
    return [markdown(f"*{title}*\n" + "\n".join([*shown, *more]))] if lines else []
