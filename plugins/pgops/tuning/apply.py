"""Applies an approved plan: one setting at a time, seen in a new session, and never over what somebody else has done.

Before the server is touched the ledger says `applying`. Whoever dies after that leaves at worst a line in
postgresql.auto.conf that is not loaded; the next try of the task goes on from there, and if there is none, the next
review names it and `mode: reverse` takes it back.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

import psycopg2
from psycopg2 import errors

from pgops.errors import Refused
from pgops.ledger import Ledger
from pgops.postgres import Dsn
from pgops.tuning import records, values
from pgops.tuning.effect import begin_effect
from pgops.tuning.facts import read_files, read_setting, rows, session
from pgops.tuning.model import AUTO, Change, FileEntry, Plan, Setting
from pgops.tuning.script import statement

log = logging.getLogger(__name__)

VERIFY_SECONDS = 15.0  # the postmaster reads its files within milliseconds, unless the machine is overloaded
_POLL_SECONDS = 0.1
_NOT_TAKEN = (errors.InvalidParameterValue, errors.CantChangeRuntimeParam, errors.UndefinedObject, errors.SyntaxError)


@dataclass(frozen=True)
class Outcome:
    """What became of one setting: applied, refused (not touched), failed (taken back), or not applied (not tried)."""

    setting: str
    state: str
    says: str
    before: str = ""
    now: str = ""


@dataclass(frozen=True)
class Applied:
    """What became of a plan."""

    plan: str
    server: str
    outcomes: tuple[Outcome, ...]
    undoes: str = ""
    reverse: str = ""

    def of(self, *states: str) -> tuple[Outcome, ...]:
        """Those with one of these states."""
        return tuple(one for one in self.outcomes if one.state in states)

    @property
    def whole(self) -> bool:
        """Whether all of it is in place."""
        return all(one.state == "applied" for one in self.outcomes)


class _NotApplied(Exception):
    """A setting that stays as it was; `state` and words for the report."""

    def __init__(self, state: str, says: str) -> None:
        super().__init__(says)
        self.state, self.says = state, says


def apply(dsn: Dsn, plan: Plan, ledger: Ledger, now: datetime) -> Applied:
    """Change what the plan says; running it again goes on where the run before was stopped.

    A setting that somebody has changed since the plan is refused, by name, and the others go on. One that fails stops
    the rest: who does not understand a server must not go on changing it.

    Raises:
        Refused: it is not the server of the plan, or it would not be reloaded; nothing was touched.
        PgOpsError: the server or the ledger does not answer; running it again goes on.
    """
    _refuse_unfit(dsn, plan)
    known = {row["setting"]: row for row in records.changes(ledger, plan.id)}
    if not plan.undoes:
        begin_effect(dsn, ledger, plan, now)
    outcomes: list[Outcome] = []
    for change in plan.changes:
        before = known.get(change.setting)
        if before is not None and before["state"] in ("applied", "refused", "failed"):
            outcome = Outcome(change.setting, before["state"], before["says"], change.shown_before, _written(change))
        elif any(one.state == "failed" for one in outcomes):
            outcome = Outcome(
                change.setting, "not applied", "not tried, since one before it failed", change.shown_before
            )
            records.note_change(ledger, plan.id, plan.server, change, outcome.state, outcome.says)
        else:
            outcome = _change(dsn, plan, change, ledger, resumed=before is not None and before["state"] == "applying")
        if outcome.state == "applied":
            _note_undone(ledger, plan, change)
        log.info("%s: %s: %s", outcome.setting, outcome.state, outcome.says)
        outcomes.append(outcome)
    return Applied(plan.id, plan.server, tuple(outcomes), plan.undoes, plan.reverse)


def _change(dsn: Dsn, plan: Plan, change: Change, ledger: Ledger, *, resumed: bool) -> Outcome:
    try:
        with session(dsn) as connection:
            setting, files = _look(connection, change)
            written = _drift(change, setting, files, resumed=resumed)
            records.note_change(ledger, plan.id, plan.server, change, "applying")
            if not written:
                _write(connection, change.setting, change.value)
            _refuse_unloadable(connection, change)
            _reload(connection)
        seen = _verify(dsn, change)
        outcome = Outcome(change.setting, "applied", _won_over(dsn, change), change.shown_before, seen.shown)
    except _NotApplied as no:
        outcome = Outcome(change.setting, no.state, no.says, change.shown_before, change.shown_before)
    records.note_change(ledger, plan.id, plan.server, change, outcome.state, outcome.says)
    return outcome


def _look(connection: Any, change: Change) -> tuple[Setting, tuple[FileEntry, ...]]:
    try:
        return read_setting(connection, change.setting), read_files(connection)
    except errors.InsufficientPrivilege as error:
        raise _NotApplied("refused", f"no privilege: {_said(error)}; run include/sql/roles/tuner.sql") from error


def _drift(change: Change, setting: Setting, files: Sequence[FileEntry], *, resumed: bool) -> bool:
    """Whether the value is written already, by a try before this one.

    Raises:
        _NotApplied: it is no longer as it was when the plan was made.
    """
    broken = next((one for one in files if one.broken), None)
    if broken:
        raise _NotApplied("refused", f"a reload takes nothing while {_place(broken)} has an error: {broken.error}")
    auto = _auto(files, change.setting)
    if auto == change.value and (resumed or change.undoes):
        return True
    if auto != change.auto_before:
        raise _NotApplied(
            "refused",
            f"changed since it was planned: {AUTO} says {_or_nothing(auto)}, it said {_or_nothing(change.auto_before)}",
        )
    # A try that was stopped after its reload, and was taken back since, finds the old value again.
    if not setting.same(change.before) or setting.source != change.source:
        raise _NotApplied(
            "refused",
            f"changed since it was planned: it is {setting.shown} ({setting.source}), it was"
            f" {change.shown_before} ({change.source})",
        )
    return False


def _write(connection: Any, setting: str, value: str | None) -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement(setting, value))
    except errors.InsufficientPrivilege as error:
        raise _NotApplied("refused", f"no privilege: {_said(error)}; run include/sql/roles/tuner.sql") from error
    except _NOT_TAKEN as error:
        raise _NotApplied("refused", f"the server does not take it: {_said(error)}") from error


def _refuse_unloadable(connection: Any, change: Change) -> None:
    """Before the reload: does the server understand its files as they are now? If not, they become what they were."""
    broken = next((one for one in read_files(connection) if one.broken), None)
    if broken is None:
        return
    _write(connection, change.setting, change.auto_before)
    raise _NotApplied("failed", f"{_place(broken)} has an error: {broken.error}; taken back before the reload")


def _reload(connection: Any) -> None:
    rows(connection, "reload")


def _verify(dsn: Dsn, change: Change) -> Setting:
    """The setting as a new session finds it.

    Raises:
        _NotApplied: the reload did not bring it; it was taken back.
    """
    deadline = time.monotonic() + VERIFY_SECONDS
    while True:
        with session(dsn) as connection:
            seen = read_setting(connection, change.setting)
            if _arrived(change, seen):
                return seen
            if time.monotonic() > deadline:
                why = _why_not_loaded(read_files(connection), change, seen)
                _write(connection, change.setting, change.auto_before)
                _reload(connection)
                raise _NotApplied("failed", f"{why}; taken back")
        time.sleep(_POLL_SECONDS)


def _arrived(change: Change, seen: Setting) -> bool:
    if change.value is None:
        return seen.sourcefile is None or PurePosixPath(seen.sourcefile).name != AUTO
    return seen.same(change.value)


def _why_not_loaded(files: Sequence[FileEntry], change: Change, seen: Setting) -> str:
    broken = next((one for one in files if one.broken), None)
    if broken:
        return f"the reload took nothing: {_place(broken)} has an error: {broken.error}"
    return (
        f"after the reload a new session has {seen.shown} ({seen.source}) instead of {_written(change)}:"
        " read the server's log at this time"
    )


def _won_over(dsn: Dsn, change: Change) -> str:
    """Who does not get the new value: roles and databases have values of their own, and they win."""
    with session(dsn) as connection:
        found = [one for one in rows(connection, "overrides") if one["name"] == change.setting]
    if not found:
        return "verified in a new session"
    of = "; ".join(
        " in ".join(
            filter(None, [one["role"] and f"role {one['role']}", one["database"] and f"database {one['database']}"])
        )
        + f" keeps {one['value']}"
        for one in found
    )
    return f"verified in a new session, but an override wins: {of}"


def _note_undone(ledger: Ledger, plan: Plan, change: Change) -> None:
    if change.undoes:
        records.note_change(ledger, change.undoes, plan.server, change, "reversed", f"by {plan.id}")


def _refuse_unfit(dsn: Dsn, plan: Plan) -> None:
    with session(dsn) as connection:
        (server,) = rows(connection, "server")
    if server["identifier"] != plan.identifier or server["in_recovery"]:
        what = "is a standby now" if server["in_recovery"] else "is another one than that of the plan"
        raise Refused(f"The server {what}", where=dsn.where, remedy="Trigger the review again; nothing was touched")
    if not server["may_reload"]:
        raise Refused(
            f"{server['role']} may not reload the server, so nothing that it writes would be loaded",
            where=dsn.where,
            remedy="Run include/sql/roles/tuner.sql there; nothing was touched",
        )


def _auto(files: Sequence[FileEntry], name: str) -> str | None:
    found = [one.value for one in files if one.auto and one.name == name]
    return found[-1] if found else None


def _written(change: Change) -> str:
    return "the server's own" if change.value is None else values.shown(change.value, change.unit)


def _or_nothing(value: str | None) -> str:
    return "nothing" if value is None else repr(value)


def _place(line: FileEntry) -> str:
    return f"{PurePosixPath(line.file).name}:{line.line}"


def _said(error: psycopg2.Error) -> str:
    return str(error.diag.message_primary or error).strip()
