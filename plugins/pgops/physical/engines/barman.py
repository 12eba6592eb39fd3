"""barman-cloud: a base backup and its WAL in the bucket, by Barman's programs on the database's own host.

Its limits: it reads the data directory, so it has to run on that host; it starts a process for each WAL segment (half a
second each); it knows no differences; and it archives a segment over another of the same name, whatever is in it
(pgops.physical.archive finds that out afterwards).
"""

from __future__ import annotations

import ast
import secrets
import shlex
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Literal

from pgops.errors import PgOpsError
from pgops.physical.engines.shelf import SEGMENT_BYTES, Shelf
from pgops.physical.engines.source import Source, new_directory, tablespace_directory
from pgops.physical.model import BaseBackup, Host, WalArchive
from pgops.physical.store import FOLDER, Store, in_setting
from pgops.physical.wal import lsn
from pgops.storage import Bucket, NotThere, read_all

Watch = Callable[[str], None]
Compression = Literal["gzip", "none"]

# Exit code 1 is "there is no such segment", by which PostgreSQL knows the end of the WAL. A store that does not answer
# has another code and must not end a recovery early: try again for a minute, then stop PostgreSQL. What an attempt left
# of the segment is no segment.
_RESTORE = (
    "for pause in 1 5 15 30 0; do {command}; code=$?; test $code -le 1 && exit $code; "
    "rm -f %p; sleep $pause; done; exit 126"
)


