"""Puts checks to one server, politely: read only, short of patience, the cheap ones in one round trip."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import psycopg2
from psycopg2 import sql

from pgops import units
from pgops.health.model import Budget, Check, Status
from pgops.include import sql_text
from pgops.postgres import DatabaseError, Dsn, Limits, connect

APPLICATION = "pgops.health"
_PRIVILEGE = "42501"
_CANCELLED = "57014"
_LOCKED = "55P03"
_NOT_NOW = "55000"

# What each kind of check's query gives, brought to one shape: check, object, amount, other, since, says, mend.
_SHAPES = {
    "state": "value::numeric, NULL::numeric, NULL::timestamptz",
    "delta": "count::numeric, total::numeric, since::timestamptz",
    "forecast": "value::numeric, ceiling::numeric, NULL::timestamptz",
}


@dataclass(frozen=True)
class Row:
    """One line of a check's answer."""

    object: str
    amount: float | None
    other: float | None
    since: datetime | None
    says: str
    mend: str


@dataclass(frozen=True)
class Answer:
    """What a server said to one check: rows, or why there are none."""

    rows: tuple[Row, ...] = ()
    missing: Status | None = None
    why: str = ""
    seconds: float = 0


@dataclass(frozen=True)
class Facts:
    """Who answered, and what the role may see."""

    major: int
    version: str
    in_recovery: bool
    system_identifier: str
    timeline: str
    superuser: bool
    roles: frozenset[str]
    relations: frozenset[str]
    extensions: Mapping[str, str]
    followers: int


@dataclass(frozen=True)
class Answers:
    """What one server said. `facts` is None when it could not be reached; `trouble` says why."""

    facts: Facts | None
    by_check: Mapping[str, Answer]
    trouble: DatabaseError | None = None


