"""Up to which instant an archive can really be recovered, and what of that the ledger keeps.

A list of segments tells when they arrived. What counts for a target in time is the last commit within them, so the
last segments are fetched as a recovery would fetch them, and read with pg_waldump.
"""

from __future__ import annotations

import json
import logging
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import PurePosixPath

from pgops.errors import PgOpsError
from pgops.ledger import Ledger
from pgops.physical.intervals import Interval, Restorable, Walk, restorable
from pgops.physical.model import BaseBackup, Engine, Host, WalArchive
from pgops.physical.needs import Needs
from pgops.physical.plan import Rates
from pgops.physical.wal import lsn

log = logging.getLogger(__name__)

_SEGMENTS_READ = 64
_UNREADABLE = 2  # so many in a row at the end, and it is the archive that cannot be reached
_RECORDS = ("COMMIT", "ABORT")  # COMMIT PREPARED too: what recovery compares with a target in time
_END = re.compile(
    rf"lsn: (?P<lsn>[0-9A-F]+/[0-9A-F]+),.* desc: (?:{'|'.join(_RECORDS)})(?: PREPARED)?\b.*?"
    r" ?(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?) UTC"
)
_LAST = re.compile(r"lsn: ([0-9A-F]+/[0-9A-F]+)")
_BROKEN = re.compile(r"^pg_waldump: (?:error|fatal): (?P<why>.*)$", re.MULTILINE)
# Of all that pg_waldump prints: the last commit, the last record, and what it could not read.
_LAST_LINES = (
    f"awk '/desc: ({'|'.join(_RECORDS)})/ {{ commit = $0 }} /lsn: / {{ last = $0 }}"
    " /^pg_waldump: (error|fatal): / { error = $0 } END { print commit; print last; print error }'"
)


@dataclass(frozen=True)
class Ended:
    """What a segment ends with: its last record, and its last commit; None when it holds none.

    A whole segment is filled, or ended by a switch; `broken` says why this one's records end before.
    """

    last_lsn: int | None
    commit_at: datetime | None
    broken: str = ""


class WalReader:
    """Reads segments out of an archive, as a recovery on a host would.

    Args:
        host: where it is done.
        bindir: PostgreSQL's programs there.
        restore_command: of the engine, for that host.
        folder: for the segments, removed afterwards.
    """

    def __init__(self, host: Host, bindir: PurePosixPath, restore_command: str, folder: PurePosixPath) -> None:
        self.host, self.bindir = host, bindir
        self.restore_command, self.folder = restore_command, folder

    @contextmanager
    def ready(self) -> Iterator[WalReader]:
        """Have the folder while inside."""
        self.host.run(["mkdir", "-p", "-m", "700", str(self.folder)])
        try:
            yield self
        finally:
            self.host.run(["rm", "-rf", "--", str(self.folder)], check=False)

    def ended(self, name: str) -> Ended:
        """Fetch a segment and read what it ends with.

        Raises:
            PgOpsError: it cannot be fetched.
        """
        path = self.folder / name
        words = {"%f": name, "%p": shlex.quote(str(path)), "%%": "%", "%r": name}
        command = re.sub("%[fpr%]", lambda found: words[found[0]], self.restore_command)
        self.host.run(["sh", "-c", f"cd {shlex.quote(str(self.folder))} && {command}"])
        if not self.host.exists(path):
            raise PgOpsError(
                f"restore_command says that it brought {name}, and it is not there",
                where=self.host.name,
                remedy="Run the command by hand and look at what it does",
            )
        dump = shlex.join([str(self.bindir / "pg_waldump"), str(path)])
        try:
            said = self.host.run(["sh", "-c", f"{dump} 2>&1 | {_LAST_LINES}"], {"TZ": "UTC", "LC_ALL": "C"}).stdout
        finally:
            self.host.run(["rm", "-f", "--", str(path)], check=False)
        commit, last, broken = _END.search(said), _LAST.findall(said), _BROKEN.search(said)
        return Ended(
            last_lsn=lsn(last[-1]) if last else None,
            commit_at=datetime.fromisoformat(commit["at"]).replace(tzinfo=UTC) if commit else None,
            broken=broken["why"] if broken else "",
        )


