"""Looks for what is left: rows that came, moved or were locked while a range was walked through."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import psycopg2.errors

from pgops.backfill.batch import no_answer
from pgops.backfill.check import part_of
from pgops.backfill.failure import meaning, said
from pgops.backfill.hand import Hand, jitter
from pgops.backfill.job import RangeState
from pgops.backfill.statements import Part, Statements
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
    passes: dict[int, int] = {}
    for one in ranges:
        passes[one.part] = max(one.pass_, passes.get(one.part, 0))
    if len([one for one in ranges if one.kind != "pages"]) < 2:  # it has already looked at all of itself at once
        return True
    found = _parts_left(hand, sorted(passes))
    for part in found:
        if passes[part.oid] >= hand.options.most_passes:
            raise _keep_coming(f"{hand.dsn.where}, {part.title}", passes[part.oid])
        log.info("Rows of %s have moved to where all was done: it is looked through once more", part.title)
        hand.ask("work/reopen.sql", part=part.oid)
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


def _parts_left(hand: Hand, oids: Sequence[int]) -> list[Part]:
    """The parts in which there is something to do, all seen at one instant."""
    attempt = 0
    while True:
        try:
            with hand.transaction():
                hand.run(sql_text("backfill/work/one_snapshot.sql"))
                hand.allow(hand.options.proof_timeout)
                return [part for oid in oids if (part := _part_left(hand, oid)) is not None]
        except psycopg2.errors.QueryCanceled:
            if hand.stop():
                raise Ended("stopped") from None
            log.warning("No time for a look whether rows have moved between the ranges of backfill %s", hand.id)
            return []
        except psycopg2.Error as error:
            if meaning(error, hand.connection) not in ("again", "changed"):
                raise
            attempt += 1
            hand.be_patient(
                PgOpsError(
                    f"Nobody can look whether all is done: SQLSTATE {error.pgcode}: {said(error)}",
                    where=f"{hand.dsn.where}, {hand.job.table}",
                    remedy="Look who locks the table; the backfill goes on with that look",
                    retry=True,
                )
            )
            hand.nap(jitter(attempt))


def _part_left(hand: Hand, oid: int) -> Part | None:
    part = part_of(hand.connection, oid, hand.job.keys[oid])
    if part is None:  # dropped, with all that was to do in it
        return None
    statements = Statements(part, hand.job.spec, hand.id)
    rows = statements.between(None, hand.job.max_key[oid] if part.key else None)
    return part if hand.run(statements.probe(rows)).fetchone() else None


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
    except psycopg2.Error as error:
        if meaning(error, hand.connection) != "row":
            raise
        raise no_answer(hand, walk, error) from error
    return ", ".join(found["identity"]) if found else ""


def _keep_coming(at: str, passes: int, such_as: str = "") -> PgOpsError:
    return PgOpsError(
        f"After {passes} sweeps there are still rows to do{such_as}",
        where=at,
        remedy="Give the column a default or a BEFORE INSERT trigger first: then no new row needs the backfill",
    )


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
        raise _keep_coming(at, walk.pass_, f", such as {left}")
    walk.left_at = left
    hand.ask_owned("work/next_pass.sql", walk)
    walk.pass_ += 1
    walk.last, walk.known, walk.pass_rows, walk.left_behind, walk.pages = None, None, 0, False, None
    walk.steering.size = max(walk.steering.size, hand.options.least_batch)
    walk.statements = Statements(walk.statements.part, hand.job.spec, hand.id)
