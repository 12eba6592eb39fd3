"""One look at one target: its primary, its standbys, and what the ledger knows of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pgops.health.ask import Answer, Answers, Clock, ask
from pgops.health.checks import checks as all_checks
from pgops.health.judge import Place, judge, samples
from pgops.health.model import (
    Budget,
    Check,
    Finding,
    Outcome,
    Report,
    Sample,
    Scope,
    Snapshot,
    Status,
    Target,
    fingerprint,
)
from pgops.postgres import Dsn

SCOPES: tuple[Scope, ...] = ("instance", "database", "standby", "ledger")
# A server that does not answer is the one finding that no query can make.
UNREACHABLE = Check(
    name="unreachable",
    title="The database cannot be reached",
    purpose="Whether the server answers at all.",
    scope="instance",
    kind="state",
    versions=(),
    privileges=(),
    heavy=False,
    dimension="count",
    info=None,
    warn=None,
    crit=None,
    source="",
    mend="Start the server, or correct the Airflow connection",
    risk="none",
)


@dataclass(frozen=True)
class _Asked:
    """One server, its name in findings, and what it said."""

    name: str
    answers: Answers

    def answer(self, check: Check) -> Answer:
        return self.answers.by_check[check.name]


def run(
    target: Target,
    *,
    scopes: Collection[Scope] = SCOPES,
    history: Sequence[Snapshot] = (),
    budget: Budget | None = None,
    checks: Sequence[Check] | None = None,
    now: datetime | None = None,
) -> Report:
    """Put every check of the scopes to the target. Whatever is down, the rest of the report comes.

    Args:
        target: what to look at.
        scopes: of several databases on one server only one needs "instance" and "standby".
        history: earlier snapshots of the same target: differences and forecasts are made from them.
        budget: seconds; 5 per check and 60 in all unless given.
        checks: those of include/sql/health/ unless given; a fleet's own thresholds are put in by with_thresholds.
        now: the time of the look; the present unless given.

    Raises:
        PgOpsError: a check's file is not right; no server has been touched.
    """
    wanted = [check for check in (all_checks() if checks is None else checks) if check.scope in scopes]
    look = _Look(target, sorted(history, key=lambda one: one.at), Clock(budget or Budget()), now or datetime.now(UTC))
    return look.report(wanted)


class _Look:
    def __init__(self, target: Target, history: Sequence[Snapshot], clock: Clock, at: datetime) -> None:
        self._target, self._history, self._clock, self._at = target, history, clock, at
        self._given = {**target.facts, "database": target.name, "standbys": str(len(target.standbys))}
        self._identity = ""
        self._samples: list[Sample] = []

    def report(self, checks: Sequence[Check]) -> Report:
        every = [check for check in checks if check.on == "every"]
        anywhere = [check for check in checks if check.on == "any"]
        of_standbys = [check for check in checks if check.scope == "standby"]
        of_ledger = [check for check in checks if check.scope == "ledger"]
        apart = {check.name for check in (*every, *anywhere, *of_standbys, *of_ledger)}
        plain = [check for check in checks if check.name not in apart]

        here = [*plain, *every, *([] if self._target.standbys else anywhere)]
        primary = self._ask(self._target.server_name, self._target.dsn, here)
        facts = primary.answers.facts
        self._identity = f"{facts.system_identifier}/{facts.timeline}" if facts else ""
        standbys, elsewhere = self._ask_standbys(of_standbys, every, anywhere, primary)

        outcomes = [self._judged(check, primary.name, primary.answer(check)) for check in plain]
        outcomes += [self._judged(check, primary.name, elsewhere.answer(check)) for check in anywhere]
        outcomes += [self._judged(check, primary.name, _agreed(check, primary, standbys)) for check in every]
        outcomes += [self._judged(check, one.name, _named(one, check)) for one in standbys for check in of_standbys]
        outcomes += self._of_the_ledger(of_ledger, primary.name)
        outcomes += [_reached(one, "" if one is primary else one.name) for one in (primary, *standbys)]
        return Report(
            target=self._target.name,
            server=primary.name,
            database=self._target.dsn.dbname,
            at=self._at,
            seconds=self._clock.used,
            version=facts.version if facts else "",
            outcomes=tuple(outcomes),
            snapshot=Snapshot(self._at, self._identity, tuple(self._samples)),
        )

    def _ask(self, name: str, dsn: Dsn, checks: Sequence[Check]) -> _Asked:
        return _Asked(name, ask(dsn, checks, self._given, self._clock))

    def _ask_standbys(
        self, of_standbys: Sequence[Check], every: Sequence[Check], anywhere: Sequence[Check], primary: _Asked
    ) -> tuple[list[_Asked], _Asked]:
        """Every standby, and whoever answers what any of them may: the first that does, the primary if none does."""
        asked: list[_Asked] = []
        elsewhere: _Asked | None = None
        for name, dsn in self._target.standbys.items():
            one = self._ask(name, dsn, [*of_standbys, *every, *([] if elsewhere else anywhere)])
            asked.append(one)
            if elsewhere is None and one.answers.facts is not None:
                elsewhere = one
        if elsewhere is None:
            elsewhere = self._ask(primary.name, self._target.dsn, anywhere) if self._target.standbys else primary
        return asked, elsewhere

    def _judged(self, check: Check, server: str, answer: Answer) -> Outcome:
        """One outcome. What a copy of the database was asked is said of the primary, as `server` says."""
        self._samples += samples(check, answer, server)
        database = "" if check.scope in ("instance", "standby") else self._target.dsn.dbname
        return judge(check, answer, Place(server, database, self._at, self._identity), self._history)

    def _of_the_ledger(self, checks: Sequence[Check], server: str) -> list[Outcome]:
        if not checks:
            return []
        if self._target.ledger is None:
            why = "there is no ledger"
            return [Outcome(check, server, self._target.dsn.dbname, Status.SKIPPED, why) for check in checks]
        asked = self._ask("ledger", self._target.ledger, checks)
        return [self._judged(check, server, asked.answer(check)) for check in checks]


def _agreed(check: Check, primary: _Asked, standbys: Sequence[_Asked]) -> Answer:
    """What the primary and all of its standbys say: an index that nobody uses here may carry the reports there."""
    answer = primary.answer(check)
    if answer.missing is not None or not answer.rows:
        return answer
    for standby in standbys:
        other = standby.answer(check)
        if other.missing is not None:
            return Answer(missing=other.missing, why=f"standby {standby.name}: {other.why}", seconds=answer.seconds)
        there = {row.object for row in other.rows}
        answer = replace(answer, rows=tuple(row for row in answer.rows if row.object in there))
    facts = primary.answers.facts
    strangers = facts.followers - len(standbys) if facts else 0
    note = f"; the same on {len(standbys)} standbys" if standbys else ""
    if strangers > 0:
        note += f"; {strangers} more standbys follow that the fleet file does not name: look there first"
    return replace(answer, rows=tuple(replace(row, says=f"{row.says}{note}") for row in answer.rows))


def _named(standby: _Asked, check: Check) -> Answer:
    """What a standby said, with its name: beside the primary's findings an object must say where it is."""
    answer = standby.answer(check)
    rows = (replace(row, object=": ".join(filter(None, (standby.name, row.object)))) for row in answer.rows)
    return replace(answer, rows=tuple(rows))


def _reached(asked: _Asked, about: str) -> Outcome:
    trouble = asked.answers.trouble
    if asked.answers.facts is not None and trouble is None:
        return Outcome(UNREACHABLE, asked.name, "", Status.OK)
    if trouble is None:
        return Outcome(UNREACHABLE, asked.name, "", Status.UNKNOWN, "not asked: the run's time was used up")
    finding = Finding(
        UNREACHABLE.name,
        fingerprint(asked.name, "", UNREACHABLE.name, about),
        UNREACHABLE.title,
        Status.CRIT,
        asked.name,
        "",
        about,
        None,
        UNREACHABLE.dimension,
        trouble.what,
        trouble.remedy,
        UNREACHABLE.risk,
    )
    return Outcome(UNREACHABLE, asked.name, "", Status.CRIT, findings=(finding,))
