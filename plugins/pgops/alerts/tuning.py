"""What the team reads in Slack about the settings of its servers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

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
    markdown,
    safe,
    text_length,
    when,
)
from pgops.alerts.messages import BAD_ICON, GOOD_ICON, LOOKS, ending, listed
from pgops.tuning.apply import Applied, Outcome
from pgops.tuning.model import Grade
from pgops.tuning.review import Reviewed

_SHOWN, _NAMES = 8, 15
_TICKET_TEXT = 1200


@dataclass(frozen=True)
class ConfigurationNews:
    """One run of the review.

    Attributes:
        reviewed: what was found, by server.
        failed: servers that could not be looked at, and why.
        applied: what became of the approved change.
        error: why a wanted change was not made.
        command: what takes the change back.
    """

    reviewed: tuple[Reviewed, ...]
    started_at: datetime
    log_url: str
    failed: Mapping[str, str] = field(default_factory=dict)
    applied: Applied | None = None
    error: str = ""
    requested_by: str = ""
    approved_by: str = ""
    command: str = ""


def worth_telling(news: ConfigurationNews) -> bool:
    """Whether a person should hear of what the clock looked at: something changed, or something is in the way."""
    return bool(news.failed or news.error) or any(
        one.news or one.effects or one.unfinished or one.notes for one in news.reviewed
    )


def configuration_message(news: ConfigurationNews, *, runbook_url: str | None = None) -> Message:
    """One message for the run: what was not seen, what was changed, what is dangerous, what is advised, what it did."""
    bad = bool(news.failed or news.error or (news.applied and not news.applied.whole))
    dangerous = any(one.of(Grade.DANGEROUS) for one in news.reviewed)
    headline = _headline(news)
    icon = BAD_ICON if bad else LOOKS["warn"].icon if dangerous else GOOD_ICON
    blocks: list[Block] = [header(f"{icon} {headline}"), context(_small_print(news))]
    if news.failed:
        blocks.append(markdown("*Not reviewed*\n" + _bullets([f"{name}: {why}" for name, why in news.failed.items()])))
    if news.error:
        blocks.append(markdown(f"*Not changed*\n{code(news.error, 900)}"))
    section = "settings-not-changed" if bad else "setting-is-dangerous" if dangerous else ""
    tail = ending(news.log_url, news.command, section, runbook_url)
    room = MESSAGE_TEXT - text_length([*blocks, *tail])
    for block in _body(news):
        room -= text_length([block])
        if room < 0:
            break
        blocks.append(block)
    color = LOOKS["crit"].color if bad else LOOKS["warn"].color if dangerous else ""
    return Message(safe(headline, NOTIFICATION_TEXT), tuple([*blocks, *tail][:MESSAGE_BLOCKS]), color)


def _headline(news: ConfigurationNews) -> str:
    if news.applied is not None:
        done, rest = len(news.applied.of("applied")), len(news.applied.outcomes) - len(news.applied.of("applied"))
        verb = "taken back" if news.applied.undoes else "changed"
        left = f", {rest} NOT" if rest else ""
        return f"Settings of {news.applied.server}: {done} {verb}{left}"
    counted = {grade: sum(len(one.of(grade)) for one in news.reviewed) for grade in (Grade.DANGEROUS, Grade.ADVICE)}
    parts = [f"{number} {grade}" for grade, number in counted.items() if number]
    parts += [f"{len(news.failed)} NOT REVIEWED"] if news.failed else []
    parts += ["change refused or failed"] if news.error else []
    names = listed([one.server for one in news.reviewed] or list(news.failed), 5)
    return f"Settings of {names}: {', '.join(parts) or 'all well'}".replace("`", "")


def _small_print(news: ConfigurationNews) -> str:
    parts = [
        f"{one.server}: " + ", ".join(f"{number} {grade}" for grade, number in one.counts.items())
        for one in news.reviewed
        if one.counts
    ]
    if news.requested_by:
        parts.append(f"asked for by {news.requested_by}")
    if news.approved_by:
        parts.append(f"approved by {news.approved_by}")
    return safe("  ·  ".join(parts), 600) + f"  ·  started {when(news.started_at)}"


def _body(news: ConfigurationNews) -> Iterator[Block]:
    if news.applied is not None:
        yield from _changed(news.applied)
    for one in news.reviewed:
        yield from _found(one)


def _changed(applied: Applied) -> Iterator[Block]:
    title = f"Takes back {code(applied.undoes)}" if applied.undoes else f"Change {code(applied.plan)}"
    yield markdown(f"*{title}*\n" + "\n".join(_outcome(one) for one in applied.outcomes[: 2 * _SHOWN]))


def _outcome(one: Outcome) -> str:
    icon = GOOD_ICON if one.state == "applied" else BAD_ICON
    values = f"{safe(one.before, 40)} → {safe(one.now, 40)}"
    return f"{icon} {code(one.setting, 80)}: {values}, {one.state}: {safe(one.says, 300)}"


def _found(one: Reviewed) -> Iterator[Block]:
    name = code(one.server, 60)
    if one.news:
        yield markdown(f"*Since the last review of* {name}\n{_bullets(one.news)}")
    dangerous = one.of(Grade.DANGEROUS)
    if dangerous:
        lines = [f"{v.setting} is {v.now}: {v.says}" + (f"; wanted: {v.wanted}" if v.wanted else "") for v in dangerous]
        yield markdown(f"*Dangerous on* {name}\n{_bullets(lines)}")
    advice = one.of(Grade.ADVICE)
    if advice and not one.plan.parameters:
        lines = [f"{v.setting} {v.now} → {v.wanted or '-'}" for v in advice]
        yield markdown(f"*Advice for* {name}: {len(advice)}\n{_bullets(lines, _NAMES)}")
    if one.plan.ticket:
        yield markdown(
            f"*Needs a restart of* {name}: never done from here\n{code_block(one.plan.ticket, _TICKET_TEXT)}"
        )
    if one.plan.parameters:
        lines = [f"{p['name']} = {p['value']} ({p['apply']})" for p in one.plan.parameters]
        yield markdown(f"*Parameters for* {name}\n{code_block(chr(10).join(lines), _TICKET_TEXT * 2)}")
    for effect in one.effects:
        yield markdown(f"*Effect of* {code(effect.plan)} *on* {name}\n{_bullets(effect.lines, _NAMES)}")
    if one.unfinished or one.notes:
        yield markdown(f"*To know of* {name}\n{_bullets([*one.unfinished, *one.notes])}")


def _bullets(lines: Sequence[str], most: int = _SHOWN) -> str:
    shown = [f"• {safe(line, 300)}" for line in lines[:most]]
    more = [f"and {len(lines) - most} more, in the report"] if len(lines) > most else []
    return "\n".join([*shown, *more])