@dataclass
class Clock:
    """What is left of the run's budget."""

    budget: Budget
    started: float = field(default_factory=time.monotonic)

    @property
    def used(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    @property
    def left(self) -> float:
        """Seconds until the run has had its time."""
        return self.budget.run - self.used


def ask(dsn: Dsn, checks: Sequence[Check], given: Mapping[str, str], clock: Clock) -> Answers:
    """Put checks to one server. Whatever happens, every check gets an answer."""
    if clock.left <= 0:
        spent = Answer(missing=Status.UNKNOWN, why=_spent(clock))
        return Answers(None, {check.name: spent for check in checks})
    patient = replace(
        dsn,
        options={
            "connect_timeout": str(max(2, min(10, int(clock.left)))),
            "client_encoding": "UTF8",  # else names in an SQL_ASCII database would have to be ASCII
            **dsn.options,
            # What the planner takes for a large query over catalogs is not worth compiling.
            "options": f"{dsn.options.get('options', '')} -c jit=off".strip(),
        },
    )
    limits = Limits(statement=min(clock.budget.check, clock.left), lock=clock.budget.lock)
    facts: Facts | None = None
    answers: dict[str, Answer] = {}
    try:
        with connect(patient, APPLICATION, limits, readonly=True, system_names=True) as connection:
            facts = _facts(connection, checks)
            _tell(connection, given)
            answers |= {check.name: kept for check in checks if (kept := _kept_from(check, facts, given)) is not None}
            _put(connection, [check for check in checks if check.name not in answers], facts, clock, answers)
    except DatabaseError as error:
        lost = Answer(missing=Status.UNKNOWN, why=error.what)
        return Answers(facts, {check.name: answers.get(check.name, lost) for check in checks}, error)
    return Answers(facts, answers)


def _put(connection: Any, checks: Sequence[Check], facts: Facts, clock: Clock, answers: dict[str, Answer]) -> None:
    cheap = [check for check in checks if not check.heavy]
    try:
        answers |= _together(connection, cheap, facts)
    except (psycopg2.Error, UnicodeDecodeError):
        _alive(connection)
        checks = [*cheap, *(check for check in checks if check.heavy)]  # one by one the culprit shows
    for check in checks:
        if check.name not in answers:
            answers[check.name] = _alone(connection, check, facts, clock)
            _alive(connection)


def _together(connection: Any, checks: Sequence[Check], facts: Facts) -> dict[str, Answer]:
    """One statement for all: a round trip to a far server costs more than a cheap check."""
    if not checks:
        return {}
    started = time.monotonic()
    rows = _rows(connection, sql.SQL("\nUNION ALL\n").join(_shaped(check, facts) for check in checks))
    seconds = (time.monotonic() - started) / len(checks)
    return {check.name: Answer(tuple(rows.get(check.name, ())), seconds=seconds) for check in checks}


def _alone(connection: Any, check: Check, facts: Facts, clock: Clock) -> Answer:
    if clock.left <= 0:
        return Answer(missing=Status.UNKNOWN, why=_spent(clock))
    started = time.monotonic()
    allowed = min(clock.budget.check, clock.left)
    try:
        with connection.cursor() as cursor:
            # Rounded up: who runs into what is left of the run has used it up, so nothing is asked after it.
            cursor.execute(
                sql_text("health/server/statement_timeout.sql"), {"milliseconds": str(math.ceil(allowed * 1000))}
            )
        rows = _rows(connection, _shaped(check, facts))
    except psycopg2.Error as error:
        seconds = time.monotonic() - started
        return replace(_failed(check, error, facts, allowed), seconds=seconds)
    except UnicodeDecodeError as error:  # text of another database, which may have another encoding
        return Answer(missing=Status.UNKNOWN, why=f"it gives text that is no UTF-8: {error}")
    return Answer(tuple(rows.get(check.name, ())), seconds=time.monotonic() - started)


def _failed(check: Check, error: psycopg2.Error, facts: Facts, allowed: float) -> Answer:
    message = (error.diag.message_primary or " ".join(str(error).split())) if error.diag else str(error)
    match error.pgcode:
        case code if code == _PRIVILEGE:
            return Answer(missing=Status.SKIPPED, why=f"no privilege: {message}")
        case code if code == _NOT_NOW and facts.in_recovery:
            return Answer(missing=Status.SKIPPED, why=f"the server is in recovery: {message}")
        case code if code == _CANCELLED:
            return Answer(missing=Status.UNKNOWN, why=f"not done within its {units.duration(allowed)}: {message}")
        case code if code == _LOCKED:
            return Answer(missing=Status.UNKNOWN, why="somebody holds an exclusive lock on what it looks at")
    return Answer(missing=Status.UNKNOWN, why=f"SQLSTATE {error.pgcode or '-'}: {message}")


def _shaped(check: Check, facts: Facts) -> sql.Composable:
    text = check.query(facts.major)
    assert text is not None  # _kept_from
    body: sql.Composable = sql.SQL(text)
    if check.extension:
        body = sql.SQL(text).format(schema=sql.Identifier(facts.extensions[check.extension]))
    return sql.SQL("SELECT {name}, object::text, {shape}, says::text, mend::text FROM (\n{body}\n) AS answer").format(
        name=sql.Literal(check.name), shape=sql.SQL(_SHAPES[check.kind]), body=body
    )


def _rows(connection: Any, statement: sql.Composable) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    with connection.cursor() as cursor:
        cursor.execute(statement)
        for name, about, amount, other, since, says, mend in cursor:
            row = Row(about or "", _number(amount), _number(other), since, says or "", mend or "")
            found.setdefault(name, []).append(row)
    return found


def _number(value: Any) -> float | None:
    number = None if value is None else float(value)
    return None if number is None or math.isnan(number) else number


def _facts(connection: Any, checks: Sequence[Check]) -> Facts:
    wanted = {one for check in checks for one in check.privileges}
    relations = [one.removeprefix("select ") for one in wanted if one.startswith("select ")]
    with connection.cursor() as cursor:
        cursor.execute(sql_text("health/server/facts.sql"), {"roles": list(wanted), "relations": relations})
        (number, version, recovery, identifier, timeline, superuser, roles, visible, extensions, followers) = (
            cursor.fetchone()
        )
    return Facts(
        number // 10000,
        *(version.split()[0], recovery, identifier, timeline, bool(superuser)),
        *(frozenset(roles), frozenset(visible), extensions, followers),
    )


def _tell(connection: Any, given: Mapping[str, str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            sql_text("health/server/fact.sql"), {"names": list(given), "values": [str(one) for one in given.values()]}
        )


def _kept_from(check: Check, facts: Facts, given: Mapping[str, str]) -> Answer | None:
    """Why a check cannot be put to this server at all, if so."""
    if check.query(facts.major) is None:
        first, last = check.versions[0][0], check.versions[-1][1]
        return _skipped(f"PostgreSQL {facts.major} is not supported, {first} to {last} are")
    for privilege in check.privileges:
        if not _may(privilege, facts):
            return _skipped(f"no privilege: the role needs {privilege}")
    if check.extension and check.extension not in facts.extensions:
        return _skipped(f"the extension {check.extension} is not installed in this database")
    unknown = [name for name in check.facts if name not in given]
    if unknown:
        return _skipped(f"not told: {', '.join(unknown)}")
    return None


def _may(privilege: str, facts: Facts) -> bool:
    if facts.superuser:
        return True
    if privilege.startswith("select "):
        return privilege.removeprefix("select ") in facts.relations
    return privilege in facts.roles


def _skipped(why: str) -> Answer:
    return Answer(missing=Status.SKIPPED, why=why)


def _spent(clock: Clock) -> str:
    return f"not asked: the run's {units.duration(clock.budget.run)} were used up"


def _alive(connection: Any) -> None:
    if connection.closed:
        raise psycopg2.OperationalError("the server closed the connection")
