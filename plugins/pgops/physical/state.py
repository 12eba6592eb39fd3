"""A recovery as it stands on its host: a folder with a file that says how far it is, so that any process can go on."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import PurePosixPath
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from pgops.errors import PgOpsError, Refused
from pgops.physical.cluster import Cluster
from pgops.physical.model import Host
from pgops.physical.plan import RecoveryPlan

log = logging.getLogger(__name__)

Phase = Literal["fetching", "fetched", "configured", "recovered", "open"]
STATE = "recovery.json"
_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,80}$")
_PORTS = ".ports"


@dataclass(frozen=True)
class Place:
    """Where copies of a server are recovered.

    Attributes:
        host: the recovery host.
        base: a folder there that holds nothing else; each recovery gets one of its own in it.
        bindir: PostgreSQL's programs of the server's major version on that host.
        ports: the first and the last that may be used.
        superuser: a role of the server that is one.
        settings: of the copy, where the host is smaller than the source: shared_buffers and the like.
        listen: an address on which the copy is reached from elsewhere; the host alone when empty.
        networks: from where, when it listens.
    """

    host: Host
    base: PurePosixPath
    bindir: PurePosixPath
    ports: tuple[int, int]
    superuser: str = "postgres"
    settings: Mapping[str, str] = field(default_factory=dict)
    listen: str = ""
    networks: tuple[str, ...] = ()

    def folder(self, recovery_id: str) -> PurePosixPath:
        """The folder of one recovery.

        Raises:
            Refused: that is no id; a folder is removed by this name.
        """
        if not _ID.match(recovery_id) or ".." in recovery_id:
            raise Refused(f"{recovery_id!r} is no id of a recovery", where=str(self.base), remedy="Give another one")
        return self.base / recovery_id

    def where(self, recovery_id: str) -> str:
        """As errors name it."""
        return f"{self.host.name}:{self.folder(recovery_id)}"


@dataclass(frozen=True)
class Reached:
    """Where recovery stopped, as the server's log says.

    Attributes:
        words: the line that names the stopping point.
        last_commit_at: of the last transaction that is in.
        replayed_bytes: of WAL.
    """

    words: str
    lsn: int
    timeline: int
    last_commit_at: datetime | None
    replayed_bytes: int


@dataclass(frozen=True)
class Recovery:
    """A recovery beside its source. Times are UTC.

    Attributes:
        until: when it may be removed.
        fetch_seconds, replay_seconds: what these took; 0 before.
    """

    id: str
    server: str
    plan: RecoveryPlan
    port: int
    started_at: datetime
    until: datetime
    phase: Phase = "fetching"
    fetch_seconds: float = 0.0
    replay_seconds: float = 0.0
    reached: Reached | None = None


_RECOVERY = TypeAdapter(Recovery)


def cluster(place: Place, recovery: Recovery) -> Cluster:
    """The server of a recovery."""
    folder = place.folder(recovery.id)
    return Cluster(place.host, place.bindir, folder / "data", folder, recovery.port, place.superuser)


def read(place: Place, recovery_id: str) -> Recovery | None:
    """A recovery as its file has it; None where there is none.

    Raises:
        Refused: the file is not one.
    """
    path = place.folder(recovery_id) / STATE
    if not place.host.exists(path):
        return None
    try:
        return _RECOVERY.validate_json(place.host.read(path))
    except ValidationError as error:
        raise Refused(
            f"This is no state of a recovery: {error.errors()[0]['msg']}",
            where=f"{place.host.name}:{path}",
            remedy="Look at the folder, stop a server that runs in it, and remove it",
        ) from error


def write(place: Place, recovery: Recovery) -> Recovery:
    """Note how far a recovery is."""
    text = json.dumps(_RECOVERY.dump_python(recovery, mode="json"), indent=1)
    place.host.write(place.folder(recovery.id) / STATE, text.encode())
    return recovery


def advanced(place: Place, recovery: Recovery, phase: Phase, **facts: object) -> Recovery:
    """The recovery in its next phase, noted."""
    return write(place, replace(recovery, phase=phase, **facts))  # type: ignore[arg-type]


def begin(place: Place, recovery: Recovery) -> Recovery:
    """Make a recovery's folder and give it a port; one that is there already goes on with its own.

    Args:
        place: where.
        recovery: its port is chosen here.

    Raises:
        Refused: another recovery has this id, or no port is free.
    """
    folder = place.folder(recovery.id)
    place.host.run(["mkdir", "-p", "-m", "700", str(place.base / _PORTS), str(folder)])
    known = read(place, recovery.id)
    if known is not None:
        if (known.server, known.plan.target) != (recovery.server, recovery.plan.target):
            raise Refused(
                f"Another recovery is there: {known.server} to {known.plan.target.text}",
                where=place.where(recovery.id),
                remedy="Give this one another id, or remove that one",
            )
        return known
    return write(place, replace(recovery, port=_port(place, recovery.id)))


def another_port(place: Place, recovery: Recovery) -> int:
    """Reserve another port, since somebody else's program has this one."""
    place.host.run(["rm", "-f", "--", str(place.base / _PORTS / str(recovery.port))])
    return _port(place, recovery.id, but=recovery.port)