def exact(interval: Interval, archive: WalArchive, reader: WalReader) -> Interval:
    """An interval that ends with its last commit.

    A segment that cannot be read is as good as missing, unless no segment can be read. One that can be read in part
    ends the interval where its records do.

    Args:
        interval: as the lists tell it.
        archive: the list.
        reader: of its segments, ready.

    Raises:
        PgOpsError: none of the last segments can be fetched.
    """
    walk, found = Walk(interval.timeline, archive), interval
    number, ends_lsn, unread = walk.number(interval.last_wal), None, None
    for _ in range(_SEGMENTS_READ):
        if walk.name(number) not in archive.segments:
            break
        try:
            ended = reader.ended(walk.name(number))
        except PgOpsError as error:
            if ends_lsn is not None or number == walk.number(interval.last_wal) - _UNREADABLE:
                raise
            log.warning("%s cannot be read, so WAL ends before it: %s", walk.name(number), error)
            unread, number = error, number - 1
            found = replace(found, last_wal=walk.name(number), missing=walk.name(number + 1))
            continue
        if ended.broken:
            why = f"WAL segment {walk.name(number)} is damaged: {ended.broken}"
            found, ends_lsn = replace(found, last_wal=walk.name(number), broken=why), None
        ends_lsn = ends_lsn or ended.last_lsn or interval.begins_lsn
        if ended.commit_at is not None:
            at = max(ended.commit_at, interval.begins_at)
            return replace(found, ends_at=at, ends_lsn=ends_lsn, exact=True)
        number -= 1
    if unread is not None and ends_lsn is None:
        raise unread
    log.warning("no commit in the last segments up to %s of timeline %s", found.last_wal, interval.timeline)
    return replace(found, ends_at=interval.begins_at, ends_lsn=ends_lsn or interval.begins_lsn, exact=True)


@dataclass(frozen=True)
class Surveyed:
    """An archive at a moment: its lists, and what they allow."""

    backups: tuple[BaseBackup, ...]
    archive: WalArchive
    possible: Restorable
    at: datetime


def survey(engine: Engine, reader: WalReader | None = None) -> Surveyed:
    """List an archive and say what can be restored from it.

    Args:
        engine: of the server.
        reader: makes the ends of the intervals exact; without it they are when the last segment arrived.
    """
    at, backups, archive = datetime.now(UTC), engine.backups(), engine.archive()
    possible = restorable(backups, archive)
    if reader is not None and possible.intervals:
        with reader.ready():
            possible = replace(possible, intervals=tuple(exact(one, archive, reader) for one in possible.intervals))
    return Surveyed(backups, archive, possible, at)


def record(ledger: Ledger, server: str, surveyed: Surveyed, needs: Needs | None = None) -> None:
    """Keep in the ledger what is restorable of a server, instead of what was kept before."""
    ledger.rows(
        "record_restorable",
        server=server,
        at=surveyed.at,
        intervals=json.dumps([_plain(one, surveyed.archive) for one in surveyed.possible.intervals]),
        unusable=json.dumps([asdict(one) for one in surveyed.possible.unusable]),
        needs=json.dumps(asdict(needs)) if needs else None,
    )


def rates(ledger: Ledger, server: str) -> Rates:
    """What the last recoveries of a server did in a second."""
    found = ledger.rows("recovery_rates", server=server)
    return Rates(**found[0]) if found else Rates()


def _plain(interval: Interval, archive: WalArchive) -> dict[str, object]:
    times = {"begins_at": interval.begins_at.isoformat(), "ends_at": interval.ends_at.isoformat()}
    return {**asdict(interval), **times, "gap": interval.is_gap_of(archive)}


def problems(surveyed: Surveyed, rpo_seconds: float, written_since: datetime | None) -> Sequence[str]:
    """Why a server could not be recovered as its policy asks; empty when it could.

    Args:
        surveyed: the archive.
        rpo_seconds: the policy's objective.
        written_since: since when the server has WAL that is not archived; None when all is.
    """
    found = [f"base backup {one.backup_id} is good for nothing: {one.why}" for one in surveyed.possible.unusable]
    intervals = surveyed.possible.intervals
    if not intervals:
        flows = "WAL is archived, but" if surveyed.archive.segments else "there is no WAL in the archive, and"
        return [f"nothing can be restored: {flows} there is no usable base backup", *found]
    if written_since is not None and (waits := (surveyed.at - written_since).total_seconds()) > rpo_seconds:
        found.insert(0, f"WAL stopped arriving: nothing since {waits / 60:.0f} min, allowed are {rpo_seconds / 60:.0f}")
    found += [one.broken for one in intervals if one.broken]
    return found + [f"WAL segment {one.missing} is missing" for one in intervals if one.is_gap_of(surveyed.archive)]
