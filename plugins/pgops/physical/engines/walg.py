"""WAL-G: base backups, differences to them and WAL, by one program that compresses and sends in parallel.

With the database's host within reach it reads the data directory there and takes differences; over the replication
protocol it runs on the Airflow worker, takes full backups only, one stream at a time, and no tablespaces.
WAL-G itself is installed by whoever runs the hosts: physical.programs in the fleet file, or PATH.
"""

from __future__ import annotations

import json
import logging
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any

from pgops.errors import PgOpsError, Refused
from pgops.include import sql_text
from pgops.physical.engines.shelf import SEGMENT_BYTES, Shelf
from pgops.physical.engines.source import Source, new_directory, tablespace_directory
from pgops.physical.host import LocalHost
from pgops.physical.model import BaseBackup, Host, WalArchive
from pgops.physical.store import FOLDER, Store, in_setting
from pgops.physical.wal import segment, timeline_of
from pgops.postgres import connect
from pgops.processes import ProgramFailed
from pgops.storage import Bucket, NotThere

log = logging.getLogger(__name__)

Watch = Callable[[str], None]
_SENTINEL = "_backup_stop_sentinel.json"
# Exit code 74 is "there is no such segment". Any other failure must not look like the end of the WAL to PostgreSQL: try
# again for a minute, then stop it (126). What an attempt left of the segment is in wal-g's way.
_RESTORE = (
    "for pause in 1 5 15 30 0; do {command}; code=$?; test $code -eq 0 && exit 0; test $code -eq 74 && exit 1; "
    "rm -f %p; sleep $pause; done; exit 126"
)


