"""How objects are to be kept by the store, and what it did of that: stores accept what they then ignore."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

_SHORT = timedelta(minutes=5)  # what a lock may end earlier: stores round, and clocks differ


@dataclass(frozen=True)
class Lock:
    """Object lock: for so many days nobody can remove what was written; GOVERNANCE leaves a right that can."""

    mode: Literal["GOVERNANCE", "COMPLIANCE"]
    days: int

    def until(self, now: datetime) -> datetime:
        """When a lock that begins now ends."""
        return now + timedelta(days=self.days)


@dataclass(frozen=True)
class Custody:
    """What is asked of the store for every object, and for backups.

    `sse`: encryption by the store, "none" leaves it to the bucket's default; `lock` is for backups alone.
    """

    sse: Literal["none", "AES256", "aws:kms"] = "none"
    kms_key_id: str = ""
    lock: Lock | None = None

    def arguments(self, now: datetime, storage_class: str = "", *, locked: bool = False) -> dict[str, Any]:
        """Arguments of a put or an upload."""
        asked: dict[str, Any] = {"StorageClass": storage_class} if storage_class else {}
        if self.sse != "none":
            asked["ServerSideEncryption"] = self.sse
        if self.kms_key_id:
            asked["SSEKMSKeyId"] = self.kms_key_id
        if locked and self.lock is not None:
            asked["ObjectLockMode"] = self.lock.mode
            asked["ObjectLockRetainUntilDate"] = self.lock.until(now)
        return asked

    def ignored(
        self, head: Mapping[str, Any], written_at: datetime, storage_class: str = "", *, locked: bool = False
    ) -> tuple[str, ...]:
        """What the store did not do, in plain words.

        Args:
            head: what the store says about an object, as Bucket.head returns it.
            written_at: when it was written, or a little earlier.
            storage_class: as it was asked for.
            locked: whether a lock was asked for.
        """
        notes = []
        kept = head.get("StorageClass") or "STANDARD"
        if storage_class and kept != storage_class:
            notes.append(f"the store did not honour the storage class {storage_class}: it says {kept}")
        sse = head.get("ServerSideEncryption") or "nothing"
        if self.sse not in ("none", sse):
            notes.append(f"the store did not encrypt with {self.sse}: it says {sse}")
        elif self.kms_key_id and not self._same_key(str(head.get("SSEKMSKeyId", ""))):
            notes.append(f"the store encrypted with another key than {self.kms_key_id}: {head.get('SSEKMSKeyId')}")
        if locked and self.lock is not None:
            notes += self._lock_ignored(self.lock, head, written_at)
        return tuple(notes)

    def _same_key(self, kept: str) -> bool:
        """Stores answer with the key's ARN, also when they were given its id; an alias cannot be compared."""
        return "alias/" in self.kms_key_id or kept.rpartition("/")[2] == self.kms_key_id.rpartition("/")[2]

    @staticmethod
    def _lock_ignored(lock: Lock, head: Mapping[str, Any], written_at: datetime) -> list[str]:
        mode, until = head.get("ObjectLockMode"), head.get("ObjectLockRetainUntilDate")
        if mode is None or until is None:
            return [f"the store did not lock the backup: {lock.mode} for {lock.days} days was asked for"]
        if mode != lock.mode and mode != "COMPLIANCE":
            return [f"the store locked the backup in the mode {mode}, asked for was {lock.mode}"]
        if until < lock.until(written_at) - _SHORT:
            return [f"the store locked the backup until {until:%Y-%m-%d}, asked for were {lock.days} days"]
        return []
