"""Advice as a pair of migration files, ready for migration_validation."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pgops import units
from pgops.queries.advice import Advice
from pgops.queries.text import one_line

MOST_PAIRS = 10
_OBEYED = re.compile(r"^(pgops|squawk|rollback)", re.IGNORECASE)


@dataclass(frozen=True)
class Pair:
    """A migration: names and texts of its two files. `object` is the advice's."""

    object: str
    version: str
    file: str
    up: str
    rollback_file: str
    down: str


def pairs(advice: Iterable[Advice], first: int) -> Iterator[Pair]:
    """A pair for each piece of advice that has statements.

    Args:
        advice: the most useful first.
        first: the number of the first one: what follows the newest migration there is.
    """
    ready = [one for one in advice if one.apply and one.revert][:MOST_PAIRS]
    for number, one in enumerate(ready, first):
        label = re.sub(r"[^a-z0-9]+", "_", one.label.lower()).strip("_")[:80]
        stem = f"V{number:03}__{label}"
        yield Pair(
            one.object,
            f"{number:03}",
            f"{stem}.sql",
            _file(_why(one), one.apply, "require-concurrent-index-creation"),
            f"{stem}.rollback.sql",
            _file([f"Takes back {stem}."], one.revert, "require-concurrent-index-deletion"),
        )


def _file(words: Iterable[str], statements: Sequence[str], rule: str) -> str:
    """A file with its reason. The index of a partitioned table knows no CONCURRENTLY: there the rule has no meaning."""
    # A query's text must not pass for one of the comments that the gate obeys.
    lines = (_OBEYED.sub(r"| \1", line) for one in words for line in textwrap.wrap(one, 110))
    comment = [f"-- {line}" for line in lines]
    if any("INDEX" in one and "CONCURRENTLY" not in one for one in statements):
        comment.append(f"-- pgops: allow {rule}")
    return "\n".join([*comment, *(f"{one};" for one in statements)]) + "\n"


def _why(advice: Advice) -> Iterator[str]:
    yield f"{advice.kind.capitalize()}: {one_line(advice.object, 200)}. {one_line(advice.says, 600)}"
    if advice.proof:
        yield f"Proof: {advice.proof}."
    for gain in advice.gains[:5]:
        cost = f"cost {gain.before:,.0f} -> {gain.after:,.0f}: " if gain.after != gain.before else ""
        yield f"{cost}{one_line(gain.text, 150)}"
    verb = "frees" if advice.kind in ("unused", "duplicate", "redundant") else "takes"
    if advice.bytes is not None:
        yield f"It {verb} about {units.size(advice.bytes)}{_writes(advice)}."


def _writes(advice: Advice) -> str:
    return f", {advice.writes:,.0f} entries a day to write" if advice.writes is not None else ""
