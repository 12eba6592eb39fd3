"""Removes what a dead run left: folders without a manifest and unfinished uploads. Only whoever holds the lease may."""

from __future__ import annotations

import logging

from pgops.catalog import Catalog
from pgops.storage import Locked

log = logging.getLogger(__name__)


def sweep_incomplete(catalog: Catalog) -> int:
    """Remove every incomplete backup of this database and return how many objects that were."""
    prefix = catalog.bucket.key(catalog.database) + "/"
    others = [f"{prefix}{folder}/" for folder in ("partitions", "subjects")]  # archives and exports that are being made
    aborted = catalog.bucket.abort_uploads(prefix, spare=others)
    if aborted:
        log.info("aborted %s unfinished uploads below %s", aborted, prefix)
    removed = 0
    complete = set(catalog.backups())
    for backup_id in catalog.folders():
        if backup_id in complete:
            continue
        known, strange = catalog.contents(backup_id)
        log.info("removing the incomplete backup %s (%s objects)", backup_id, len(known))
        try:
            removed += catalog.bucket.delete(known)
        except Locked as error:
            log.info("%s stays: its objects are locked until %s", backup_id, error.until)
        for key in strange:
            log.warning("left alone, since this project did not write it: %s", key)
    return removed
