"""Watches a server that recovers until it has done so, and judges where it stopped. Never by whether it answers: a hot
standby answers long before its recovery fails, and a paused one for ever."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from pgops import units
from pgops.errors import PgOpsError
from pgops.include import sql_text
from pgops.physical.cluster import Cluster, log_words
from pgops.physical.intervals import told
from pgops.physical.plan import RecoveryPlan
from pgops.physical.state import Reached
from pgops.physical.wal import lsn, lsn_text, number_of

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
LINE_SECONDS = 10.0
_GONE_AFTER = 4  # polls in a row: a server that has just been started has no pid file yet
_RESTORED = re.compile(r'restored log file "([0-9A-F]{24})"')
_STOPPED = re.compile(r"recovery stopping (?:before|after|at) .*")
_TIME = r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?[+-]\d\d(?::?\d\d)*)"  # in the zone of the source's settings
_STOP_TIME = re.compile(rf"time {_TIME}")
_STOP_LSN = re.compile(r'WAL location \(LSN\) "([0-9A-F]+/[0-9A-F]+)"')
_REDO_DONE = re.compile(r"redo done at ([0-9A-F]+/[0-9A-F]+)")
_LAST_COMMIT = re.compile(rf"last completed transaction was at log time {_TIME}")
# The archive gave nothing more though the plan knows that there is more; or what the last server left is still there.
_ENDED_EARLY = "recovery ended before configured recovery target was reached"
_PASSING = (
    _ENDED_EARLY,
    "could not locate required checkpoint record",
    "could not restore file",  # the command said with an exit code above 125 that the archive is out of reach
    "pre-existing shared memory block",
)
PORT_TAKEN = "could not create any TCP/IP sockets"
_START = re.compile(r"^.*starting PostgreSQL .*$", re.MULTILINE)


class RecoveryFailed(PgOpsError):
    """The server did not come to the state that was asked for; `began_anew`: what it has is of no use."""

    def __init__(self, what: str, *, where: str, remedy: str, retry: bool, anew: bool = False) -> None:
        super().__init__(what, where=where, remedy=remedy, retry=retry)
        self.anew = anew


def follow(
    cluster: Cluster,
    plan: RecoveryPlan,
    start: Mapping[str, str],
    patience_seconds: float,
    watch: Callable[[str], None] = log.info,
) -> None:
    """Start the server unless it runs, and return when its recovery has ended.

    Args:
        cluster: with its settings in place.
        plan: the target, for the progress.
        start: settings for its start.
        patience_seconds: so long it is started again when the archive gives nothing more although it must have it, as
            when S3 is down; it goes on where it was.
        watch: gets a line every ten seconds.

    Raises:
        RecoveryFailed: it died or came to a halt; with its own words.
    """
    progress = _Progress(cluster, plan, watch)
    give_up = time.monotonic() + patience_seconds
    while True:
        if not cluster.running():
            cluster.start(start)
        try:
            _wait(cluster, progress)
            return
        except RecoveryFailed as error:
            if not error.retry or time.monotonic() > give_up:
                raise
            watch(f"trying again: {error.what}")
            time.sleep(min(10.0, patience_seconds / 10))


def _wait(cluster: Cluster, progress: _Progress) -> None:
    """Until recovery has ended."""
    gone = 0
    while True:
        gone = 0 if cluster.running() else gone + 1
        if gone >= _GONE_AFTER:
            raise _died(cluster, progress.plan)
        if not gone and cluster.answers():
            row = _state(cluster)
            if row is not None:
                in_recovery, paused, replayed, at = row
                if in_recovery == "f":
                    return
                if paused == "paused":
                    raise RecoveryFailed(
                        f"Recovery is paused: {log_words(cluster.said())}",
                        where=cluster.where,
                        remedy="Its settings are too small for hot standby, or somebody paused it: read its log",
                        retry=False,
                    )
                progress.at(lsn(replayed) if replayed else None, at)
        progress.line()
        time.sleep(POLL_SECONDS)


def _state(cluster: Cluster) -> list[str] | None:
    """What the server says of its recovery; None when it went away meanwhile."""
    try:
        return cluster.ask(sql_text("physical/recovery_state.sql")).split("|")
    except PgOpsError as error:
        log.debug("the server does not answer yet: %s", error)
        return None


def _died(cluster: Cluster, plan: RecoveryPlan) -> RecoveryFailed:
    said = _START.split(cluster.said())[-1]  # of its last start
    words = log_words(said)
    passing = any(one in words for one in _PASSING)
    full = "No space left on device" in said or "File too large" in said
    remedy = "Read the server's log; the recovery goes on where it was when it is tried again"
    if full:
        remedy = "Free space on the recovery host, then try again: it goes on where it was"
    elif passing:
        remedy = "Look whether the archive can be reached and holds every segment of the plan, then try again"
    if _ENDED_EARLY in words:
        words += _how_far(said, plan)
    return RecoveryFailed(
        f"The server died in its recovery: {words}",
        where=f"{cluster.where}, {cluster.log}",
        remedy=remedy,
        retry=passing or PORT_TAKEN in said,
    )


def _how_far(said: str, plan: RecoveryPlan) -> str:
    """Where replay ended against what the archive lists, and how to get that much."""
    redo, commits, fetched = _REDO_DONE.findall(said), _LAST_COMMIT.findall(said), _RESTORED.findall(said)
    if not redo:
        return f"; nothing was replayed, and the archive lists WAL from {plan.first_wal} to {plan.last_wal}"
    last = f", after the transaction of {told(_utc(commits[-1]))}" if commits else ""
    come = f"; {fetched[-1]} is the last segment that came" if fetched else ""
    return (
        f"; replay ended at {redo[-1]}{last}{come}, and the archive lists WAL up to {plan.last_wal}: what follows"
        f" was not to be had, or is damaged. So much can be recovered: target {redo[-1]}"
    )


class _Progress:
    """Replayed LSN and time against the target, with percent and what is left."""

    def __init__(self, cluster: Cluster, plan: RecoveryPlan, watch: Callable[[str], None]) -> None:
        self.cluster, self.plan, self.watch = cluster, plan, watch
        size = plan.segment_bytes
        self.begins = plan.backup.start_lsn
        self.ends = (number_of(plan.last_wal, size) + 1) * size
        self.replayed, self.replayed_at = self.begins, ""
        self.started = self.last = time.monotonic()

    def at(self, replayed: int | None, at: str) -> None:
        """Take what the server says."""
        self.replayed, self.replayed_at = replayed or self.replayed, at or self.replayed_at

    def line(self) -> None:
        """Say how far it is, if it is time for that."""
        now = time.monotonic()
        if now - self.last < LINE_SECONDS:
            return
        self.last = now
        restored = _RESTORED.findall(self.cluster.said())
        if restored:  # before it is consistent the server tells nobody else
            begun = number_of(restored[-1], self.plan.segment_bytes) * self.plan.segment_bytes
            self.replayed = max(self.replayed, begun)
        done, total = self.replayed - self.begins, max(1, self.ends - self.begins)
        rate = done / (now - self.started)
        left = units.duration((total - done) / rate) if rate else "unknown"
        self.watch(
            f"recovery to {self.plan.target.text}: at {lsn_text(self.replayed)}"
            + (f" of {self.replayed_at}" if self.replayed_at else "")
            + f", {min(99, 100 * done // total)} % of the WAL at most, {units.rate(rate)}, ETA {left}"
        )


def judge(cluster: Cluster, plan: RecoveryPlan) -> Reached:
    """Read from the log where recovery stopped, and hold it against the target.

    Raises:
        RecoveryFailed: it is another state than the one that was asked for.
    """
    said = cluster.said()
    redo = _REDO_DONE.findall(said)
    stopped = _STOPPED.findall(said)
    commits = _LAST_COMMIT.findall(said)
    reached = Reached(
        words=stopped[-1] if stopped else (f"redo done at {redo[-1]}" if redo else "the log names no stopping point"),
        lsn=lsn(redo[-1]) if redo else 0,
        timeline=int(cluster.ask("SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()")),
        last_commit_at=_utc(commits[-1]) if commits else None,
        replayed_bytes=max(0, lsn(redo[-1]) - plan.backup.start_lsn) if redo else 0,
    )
    problem = _difference(plan, reached, stopped[-1] if stopped else "")
    if problem:
        raise RecoveryFailed(
            f"This is not the state of {plan.target.text}: {problem}",
            where=f"{cluster.where}, {cluster.log}",
            remedy="Nothing of it may be used: clear restore_copy and what follows it, which begins anew",
            retry=False,
            anew=True,
        )
    if not cluster.running():
        raise _died(cluster, plan)
    return reached


def _difference(plan: RecoveryPlan, reached: Reached, stopped: str) -> str:
    """Why this is not the state that was asked for; empty when it is."""
    target = plan.target
    # Before its base backup's end a server is not consistent: it would stop there, whatever was asked for.
    if target.at is not None and target.kind == "time" and target.at < plan.backup.ended_at:
        return f"its base backup ended at {plan.backup.ended_at}, after it"
    if target.lsn is not None and target.lsn < plan.backup.end_lsn:
        return f"its base backup ended at {lsn_text(plan.backup.end_lsn)}, after it"
    if target.kind == "latest" and not plan.interval.exact:
        short = number_of(plan.last_wal, plan.segment_bytes) * plan.segment_bytes
        return f"replay ended at {lsn_text(reached.lsn)}, before {plan.last_wal}" if reached.lsn < short else ""
    if not stopped:
        return "the server's log names no stopping point"
    if target.kind == "time":
        assert target.at is not None
        at = _STOP_TIME.search(stopped)
        if "before" not in stopped or at is None or _utc(at[1]) <= target.at:
            return f"recovery went another way: {stopped}"
        late = reached.last_commit_at is not None and reached.last_commit_at > target.at
        return f"the last transaction in it is of {reached.last_commit_at}" if late else ""
    if target.kind == "name":
        return "" if f'restore point "{target.text}"' in stopped else f"recovery went another way: {stopped}"
    wanted = target.lsn if target.lsn is not None else plan.interval.ends_lsn
    at = _STOP_LSN.search(stopped)
    return "" if at is not None and lsn(at[1]) >= wanted else f"recovery went another way: {stopped}"


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
