"""Names of partitions: labels for people, never looked at to find out what a partition holds."""

from __future__ import annotations

import hashlib

LONGEST = 63  # bytes; the server cuts what is longer, and two names may then be one


def partition_name(parent: str, label: str, number: int = 1) -> str:
    """`parent_label`; the parent's part shortened, with a hash, where that is too long; the second of a name _x2."""
    end = f"_{label}" if number == 1 else f"_{label}_x{number}"
    if len((parent + end).encode()) <= LONGEST:
        return parent + end
    end = f"_{hashlib.sha256(parent.encode()).hexdigest()[:8]}{end}"
    return parent.encode()[: LONGEST - len(end)].decode(errors="ignore") + end
