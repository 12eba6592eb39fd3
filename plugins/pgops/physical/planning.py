"""Plans with a server that is still alive: what it has not archived is archived first, where a target needs it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from pgops.errors import PgOpsError, Refused
from pgops.physical.drill import push_out, wait_for_wal
from pgops.physical.intervals import told
from pgops.physical.model import Engine
from pgops.physical.needs import Needs
from pgops.physical.plan import NO_RATES, Rates, RecoveryPlan, Target, plan
from pgops.physical.recoverability import Surveyed, WalReader, survey
from pgops.postgres import Dsn

log = logging.getLogger(__name__)

ARCHIVE_SECONDS = 120.0


def planned(
    server: str,
    target: Target,
    engine: Engine,
    reader: WalReader,
    source: Dsn | None,
    *,
    timeline: int | None = None,
    since: datetime | None = None,
    needs: Needs | None = None,
    rates: Rates = NO_RATES,
    watch: Callable[[str], None] = log.info,
) -> RecoveryPlan:
    """A plan, made with all the WAL that there is.

    Args:
        source: the live server, if it may be asked; see pgops.physical.plan.plan for the others.

    Raises:
        Refused: the target cannot be reached.
    """
    if target.at is not None and target.at > datetime.now(UTC):
        raise Refused(
            f"The target {told(target.at)} lies in the future",
            where="the target",
            remedy="Give an instant that has been; perhaps its zone is not the one that was meant. Nothing was touched",
        )

    def made(surveyed: Surveyed) -> RecoveryPlan:
        found = surveyed.backups, surveyed.archive, surveyed.possible
        return plan(server, target, *found, timeline=timeline, since=since, needs=needs, rates=rates)

    if target.kind in ("time", "lsn"):
        try:
            return made(survey(engine, reader))
        except Refused as error:
            refused = error
        if not _push_out(source, engine, watch):
            raise refused
    else:
        _push_out(source, engine, watch)
    return made(survey(engine, reader))


def _push_out(source: Dsn | None, engine: Engine, watch: Callable[[str], None]) -> bool:
    """Have the live server archive what it has; whether it did. It may be dead, which is no error here."""
    if source is None:
        return False
    try:
        wal = push_out(source)
        watch(f"waiting until {wal}, the server's present segment, is archived")
        return wait_for_wal(source, engine, wal, ARCHIVE_SECONDS)
    except PgOpsError as error:
        log.warning("the server does not archive its last segment, so the plan goes without it: %s", error)
        return False
