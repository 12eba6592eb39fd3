"""Writes the manifest: from this moment on the backup exists."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from pgops import units
from pgops.backup.verify import Verified, own_draft
from pgops.catalog import MANIFEST, Catalog, Manifest
from pgops.errors import LostOwnership, PgOpsError
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
    lease_lost = LostOwnership(
        f"The dump {verified.backup_id} was swept up by another run while its manifest was being written",
        where=catalog.bucket.where(catalog.key(verified.backup_id)),
        remedy="Nothing to do if that run made a backup; else clear the dump task",
    )
    before = [backup_id for backup_id in catalog.backups() if backup_id < verified.backup_id]
    if catalog.exists(verified.backup_id):
        log.info("%s exists already: the try before got this far", verified.backup_id)
        manifest = catalog.manifest(verified.backup_id)
    else:
        lease.keep()
        draft = own_draft(catalog, verified.backup_id)
        manifest = draft.manifest.with_verification(verified.verification, verified.notes)
        catalog.write_manifest(manifest)
        # The lease may have run out while the store was slow, and another run has swept up what looked abandoned.
        if catalog.missing(manifest):
            catalog.bucket.delete([catalog.key(manifest.backup_id, MANIFEST)])
            raise lease_lost
    ledger.record_backup(_facts(manifest))
    lease.release()
    previous = _bytes_of(catalog, before[-1]) if before else 0
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


def _bytes_of(catalog: Catalog, backup_id: str) -> int:
    """Size of an earlier backup; 0 when its manifest is damaged, which must not hold up tonight's."""
    try:
        return catalog.manifest(backup_id).bytes
    except PgOpsError as error:
        log.warning("the size of the backup before is not known: %s", error)
        return 0


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
