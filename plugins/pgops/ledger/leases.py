"""Leases: who may work on a database now, across tasks, workers and servers.

An advisory lock lives in one session of one server: it cannot span the tasks of a run, and on a standby it is not the
primary's. A lease is a row with an owner and an end. Its holder renews it; when the holder dies it runs out.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pgops.errors import LostOwnership, PgOpsError, Refused
from pgops.ledger.store import Ledger

log = logging.getLogger(__name__)

LEASE_SECONDS = 120.0


@dataclass(frozen=True)
class Lease:
    """The right to do `name` until somebody else has taken it."""

    ledger: Ledger
    name: str
    owner: str
    seconds: float = LEASE_SECONDS

    def take(self) -> None:
        """Take it, or take it again after it ran out.

        Raises:
            Refused: somebody else holds it.
        """
        if self.ledger.rows("take_lease", name=self.name, owner=self.owner, seconds=self.seconds):
            return
        raise self._taken(self._holder() or {"owner": "another run", "expires_at": "a moment ago"})

    def refuse_if_taken(self) -> None:
        """Raise Refused when somebody else holds the lease now; take nothing."""
        holder = self._holder()
        if holder and holder["owner"] != self.owner and not holder["expired"]:
            raise self._taken(holder)

    def _holder(self) -> dict[str, Any] | None:
        return next(iter(self.ledger.rows("lease_holder", name=self.name)), None)

    def _taken(self, holder: dict[str, Any]) -> Refused:
        return Refused(
            f"Another run is at work: {holder['owner']} has it until {holder['expires_at']}",
            where=f"lease {self.name} in the ledger {self.ledger.dsn.where}",
            remedy="Wait for it; a dead run's lease runs out by itself and the task tries again",
            retry=True,
        )

    def keep(self) -> None:
        """Take it again for the next step of the same run, also after it ran out or was given back.

        Raises:
            LostOwnership: somebody else has it now.
        """
        if not self.ledger.rows("take_lease", name=self.name, owner=self.owner, seconds=self.seconds):
            raise self._lost()

    def renew(self) -> None:
        """Prolong it while it is held.

        Raises:
            LostOwnership: somebody else took it after it ran out.
        """
        if not self.ledger.rows("renew_lease", name=self.name, owner=self.owner, seconds=self.seconds):
            raise self._lost()

    def _lost(self) -> LostOwnership:
        return LostOwnership(
            f"{self.owner} no longer owns this database's backups",
            where=f"lease {self.name} in the ledger {self.ledger.dsn.where}",
            remedy="Nothing to do: another run took over and this run's work does not count",
        )

    def release(self) -> None:
        """Give it back; harmless when it is lost."""
        self.ledger.rows("release_lease", name=self.name, owner=self.owner)


@contextmanager
def held_lease(lease: Lease, *, release_on_failure: bool = True) -> Iterator[Lease]:
    """Hold a lease that is renewed in the background.

    After success it is kept, because the run's next task goes on with the same owner; the last one releases it.

    Args:
        lease: taken here.
        release_on_failure: give it back when the block fails; not where steps of one run work side by side.
    """
    lease.take()
    done = threading.Event()

    def renew() -> None:
        while not done.wait(lease.seconds / 4):
            try:
                lease.renew()
            except LostOwnership:
                log.error("the lease %s was taken by another run", lease.name)
                return
            except PgOpsError as error:
                log.warning("the lease %s could not be renewed, trying again: %s", lease.name, error)

    renewer = threading.Thread(target=renew, name=f"lease-{lease.name}", daemon=True)
    renewer.start()
    try:
        yield lease
    except BaseException:
        done.set()
        if not release_on_failure:
            raise
        with contextlib.suppress(PgOpsError):  # it runs out by itself, and must not hide what happened
            lease.release()
        raise
    finally:
        done.set()
