"""One person's data: found, exported, erased, and proven to be gone."""

from pgops.privacy.erase import Erased, erase
from pgops.privacy.export import Export, export, find_export, remove_expired_exports
from pgops.privacy.map import read_map
from pgops.privacy.model import ArchivedSubject, ArchivedTable, Archives, Found, SubjectMap, TableRows
from pgops.privacy.proof import Holder, Proof, erase_archives, holders, prove
from pgops.privacy.search import Subject, identify, search
from pgops.privacy.tombstones import (
    Replayed,
    Secret,
    Tombstone,
    finish_tombstone,
    hashes,
    replay,
    tombstones,
    write_tombstone,
)

__all__ = [
    "ArchivedSubject",
    "ArchivedTable",
    "Archives",
    "Erased",
    "Export",
    "Found",
    "Holder",
    "Proof",
    "Replayed",
    "Secret",
    "Subject",
    "SubjectMap",
    "TableRows",
    "Tombstone",
    "erase",
    "erase_archives",
    "export",
    "find_export",
    "finish_tombstone",
    "hashes",
    "holders",
    "identify",
    "prove",
    "read_map",
    "remove_expired_exports",
    "replay",
    "search",
    "tombstones",
    "write_tombstone",
]