class BarmanEngine:
    """A server's backups as barman-cloud keeps them.

    Args:
        source: the server.
        store: the bucket, as barman-cloud reaches it.
        bucket: the same one, as this process does.
        compression: of base backups and WAL.
        jobs: processes that upload a base backup.
        pruning: gives the bucket with the key that may delete, when that is needed; `store` where there is no other.
    """

    name = "barman"

    def __init__(
        self,
        source: Source,
        store: Store,
        bucket: Bucket,
        *,
        compression: Compression = "gzip",
        jobs: int = 2,
        pruning: Callable[[], Store] | None = None,
    ) -> None:
        self.source = source
        self.store = store
        self.compression = compression
        self.jobs = jobs
        self._pruning = pruning or (lambda: store)
        folder = bucket.key(FOLDER, self.name, source.server)
        self.shelf = Shelf(bucket, self.name, source.server, f"{folder}/base/", f"{folder}/wals/")

    # --- the bucket ---

    def backups(self) -> tuple[BaseBackup, ...]:
        """As Engine.backups."""
        infos = ((backup_id, self._info(backup_id)) for backup_id in self._ids())
        return tuple(self._backup(backup_id, info) for backup_id, info in infos if info.get("status") == "DONE")

    def unfinished(self) -> tuple[str, ...]:
        """Base backups that were begun and not finished: somebody is at it, or died."""
        return tuple(backup_id for backup_id in self._ids() if self._info(backup_id).get("status") != "DONE")

    def archive(self) -> WalArchive:
        """As Engine.archive."""
        newest = next(iter(sorted(self._ids(), reverse=True)), None)
        return self.shelf.archive(_segment_bytes(self._info(newest)) if newest else SEGMENT_BYTES)

    def verify(self, backup: BaseBackup) -> tuple[str, ...]:
        """As Engine.verify: barman-cloud has no means of its own, so each object is read back (see Shelf.verify)."""
        return self.shelf.verify(backup, _segment_bytes(self._info(backup.backup_id)))

    # --- the programs ---

    def push(self, watch: Watch) -> BaseBackup:
        """As Engine.push."""
        host = self.source.needs_host("barman-cloud reads the data directory")
        label = f"pgops-{secrets.token_hex(6)}"
        command = [
            *self._command("backup"),
            *self._kept_so(),
            *("--immediate-checkpoint", "--jobs", str(self.jobs), "--name", label),
            *("--dbname", self.source.dsn.conninfo(), *self._where()),
        ]
        host.run(command, self._environment() | self.source.dsn.environment("barman_cloud_backup"), watch=watch)
        for backup_id in reversed(self._ids()):
            info = self._info(backup_id)
            if info.get("backup_name") == label and info.get("status") == "DONE":
                return self._backup(backup_id, info)
        raise PgOpsError(
            "barman-cloud-backup ended well, and its backup is not in the bucket",
            where=self.shelf.bucket.where(self.shelf.base),
            remedy="Look whether the host's endpoint and bucket are those of the Airflow connection",
        )

    def fetch(self, backup: BaseBackup, directory: PurePosixPath, host: Host, watch: Watch) -> None:
        """As Engine.fetch."""
        new_directory(host, directory, backup.tablespaces)
        moved = [
            word
            for name, _ in backup.tablespaces
            for word in ("--tablespace", f"{name}:{tablespace_directory(directory, name)}")
        ]
        command = [*self._command("restore"), *moved, *self._where(), backup.backup_id, str(directory)]
        host.run(command, self._environment(), watch=watch)

    def archive_command(self, host: Host) -> str:
        """What the server's archive_command says; its environment is put on that host."""
        words = shlex.join([*self._command("wal-archive"), *self._kept_so(), *self._where()])
        return in_setting(f"{self._prepared(host)}; exec {words} %p")

    def restore_command(self, host: Host) -> str:
        """As Engine.restore_command."""
        words = shlex.join([*self._command("wal-restore"), "--no-partial", *self._where()])
        return in_setting(f"{self._prepared(host)}; " + _RESTORE.format(command=f"{words} %f %p"))

    def prune(self, keep: Sequence[str], *, dry_run: bool) -> tuple[str, ...]:
        """As Engine.prune. Barman deletes the WAL before the oldest backup that is left, too."""
        host = self.source.needs_host("barman-cloud-backup-delete runs there")
        gone = tuple(b.backup_id for b in self.backups() if b.backup_id not in keep and not b.permanent)
        for backup_id in gone:  # oldest first: the WAL between two backups goes with the older one
            options = ("--dry-run",) if dry_run else ()
            command = [*self._command("backup-delete"), *options, "--backup-id", backup_id, *self._where()]
            host.run(command, self._pruning().environment())
        if not dry_run:
            self.shelf.forget(gone)
        return gone

    def sweep(self) -> tuple[str, ...]:
        """Remove what a killed push left; only while nobody takes a backup. What tells of it goes last."""
        gone = self.unfinished()
        for backup_id in gone:
            keys = [found.key for found in self.shelf.of_backup(backup_id)]
            self.shelf.bucket.delete(sorted(keys, key=lambda key: key.endswith("/backup.info")))
        self.shelf.bucket.abort_uploads(self.shelf.base)
        return gone

    # --- the parts ---

    def _command(self, name: str) -> list[str]:
        style = ["--addressing-style", "path"] if self.store.path_style else []
        endpoint = ["--endpoint-url", self.store.endpoint] if self.store.endpoint else []
        return [self.source.program(f"barman-cloud-{name}"), *endpoint, *style]

    def _kept_so(self) -> list[str]:
        """Options of what is written: compression, and encryption by the store."""
        compression = ["--gzip"] if self.compression == "gzip" else []
        sse = ["--encryption", self.store.sse] if self.store.sse != "none" else []
        key = ["--sse-kms-key-id", self.store.kms_key_id] if self.store.kms_key_id else []
        return [*compression, *sse, *key]

    def _where(self) -> tuple[str, str]:
        return self.store.url(FOLDER, self.name), self.source.server

    def _environment(self) -> dict[str, str]:
        return self.store.environment()

    def _prepared(self, host: Host) -> str:
        return self.source.secrets.prepared(host, f"{self.name}-{self.source.server}", self._environment())

    def _ids(self) -> list[str]:
        return sorted(self.shelf.bucket.folders(self.shelf.base))

    def _info(self, backup_id: str) -> Mapping[str, str]:
        """backup.info: key=value lines. A push that was killed at its very beginning has none."""
        key = f"{self.shelf.base}{backup_id}/backup.info"
        try:
            text = b"".join(read_all(self.shelf.bucket.open([key]))).decode()
        except NotThere:
            return {}
        pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
        return {name: value for name, _, value in pairs if value != "None"}

    def _backup(self, backup_id: str, info: Mapping[str, str]) -> BaseBackup:
        objects = self.shelf.of_backup(backup_id)
        return BaseBackup(
            engine=self.name,
            backup_id=backup_id,
            started_at=_time(info["begin_time"]),
            ended_at=_time(info["end_time"]),
            start_lsn=lsn(info["begin_xlog"]),
            end_lsn=lsn(info["end_xlog"]),
            timeline=int(info["timeline"]),
            first_wal=info["begin_wal"],
            last_wal=info["end_wal"],
            bytes=sum(found.bytes for found in objects),
            directory_bytes=int(info.get("cluster_size") or info.get("size") or 0),
            server_version=int(info["version"]),
            system_identifier=info["systemid"],
            permanent=any("/annotations/" in found.key for found in objects),
            tablespaces=tuple(
                (name, location) for name, _, location in ast.literal_eval(info.get("tablespaces", "()"))
            ),
        )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _segment_bytes(info: Mapping[str, str]) -> int:
    return int(info.get("xlog_segment_size", SEGMENT_BYTES))