def _port(place: Place, recovery_id: str, but: int = 0) -> int:
    """Reserve a port: a link that names its owner, which only one can make."""
    for port in range(place.ports[0], place.ports[1] + 1):
        if port == but:
            continue
        link = place.base / _PORTS / str(port)
        owner = place.host.run(["readlink", str(link)], check=False).stdout.strip()
        if owner and owner != recovery_id and not place.host.exists(place.folder(owner)):
            place.host.run(["rm", "-f", "--", str(link)])  # its owner died before it had a state, or was removed
            owner = ""
        mine = owner == recovery_id
        if not owner and not _answers(place.host, port):
            mine = place.host.run(["ln", "-s", recovery_id, str(link)], check=False).code == 0
        if mine:
            return port
    raise Refused(
        f"All ports from {place.ports[0]} to {place.ports[1]} are taken",
        where=f"{place.host.name}:{place.base}",
        remedy="Remove recoveries that nobody needs any more, or allow more ports in the fleet file",
        retry=True,
    )


def _answers(host: Host, port: int) -> bool:
    return host.run(["bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}"], check=False).code == 0


def recoveries(place: Place) -> list[Recovery]:
    """All that are there; a file that cannot be read is logged."""
    listed = place.host.run(["sh", "-c", f'ls -1 -- "$1"/*/{STATE} 2>/dev/null', "sh", str(place.base)], check=False)
    found = []
    for line in listed.stdout.splitlines():
        try:
            one = read(place, PurePosixPath(line).parent.name)
        except PgOpsError as error:
            log.error("%s", error)
            continue
        if one is not None:
            found.append(one)
    return found


def remove(place: Place, recovery_id: str) -> bool:
    """Stop a recovery's server and delete its files; whether there was one. Harmless when it is gone."""
    folder = place.folder(recovery_id)
    if not place.host.exists(folder):
        return False
    known = None
    with suppress(Refused):  # a state that cannot be read
        known = read(place, recovery_id)
    server = Cluster(place.host, place.bindir, folder / "data", folder, known.port if known else 0)
    if server.running():
        server.stop()
    # The state goes with the rest of its folder: until then whoever comes next sees what is left.
    place.host.run(["rm", "-rf", "--", str(server.sockets)])
    place.host.run(["rm", "-rf", "--", str(folder)])
    links = f'for link in "$1"/{_PORTS}/*; do [ "$(readlink "$link")" = "$2" ] && rm -f -- "$link"; done; true'
    place.host.run(["sh", "-c", links, "sh", str(place.base), recovery_id])
    return True


def sweep(place: Place, now: datetime) -> tuple[str, ...]:
    """Remove the recoveries whose time is over; return their ids."""
    expired = [one.id for one in recoveries(place) if one.until <= now]
    for recovery_id in expired:
        log.info("removing recovery %s, whose time is over", recovery_id)
        remove(place, recovery_id)
    return tuple(expired)
