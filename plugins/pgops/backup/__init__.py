"""Logical backups: dumped in one snapshot, read back, and only then counted."""

from pgops.backup.commit import Committed, commit
from pgops.backup.dump import Dump, dump
from pgops.backup.preflight import Preflight, preflight
from pgops.backup.retention import Pruned, prune
from pgops.backup.source import Source, sources
from pgops.backup.verify import Verified, verify

__all__ = [
    "Committed",
    "Dump",
    "Preflight",
    "Pruned",
    "Source",
    "Verified",
    "commit",
    "dump",
    "preflight",
    "prune",
    "sources",
    "verify",
]
