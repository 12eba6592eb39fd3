"""Looks for what is left: rows that came, moved or were locked while a range was walked through."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import psycopg2.errors

from pgops.backfill.check import part_of
from pgops.backfill.hand import Hand, jitter
from pgops.backfill.job import RangeState
from pgops.backfill.statements import Statements
from pgops.backfill.walk import Ended, Walk
from pgops.errors import PgOpsError
from pgops.include import sql_text

log = logging.getLogger(__name__)


def swept(hand: Hand, walk: Walk) -> bool:
    """Whether nothing is left to do in the range; if there is, another pass is begun."""
    if walk.state.kind != "pages":
        left = _left(hand, walk)
        if left == "unknown" and walk.pass_ and not walk.pass_rows and not walk.left_behind:
            # A whole pass has found nothing. Along a key that is a proof; without one a row may have moved.
            left = "" if walk.state.kind == "keys" else _left(hand, walk, hand.options.proof_timeout)
        if left:
            _again(hand, walk, left)
            return False
    hand.ask_owned("work/range_done.sql", walk)
    return True


def nothing_moved(hand: Hand, ranges: Sequence[RangeState]) -> bool:
    """The closing look, over all ranges at one instant. A row whose key is changed, or that goes to another partition,
    may come to a range that was done before, and not yet be done itself.
    """
    keyed = [one for one in ranges if one.kind == "keys"]
    if len(keyed) < 2:  # a range has already looked at all of itself at once
        return True
    try:
        with hand.transaction():
            hand.run(sql_text("backfill/work/one_snapshot.sql"))
            hand.allow(hand.options.proof_timeout)
            found = [part for part in sorted({one.part for one in keyed}) if _part_left(hand, part)]
    except psycopg2.errors.QueryCanceled:
        if hand.stop():
            raise Ended("stopped") from None
        log.warning("No time for a look whether rows have moved between the ranges of backfill %s", hand.id)
        return True
    for part in found:
        log.info("Rows of %s have moved into ranges that were done: they are looked through once more", part)
        hand.ask("work/reopen.sql", part=part)
    return not found


def who_holds(hand: Hand, walk: Walk, left: str) -> PgOpsError:
    """The error that says who locks rows for too long."""
    holders = hand.ask("work/holders.sql", oid=walk.state.part)
    who = "nobody can be seen"
    if holders:
        one = holders[0]
        since = f"{one['state']} for {one['seconds'] or 0:.0f} s"
        who = f"pid {one['pid']} ({one['role']}, {one['application_name']}, {since})"
    return PgOpsError(
        f"Rows stay locked, such as {left}; the oldest that writes to the table: {who}",
        where=f"{hand.dsn.where}, {walk.statements.part.title}",
        remedy="End that transaction; the backfill goes on from its checkpoint",
        retry=True,
    )


def _part_left(hand: Hand, oid: int) -> bool:
    part = part_of(hand.connection, oid, hand.job.keys[oid])
    if part is None:  # dropped, with all that was to do in it
        return False
    statements = Statements(part, hand.job.spec, hand.id)
    return bool(hand.run(statements.probe(statements.between(None, hand.job.max_key[oid]))).fetchone())


def _left(hand: Hand, walk: Walk, seconds: float | None = None) -> str:
    """A row that is still to do; "unknown" if that took too long to find out; empty if there is none."""
    rows = walk.statements.between(walk.state.lo, walk.state.hi)
    if walk.state.kind == "rest":
        rows = walk.statements.between(None, None)
    try:
        with hand.transaction():
            if seconds is not None:
                hand.allow(seconds)
            found = hand.run(walk.statements.probe(rows)).fetchone()
    except psycopg2.errors.QueryCanceled:
        if hand.stop():
            raise Ended("stopped") from None
        return "unknown"
    return ", ".join(found["identity"]) if found else ""


def _again(hand: Hand, walk: Walk, left: str) -> None:
    """Begin the next pass, unless passes do not help."""
    at = f"{hand.dsn.where}, {walk.statements.part.title}"
    if walk.pass_ and walk.pass_rows and left == walk.left_at and left != "unknown" and not walk.left_behind:
        raise PgOpsError(
            f"Row {left} is still to do after it was changed: the predicate does not become false by the update",
            where=at,
            remedy="Let the predicate exclude it; or look for a trigger that undoes the change",
        )
    if walk.left_behind:
        hand.be_patient(who_holds(hand, walk, left))
        hand.wait(walk, "rows are locked by others", min(jitter(5), 2.0))
    elif walk.pass_ >= hand.options.most_passes:
        raise PgOpsError(
            f"After {walk.pass_} sweeps there are still rows to do, such as {left}",
            where=at,
            remedy="Give the column a default or a BEFORE INSERT trigger first: then no new row needs the backfill",
        )
    walk.left_at = left
    hand.ask_owned("work/next_pass.sql", walk)
    walk.pass_ += 1
    walk.last, walk.known, walk.pass_rows, walk.left_behind, walk.pages = None, None, 0, False, None
    walk.steering.size = max(walk.steering.size, hand.options.least_batch)
    walk.statements = Statements(walk.statements.part, hand.job.spec, hand.id)
