"""Byte streams between a program and the object store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Protocol

CHUNK = 1 << 20


class Reader(Protocol):
    """Anything bytes can be read from; b"" is the end, and an exception means that the stream is not whole."""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes; fewer only at the end."""
        ...


class HashingReader:
    """Hashes and counts what is read through it, and pretends to end after `limit` bytes."""

    def __init__(self, source: Reader, limit: int | None = None) -> None:
        self._source = source
        self._limit = limit
        self._sha256 = hashlib.sha256()
        self.bytes = 0

    @property
    def sha256(self) -> str:
        """Hex digest of what was read so far."""
        return self._sha256.hexdigest()

    def read(self, size: int = -1, /) -> bytes:
        """As Reader.read."""
        if self._limit is not None:
            left = self._limit - self.bytes
            size = left if size < 0 else min(size, left)
        data = self._source.read(size) if size != 0 else b""
        self._sha256.update(data)
        self.bytes += len(data)
        return data


class Peekable:
    """A reader of which one can ask whether there is more."""

    def __init__(self, source: Reader) -> None:
        self._source = source
        self._ahead = b""

    def at_end(self) -> bool:
        """Whether the stream is used up."""
        if not self._ahead:
            self._ahead = self._source.read(CHUNK)
        return not self._ahead

    def read(self, size: int = -1, /) -> bytes:
        """As Reader.read."""
        ahead, self._ahead = self._ahead, b""
        if 0 <= size < len(ahead):
            self._ahead = ahead[size:]
            return ahead[:size]
        rest = self._source.read(-1 if size < 0 else size - len(ahead)) if size != len(ahead) else b""
        return ahead + rest


def read_all(source: Reader) -> Iterator[bytes]:
    """The stream in chunks."""
    while data := source.read(CHUNK):
        yield data