class WalgEngine:
    """A server's backups as WAL-G keeps them.

    Args:
        source: the server.
        store: the bucket, as WAL-G reaches it.
        bucket: the same one, as this process does.
        settings: further WAL-G settings (WALG_UPLOAD_CONCURRENCY, WALG_NETWORK_RATE_LIMIT, ...).
        key: the armored OpenPGP secret key that everything is encrypted with; nothing is when it is empty.
        pruning: gives the bucket with the key that may delete, when that is needed; `store` where there is no other.
    """

    name = "walg"

    def __init__(
        self,
        source: Source,
        store: Store,
        bucket: Bucket,
        *,
        settings: Mapping[str, str] | None = None,
        key: str = "",
        pruning: Callable[[], Store] | None = None,
    ) -> None:
        self.source = source
        self.store = store
        self.settings = dict(settings or {})
        # WAL-G takes a key of several lines in one, so: environments here are a line for each variable.
        self._key = "\\n".join(key.splitlines())
        self._pruning = pruning or (lambda: store)
        folder = bucket.key(FOLDER, self.name, source.server)
        base, wal = f"{folder}/basebackups_005/", f"{folder}/wal_005/"
        self.shelf = Shelf(bucket, self.name, source.server, base, wal, _SENTINEL, sealed=bool(key))

    # --- what is there ---

    def backups(self) -> tuple[BaseBackup, ...]:
        """As Engine.backups."""
        if not self._sentinels():
            return ()  # asked for the list of nothing, wal-g fails
        said = self._walg(self._tools(), "backup-list", "--detail", "--json")
        found = [self._backup(entry) for entry in json.loads(said or "[]")]
        return tuple(sorted(found, key=lambda backup: backup.ended_at))

    def unfinished(self) -> tuple[str, ...]:
        """Base backups that were begun and not finished: somebody is at it, or died."""
        return tuple(sorted(set(self.shelf.bucket.folders(self.shelf.base)) - self._sentinels()))

    def archive(self) -> WalArchive:
        """As Engine.archive."""
        return self.shelf.archive(history=self._history if self._key else None)

    def verify(self, backup: BaseBackup) -> tuple[str, ...]:
        """As Engine.verify: each object is read back (see Shelf.verify), then `wal-g wal-verify` looks for lost WAL."""
        problems = self.shelf.verify(backup, must_hold=_DELTA_HOLDS if backup.parent else None)
        if backup.parent is not None and backup.parent not in self.shelf.proven():
            problems += (f"{backup.parent}, which it is a difference to, was never proven",)
        return problems + self._lost_wal()

    # --- the programs ---

    def push(self, watch: Watch) -> BaseBackup:
        """As Engine.push. Full when the newest full backup is old, the differences to it are many, or the newest backup
        is of another timeline: pages that an abandoned timeline had changed would be missing in a difference to it."""
        known = self.backups()
        for backup in known[-1:]:
            self._refuse_other_encryption(backup)
        before = {backup.backup_id for backup in known}
        if self.source.host is not None:
            arguments = [str(self.source.directory()), *(("--full",) if self._full_is_due() else ())]
            host: Host = self.source.host
        else:
            self._refuse_tablespaces()
            arguments, host = [], self._tools()
        try:
            self._walg(host, "backup-push", *arguments, watch=watch)
        except ProgramFailed as error:
            if self.source.host is None and "invalid tar header" in error.what:
                raise Refused(
                    "This WAL-G cannot take PostgreSQL 15 or later over the replication protocol (its issue 1385)",
                    where=self.source.dsn.where,
                    remedy="Set physical.host, so that it reads the data directory; or install one newer than 3.0.8",
                ) from error
            raise
        new = [backup for backup in self.backups() if backup.backup_id not in before]
        if not new:
            raise PgOpsError(
                "wal-g backup-push ended well, and its backup is not in the bucket",
                where=self.shelf.bucket.where(self.shelf.base),
                remedy="Look whether the host's WALG_S3_PREFIX and endpoint are those of the Airflow connection",
            )
        return new[-1]

    def fetch(self, backup: BaseBackup, directory: PurePosixPath, host: Host, watch: Watch) -> None:
        """As Engine.fetch."""
        self._refuse_other_encryption(backup)
        new_directory(host, directory, backup.tablespaces)
        arguments = [str(directory), backup.backup_id]
        if backup.tablespaces:
            spec = directory.with_name(f"{directory.name}.restore-spec.json")
            host.write(spec, json.dumps(_restore_spec(backup, directory)).encode())
            arguments += ["--restore-spec", str(spec)]
        self._walg(host, "backup-fetch", *arguments, watch=watch)

    def archive_command(self, host: Host) -> str:
        """What the server's archive_command says; its environment is put on that host."""
        words = shlex.join([self.source.program("wal-g"), "wal-push"])
        return in_setting(f"{self._prepared(host)}; exec {words} %p")

    def restore_command(self, host: Host) -> str:
        """As Engine.restore_command."""
        words = shlex.join([self.source.program("wal-g"), "wal-fetch"])
        return in_setting(f"{self._prepared(host)}; " + _RESTORE.format(command=f"{words} %f %p"))

    def prune(self, keep: Sequence[str], *, dry_run: bool) -> tuple[str, ...]:
        """As Engine.prune: what is older than the chain of the oldest backup to keep goes, with its WAL."""
        backups = self.backups()
        kept = [backup for backup in backups if backup.backup_id in keep]
        if not kept:
            return ()
        chains = {backup.backup_id: backup for backup in backups}
        oldest = chain_of(kept[0], chains)[0]
        gone = tuple(
            backup.backup_id
            for backup in backups[: backups.index(oldest)]
            if backup.backup_id not in keep and not backup.permanent
        )
        if gone:
            arguments = ("delete", "before", "FIND_FULL", oldest.backup_id, "--use-sentinel-time")
            confirmed = () if dry_run else ("--confirm",)
            self._walg(self._tools(), *arguments, *confirmed, store=self._pruning())
        if not dry_run:
            self._refuse_what_stayed(gone)
            self.shelf.forget(gone)
        return gone

    def sweep(self) -> tuple[str, ...]:
        """Remove what a killed push left; only while nobody takes a backup."""
        gone = self.unfinished()
        for backup_id in gone:
            self.shelf.bucket.delete([found.key for found in self.shelf.of_backup(backup_id)])
        self.shelf.bucket.abort_uploads(self.shelf.base)
        return gone

    # --- the parts ---

    def _refuse_what_stayed(self, gone: Sequence[str]) -> None:
        """WAL-G ends well when the store removes nothing of what it was asked to."""
        for backup in self.backups():
            if backup.backup_id in gone:
                raise PgOpsError(
                    f"wal-g delete ended well, and {backup.backup_id} is still there",
                    where=self.shelf.bucket.where(self.shelf.base),
                    remedy="Let the key of storage.prune_connection, or else of storage.connection, delete there",
                )

    def _walg(self, host: Host, *arguments: str, watch: Watch | None = None, store: Store | None = None) -> str:
        environment = self._environment(store or self.store)
        return host.run([self.source.program("wal-g"), *arguments], environment, watch=watch).stdout

    def _tools(self) -> Host:
        """Where wal-g is asked about the archive: this worker, else the database's host."""
        program = self.source.program("wal-g")
        if shutil.which(program) or Path(program).is_file():
            return LocalHost()
        return self.source.needs_host("wal-g is not installed on this Airflow worker")

    def _store_environment(self, store: Store) -> dict[str, str]:
        return {
            **store.environment(),
            "WALG_S3_PREFIX": store.url(FOLDER, self.name, self.source.server),
            **({"AWS_ENDPOINT": store.endpoint} if store.endpoint else {}),
            "AWS_S3_FORCE_PATH_STYLE": "true" if store.path_style else "false",
            "WALG_COMPRESSION_METHOD": "zstd",  # its frames carry a checksum of the content
            "WALG_PREVENT_WAL_OVERWRITE": "true",
            "WALG_DELTA_MAX_STEPS": str(self.source.max_deltas),
            "WALG_S3_MAX_RETRIES": "5",
            **({"WALG_S3_SSE": store.sse} if store.sse != "none" else {}),
            **({"WALG_S3_SSE_KMS_ID": store.kms_key_id} if store.kms_key_id else {}),
            **({"WALG_PGP_KEY": self._key} if self._key else {}),
            **self.settings,
        }

    def _environment(self, store: Store) -> dict[str, str]:
        dsn = self.source.dsn
        server = {"PGHOST": dsn.host, "PGPORT": str(dsn.port), "PGUSER": dsn.user, "PGDATABASE": dsn.dbname}
        return {**self._store_environment(store), **server, **dsn.variables(), **dsn.environment("wal-g")}

    def _prepared(self, host: Host) -> str:
        return self.source.secrets.prepared(
            host, f"{self.name}-{self.source.server}", self._store_environment(self.store)
        )

    def _history(self, key: str) -> str:
        name = key.rpartition("/")[2]
        return self._walg(self._tools(), "st", "cat", f"wal_005/{name}", "--decrypt", "--decompress")

    def _refuse_other_encryption(self, backup: BaseBackup) -> None:
        """Refuse what is encrypted without a key here, and what is not with one: WAL-G reads no archive of both."""
        tars = [one for one in self.shelf.of_backup(backup.backup_id) if ".tar" in one.key]
        smallest = min(tars, key=lambda one: one.bytes).key if tars else ""
        if smallest and self.shelf.is_sealed(smallest) != self.shelf.sealed:
            what = "not encrypted, and there is a key" if self.shelf.sealed else "encrypted, and there is no key"
        elif smallest and self.shelf.sealed and not self._opens(smallest):
            what = "encrypted with another key"
        else:
            return
        raise Refused(
            f"The base backup {backup.backup_id} is {what}",
            where=f"include/fleet.yaml, servers, {self.source.server}, physical.encryption_connection",
            remedy="Set it as it was for this archive; to change it give the server another name, which begins another",
        )

    def _opens(self, key: str) -> bool:
        """Whether the key here is the one; asked first, since backup-fetch tries again and again."""
        path = f"basebackups_005/{key.removeprefix(self.shelf.base)}"
        try:
            self._walg(self._tools(), "st", "cat", path, "--decrypt")
        except ProgramFailed as error:
            if "incorrect key" in error.stderr:
                return False
            raise
        return True

    def _sentinels(self) -> set[str]:
        keys = (found.key.removeprefix(self.shelf.base) for found in self.shelf.bucket.objects(self.shelf.base))
        return {key.removesuffix(_SENTINEL) for key in keys if key.endswith(_SENTINEL)}

    def _backup(self, entry: Mapping[str, Any]) -> BaseBackup:
        """A backup of the list, with what only its sentinel tells."""
        name = entry["backup_name"]
        try:
            sentinel = self.shelf.bucket.get_json(f"{self.shelf.base}{name}{_SENTINEL}")
        except NotThere:
            sentinel = {}
        timeline = int(entry["wal_file_name"][:8], 16)
        spec = sentinel.get("Spec") or {}
        return BaseBackup(
            engine=self.name,
            backup_id=name,
            started_at=_time(entry["start_time"]),
            ended_at=_time(entry["finish_time"]),
            start_lsn=entry["start_lsn"],
            end_lsn=entry["finish_lsn"],
            timeline=timeline,
            first_wal=entry["wal_file_name"],
            last_wal=segment(timeline, (entry["finish_lsn"] - 1) // SEGMENT_BYTES, SEGMENT_BYTES),
            bytes=sum(found.bytes for found in self.shelf.of_backup(name)),
            directory_bytes=sentinel.get("DataCatalogSize") or entry["uncompressed_size"],
            server_version=entry["pg_version"],
            system_identifier=str(entry["system_identifier"]),
            parent=sentinel.get("DeltaFrom"),
            permanent=bool(entry["is_permanent"]),
            tablespaces=tuple((oid, spec[oid]["loc"]) for oid in spec.get("tablespaces", ())),
        )

    def _full_is_due(self) -> bool:
        backups = self.backups()
        full = [backup for backup in backups if backup.parent is None]
        if not full or datetime.now(UTC) - full[-1].ended_at >= timedelta(days=self.source.full_every_days):
            return True
        with connect(self.source.dsn, "pgops.physical") as connection, connection.cursor() as cursor:
            cursor.execute(sql_text("physical/wal_position.sql"))
            _, wal = cursor.fetchone() or (None, "")
        return backups[-1].timeline != timeline_of(wal)

    def _refuse_tablespaces(self) -> None:
        with connect(self.source.dsn, "pgops.physical") as connection, connection.cursor() as cursor:
            cursor.execute(sql_text("physical/tablespaces.sql"))
            names = [name for (name,) in cursor.fetchall()]
        if names:
            raise Refused(
                f"WAL-G cannot take tablespaces over the replication protocol: {', '.join(names)}",
                where=self.source.dsn.where,
                remedy="Set physical.host, so that it runs where the data directory is",
            )

    def _lost_wal(self) -> tuple[str, ...]:
        """What wal-g misses between the oldest backup and now; what is still on its way is not lost."""
        said = json.loads(self._walg(self._tools(), "wal-verify", "integrity", "timeline", "--json"))
        lost = [
            f"wal-verify: segments {part['start_segment']} to {part['end_segment']} are lost"
            for part in said["integrity"].get("details") or ()
            if part["status"] == "MISSING_LOST"
        ]
        if said["timeline"]["status"] == "FAILURE":
            lost.append(
                f"wal-verify: the archive knows a newer timeline than the server: {said['timeline']['details']}"
            )
        return tuple(lost)


_DELTA_HOLDS = ("global/pg_control", "backup_label")


def chain_of(backup: BaseBackup, known: Mapping[str, BaseBackup]) -> tuple[BaseBackup, ...]:
    """A backup with all that it is a difference to, the full one first.

    Raises:
        Refused: one of them is gone.
    """
    chain = [backup]
    while (parent := chain[-1].parent) is not None:
        if parent not in known:
            raise Refused(
                f"{backup.backup_id} is a difference to {parent}, which is gone",
                where="the backup engine's list",
                remedy="Take another backup: this one cannot be restored",
            )
        chain.append(known[parent])
    return tuple(reversed(chain))


def _restore_spec(backup: BaseBackup, directory: PurePosixPath) -> dict[str, Any]:
    """Where backup-fetch puts the tablespaces: beside the data directory, not where the original has them."""
    return {
        "base_prefix": str(directory),
        "tablespaces": [oid for oid, _ in backup.tablespaces],
        **{
            oid: {"loc": str(tablespace_directory(directory, oid)), "link": f"pg_tblspc/{oid}"}
            for oid, _ in backup.tablespaces
        },
    }


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
