"""Walks through the ranges of a job, batch by batch.

A batch and its checkpoint commit together, and a range belongs to the session that holds its advisory lock: so whatever
dies, and whenever, every row is changed exactly once. Nothing is kept in memory that the database does not know: after
a lost connection the worker begins as if it were a new one.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Sequence

import psycopg2

from pgops.backfill.batch import Batches
from pgops.backfill.check import APPLICATION, ask, run, session
from pgops.backfill.claim import claim, release, statements_of
from pgops.backfill.failure import LOCKED, is_lost, meaning, said
from pgops.backfill.hand import Hand, jitter
from pgops.backfill.job import State
from pgops.backfill.pace import Pace, Unthrottled
from pgops.backfill.stall import Stall
from pgops.backfill.sweep import nothing_moved, swept, who_holds
from pgops.backfill.walk import Ended, Options, Outcome, Walk, Worked
from pgops.errors import LostOwnership, PgOpsError, Refused
from pgops.postgres import DatabaseError, Dsn, Limits

log = logging.getLogger(__name__)

ONE_BY_ONE = 16  # rows
_USUAL = Options()


def work(
    dsn: Dsn,
    job: int,
    ranges: Sequence[int] | None = None,
    pace: Pace | None = None,
    *,
    options: Options = _USUAL,
    stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[State], None] = lambda state: None,
    on_stall: Callable[[Stall], None] = lambda stall: None,
    application_name: str = APPLICATION,
) -> Worked:
    """Work on a job until it is finished, or until it may not go on.

    Args:
        job: as `begin` made it.
        ranges: the numbers of the ranges to walk; None takes any that is free. The closing sweep of a table without
            key is taken by whoever comes last.
        pace: may slow or stop the work.
        stop: asked several times a second; after a True the work ends with its last checkpoint.
        on_progress: called every few seconds.
        on_stall: called once when the job stands still for long, and once when it goes on, by one of its workers.

    Raises:
        BadRow: a row cannot be changed, and the policy says stop.
        PgOpsError: the table is gone, rows stay locked, rows keep coming, or the server stays away.
    """
    hand = Hand(dsn, job, pace or Unthrottled(), options, stop, on_progress, on_stall, application_name)
    try:
        return _Worker(hand, ranges).work()
    except (Refused, LostOwnership):
        raise  # about this worker, not about the job: another one may be well at work
    except PgOpsError as error:
        _remember(dsn, job, error)
        raise


class _Worker:
    def __init__(self, hand: Hand, only: Sequence[int] | None) -> None:
        self._hand, self._only, self._batches = hand, only, Batches(hand)

    # --- the job ---

    def work(self) -> Worked:
        """Work through any number of lost connections."""
        hand, lost = self._hand, 0
        while True:
            try:
                with hand.session():
                    return self._result(*self._outcome())
            except DatabaseError as error:
                if not is_lost(error.sqlstate):
                    raise
                if hand.stop():
                    return self._uncounted("stopped", "the connection was lost")
                lost += 1
                hand.be_patient(error)
                log.warning("Connection lost, backfill %s goes on from its checkpoint: %s", hand.id, error)
                hand.nap(jitter(lost))

    def _outcome(self) -> tuple[Outcome, str]:
        hand = self._hand
        try:
            if hand.job.status == "cancelled":
                raise Ended("cancelled")
            while True:
                while (walk := claim(hand, self._only)) is not None:
                    self._walk(walk)
                    release(hand, walk.n)
                if hand.job.status == "done":
                    return "done", ""
                ranges = hand.ranges()
                if not all(one.done for one in ranges):
                    return "idle", ""
                if nothing_moved(hand, ranges):
                    hand.ask("job/finish.sql", id=hand.id)
                    status = hand.read_job().status
                    if status == "cancelled":
                        raise Ended("cancelled")
                    if status == "done":
                        return "done", ""
                self._only = None
        except Ended as ended:
            return ended.outcome, ended.reason

    def _result(self, outcome: Outcome, reason: str) -> Worked:
        hand = self._hand
        hand.roll_back()
        hand.report(force=True)
        before = hand.count.before
        now = [one for one in hand.ranges() if one.n in before]
        return Worked(
            job=hand.id,
            outcome=outcome,
            rows=sum(one.rows_done - before[one.n].rows_done for one in now),
            batches=sum(one.batches - before[one.n].batches for one in now),
            retries=sum(one.retries - before[one.n].retries for one in now),
            skipped=sum(one.skipped - before[one.n].skipped for one in now),
            seconds=time.monotonic() - hand.started,
            waited=hand.count.waited,
            reason=reason,
        )

    def _uncounted(self, outcome: Outcome, reason: str) -> Worked:
        """Nobody can be asked how far it came; the checkpoints know."""
        hand = self._hand
        return Worked(hand.id, outcome, 0, 0, 0, 0, time.monotonic() - hand.started, hand.count.waited, reason)

    # --- a range ---

    def _walk(self, walk: Walk) -> None:
        """Batch by batch to the end of the range, then again until nothing is left."""
        hand = self._hand
        only_sweep = walk.state.kind == "rest" and walk.pass_ == 0
        while True:
            hand.until_go(walk)
            try:
                ended = only_sweep or self._batches.next(walk)
                walk.attempts = 0
                if ended and swept(hand, walk):
                    return
                only_sweep = False
            except psycopg2.Error as error:
                self._after(walk, error)
            hand.report()
            if hand.options.vacuum_dead_share is not None and hand.count.since_vacuum >= hand.options.vacuum_least_rows:
                hand.count.since_vacuum = 0
                self._vacuum(walk)

    def _vacuum(self, walk: Walk) -> None:
        """Vacuum the part if too much of it is dead; whoever fails at that only leaves more to autovacuum."""
        hand = self._hand
        share = hand.options.vacuum_dead_share or 1.0
        with contextlib.suppress(DatabaseError, psycopg2.Error):
            found = hand.ask("work/dead.sql", oid=walk.state.part)[0]
            if found["vacuumed"] or found["dead"] <= share * (found["dead"] + found["live"]):
                return
            limits = Limits(statement=hand.options.proof_timeout, lock=1, idle_in_transaction=0)
            with session(hand.dsn, limits, f"{hand.application_name} vacuum", _pace(hand.options)) as connection:
                begun = time.monotonic()
                run(connection, walk.statements.vacuum())
                if connection.notices:  # who does not own the table may not: the server says so, and goes on
                    log.warning("%s was not vacuumed: %s", walk.statements.part.title, connection.notices[-1].strip())
                    return
                log.info("Vacuumed %s in %.1f s", walk.statements.part.title, time.monotonic() - begun)
            hand.progressed()

    # --- when it goes wrong ---

    def _after(self, walk: Walk, error: psycopg2.Error) -> None:
        """Decide by SQLSTATE what a failed batch means; raises what cannot be helped here."""
        means = meaning(error, self._hand.connection)
        if means == "lost":
            raise error
        self._hand.roll_back()
        if means == "again":
            self._try_again(walk, error)
        elif means == "changed":
            self._follow(walk, error)
        elif walk.steering.rows > ONE_BY_ONE and not walk.is_one_page:
            walk.steering.narrow()
        else:
            self._one_by_one(walk)
            walk.steering.found()

    def _try_again(self, walk: Walk, error: psycopg2.Error) -> None:
        hand = self._hand
        if hand.stop():
            raise Ended("stopped")
        walk.attempts += 1
        walk.retries += 1
        walk.steering.halve()
        # Somebody holds rows for long: leave them for the sweep.
        walk.unlocked = error.pgcode in LOCKED and walk.attempts >= 3
        hand.be_patient(self._troubled(walk, error))
        hand.wait(walk, f"SQLSTATE {error.pgcode}", jitter(walk.attempts))

    def _troubled(self, walk: Walk, error: psycopg2.Error) -> PgOpsError:
        if error.pgcode in LOCKED:
            return who_holds(self._hand, walk, f"after {walk.last}")
        return PgOpsError(
            f"No progress: SQLSTATE {error.pgcode}: {said(error)}",
            where=f"{self._hand.dsn.where}, {walk.statements.part.title}",
            remedy="Look at the load on the server; the backfill goes on from its checkpoint",
            retry=True,
        )

    def _follow(self, walk: Walk, error: psycopg2.Error) -> None:
        """The table may have another name now."""
        hand, known = self._hand, walk.statements.part
        walk.statements = statements_of(hand, walk.state)
        if walk.statements.part == known:
            walk.attempts += 1
            if walk.attempts > 3:
                raise PgOpsError(
                    f"What the backfill needs has changed: SQLSTATE {error.pgcode}: {said(error)}",
                    where=f"{hand.dsn.where}, {known.title}",
                    remedy=f"Undo that change; or cancel backfill {hand.id} and begin one that fits",
                )
        else:
            log.warning("%s is called %s now: the backfill follows it", known.title, walk.statements.part.title)
        hand.nap(jitter(walk.attempts))

    def _one_by_one(self, walk: Walk) -> None:
        try:
            self._batches.one_by_one(walk)
        except psycopg2.Error as error:
            if meaning(error, self._hand.connection) != "again":
                raise
            self._hand.roll_back()
            self._try_again(walk, error)


def _pace(options: Options) -> tuple[str, ...]:
    """At full speed a vacuum keeps the disk from those who commit: it made the tail of an application's writes."""
    if options.vacuum_cost_limit is None:
        return ()
    return ("vacuum_cost_delay=2ms", f"vacuum_cost_limit={options.vacuum_cost_limit}")


def _remember(dsn: Dsn, job: int, error: PgOpsError) -> None:
    """Leave the reason with the job; the work may have failed because nobody can be reached."""
    with contextlib.suppress(PgOpsError), session(dsn, Limits(statement=5, lock=1)) as connection:
        ask(connection, "job/fail.sql", id=job, error=str(error))
