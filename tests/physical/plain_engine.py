"""The simplest engine there can be: pg_basebackup and cp into a folder of this machine. For tests of recovery, which
are about the plan and the server, not about where the bytes come from."""

from __future__ import annotations

import json
import re
import secrets
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from pgops.physical.engines.source import tablespace_directory
from pgops.physical.model import BaseBackup, Host, WalArchive
from pgops.physical.wal import lsn, segment
from sandbox.postgres import PostgresServer

SEGMENT = re.compile(r"^[0-9A-F]{24}$")
HISTORY = re.compile(r"^([0-9A-F]{8})\.history$")
WAL_BYTES = 16 << 20


def archive_command(folder: Path) -> str:
    """Half a segment never has a segment's name, and one that is there is never replaced by another."""
    target = shlex.quote(str(folder / "wal"))
    return (
        f"cmp -s %p {target}/%f || (test ! -f {target}/%f && cp %p {target}/%f.part && mv {target}/%f.part {target}/%f)"
    )


@dataclass
class PlainEngine:
    """Base backups as tar files and WAL as it is, in a folder that the servers can read."""

    folder: Path
    server: PostgresServer
    host: Host
    name: str = "plain"
    fetched: int = 0

    def __post_init__(self) -> None:
        for name in ("wal", "base"):
            (self.folder / name).mkdir(exist_ok=True, parents=True)
            self.server.identity.give(self.folder / name)

    def backups(self) -> tuple[BaseBackup, ...]:
        found = []
        for file in (self.folder / "base").glob("*/backup.json"):
            facts = json.loads(file.read_text())
            for name in ("started_at", "ended_at"):
                facts[name] = datetime.fromisoformat(facts[name])
            facts["tablespaces"] = tuple(tuple(one) for one in facts["tablespaces"])
            found.append(BaseBackup(**facts))
        return tuple(sorted(found, key=lambda one: one.ended_at))

    def archive(self) -> WalArchive:
        files = list((self.folder / "wal").iterdir())
        return WalArchive(
            segments={
                file.name: datetime.fromtimestamp(file.stat().st_mtime, UTC)
                for file in files
                if SEGMENT.match(file.name)
            },
            histories={
                int(found[1], 16): file.read_text() for file in files if (found := HISTORY.match(file.name)) is not None
            },
        )

    def push(self, watch: Callable[[str], None] = print) -> BaseBackup:
        backup_id = f"base_{datetime.now(UTC):%Y%m%dT%H%M%S}_{secrets.token_hex(3)}"
        target = self.folder / "base" / backup_id
        started_at = datetime.now(UTC)
        self.host.run(
            [
                *(str(self.server.binaries.bindir / "pg_basebackup"), "-D", str(target), "-Ft", "-X", "none"),
                *("-c", "fast", "--no-sync", "-h", "127.0.0.1", "-p", str(self.server.port), "-U", "postgres", "-w"),
            ],
            {"PGPASSWORD": self.server.password},
            watch=watch,
        )
        label = self.host.run(["tar", "-xOf", str(target / "base.tar"), "backup_label"]).stdout
        first = re.search(r"START WAL LOCATION: (\S+) \(file (\w+)\)", label)
        assert first is not None
        history = next((self.folder / "wal").glob(f"{first[2]}.{lsn(first[1]) % WAL_BYTES:08X}.backup")).read_text()
        last = re.search(r"STOP WAL LOCATION: (\S+) \(file (\w+)\)", history)
        timeline = re.search(r"START TIMELINE: (\d+)", history)
        assert last is not None and timeline is not None
        [(identifier, version)] = self.server.execute(
            "select system_identifier::text, current_setting('server_version_num')::int from pg_control_system()"
        )
        spaces = self.server.execute(
            "select oid::text, pg_tablespace_location(oid) from pg_tablespace where spcname !~ '^pg_'"
        )
        stop = lsn(last[1])
        made = BaseBackup(
            engine=self.name,
            backup_id=backup_id,
            started_at=started_at,
            ended_at=datetime.now(UTC),
            start_lsn=lsn(first[1]),
            end_lsn=stop,
            timeline=int(timeline[1]),
            first_wal=first[2],
            # An end at a segment's border lies in the segment before it.
            last_wal=segment(int(timeline[1]), (stop - 1) // WAL_BYTES, WAL_BYTES),
            bytes=sum(file.stat().st_size for file in target.iterdir()),
            directory_bytes=sum(file.stat().st_size for file in target.iterdir()),
            server_version=int(str(version)),
            system_identifier=str(identifier),
            tablespaces=tuple((str(oid), str(place)) for oid, place in spaces),
        )
        facts = {**made.__dict__, "started_at": made.started_at.isoformat(), "ended_at": made.ended_at.isoformat()}
        self.host.write(PurePosixPath(target / "backup.json"), json.dumps(facts).encode())
        return made

    def fetch(self, backup: BaseBackup, directory: PurePosixPath, host: Host, watch: Callable[[str], None]) -> None:
        self.fetched += 1
        source = self.folder / "base" / backup.backup_id
        host.run(["mkdir", "-m", "700", str(directory)])
        host.run(["tar", "-xf", str(source / "base.tar"), "-C", str(directory)], watch=watch)
        for oid, _ in backup.tablespaces:
            place = tablespace_directory(directory, oid)
            host.run(["mkdir", "-p", "-m", "700", str(place)])
            host.run(["tar", "-xf", str(source / f"{oid}.tar"), "-C", str(place)], watch=watch)
            host.run(["ln", "-sfn", str(place), str(directory / "pg_tblspc" / oid)])
        # It would lead the server back to the source's own tablespaces.
        host.run(["rm", "-f", str(directory / "tablespace_map")])

    def restore_command(self, host: Host) -> str:
        return f"cp {shlex.quote(str(self.folder / 'wal'))}/%f %p"

    def verify(self, backup: BaseBackup) -> tuple[str, ...]:
        return ()

    def prune(self, keep: Sequence[str], *, dry_run: bool) -> tuple[str, ...]:
        return ()

    # --- for the tests ---

    def segment_file(self, name: str) -> Path:
        return self.folder / "wal" / name

    def older(self, backup: BaseBackup, ended_at: datetime) -> BaseBackup:
        """The same backup as if it had ended at another time."""
        return replace(backup, ended_at=ended_at)
