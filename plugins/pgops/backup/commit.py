"""Writes the manifest: from this moment on the backup exists."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from pgops import units
from pgops.backup.verify import Verified, own_draft
from pgops.catalog import Catalog, Manifest
from pgops.ledger import Lease, Ledger

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Committed:
    """A backup that exists; small enough for XCom. `change` compares its size with the backup's before, in percent."""

    database: str
    backup_id: str
    bytes: int
    raw_bytes: int
    seconds: float
    verify_seconds: float
    rows: int
    tables: int
    level: str
    taken_from: str
    change: float | None
    notes: tuple[str, ...]


def commit(catalog: Catalog, verified: Verified, ledger: Ledger, lease: Lease) -> Committed:
    """Write the manifest, record it in the ledger, give the lease back. Doing it twice changes nothing.

    Raises:
        LostOwnership: another run took over while this one was away; nothing was written.
    """
    before = [backup_id for backup_id in catalog.backups() if backup_id < verified.backup_id]
    if catalog.exists(verified.backup_id):
        log.info("%s exists already: the try before got this far", verified.backup_id)
        manifest = catalog.manifest(verified.backup_id)
    else:
        lease.keep()
        draft = own_draft(catalog, verified.backup_id)
        manifest = draft.manifest.with_verification(verified.verification, verified.notes)
        catalog.write_manifest(manifest)
    ledger.record_backup(_facts(manifest))
    lease.release()
    previous = catalog.manifest(before[-1]).bytes if before else 0
    log.info(
        "%s exists: %s, verified to %s", manifest.backup_id, units.size(manifest.bytes), verified.verification.level
    )
    return Committed(
        database=manifest.database,
        backup_id=manifest.backup_id,
        bytes=manifest.bytes,
        raw_bytes=manifest.raw_bytes,
        seconds=manifest.seconds,
        verify_seconds=verified.verification.seconds,
        rows=manifest.rows,
        tables=len(manifest.tables),
        level=verified.verification.level,
        taken_from=manifest.taken_from,
        change=100 * (manifest.bytes - previous) / previous if previous else None,
        notes=manifest.notes,
    )


def _facts(manifest: Manifest) -> dict[str, object]:
    assert manifest.verification is not None
    return {
        "database": manifest.database,
        "backup_id": manifest.backup_id,
        "started_at": manifest.started_at,
        "finished_at": manifest.finished_at,
        "bytes": manifest.bytes,
        "raw_bytes": manifest.raw_bytes,
        "seconds": manifest.seconds,
        "taken_from": manifest.taken_from,
        "verification": manifest.verification.level,
        "tables": len(manifest.tables),
        "rows": manifest.rows,
    }
