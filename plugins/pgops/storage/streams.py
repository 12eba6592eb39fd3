"""Byte streams between a program and the object store."""

from __future__ import annotations

import contextlib
import hashlib
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Protocol, Self

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


class NobodyReads(Exception):
    """Whoever read from a thread has left."""


class FromThread:
    """A reader of what a thread of its own makes, a few chunks ahead.

    An error of the thread is raised after what was made before it.

    Args:
        produce: calls its argument with each chunk, never an empty one, and returns at the end.
        chunks: how many of them wait at most.
    """

    def __init__(self, produce: Callable[[Callable[[bytes], None]], None], chunks: int = 8) -> None:
        self._produce = produce
        self._queue: queue.Queue[bytes | BaseException] = queue.Queue(chunks)
        self._left = threading.Event()
        self._rest = memoryview(b"")
        self._end: bytes | BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="read-ahead", daemon=True)

    def _run(self) -> None:
        last: bytes | BaseException = b""
        try:
            self._produce(self._put)
        except BaseException as error:
            last = error
        with contextlib.suppress(NobodyReads):
            self._put(last)

    def _put(self, item: bytes | BaseException) -> None:
        while not self._left.is_set():
            try:
                self._queue.put(item, timeout=0.2)
            except queue.Full:
                continue
            return
        raise NobodyReads

    def read(self, size: int = -1, /) -> bytes:
        """As Reader.read."""
        pieces: list[memoryview] = []
        left = size
        while left != 0 and self._more():
            piece = self._rest[:left] if left > 0 else self._rest
            self._rest = self._rest[len(piece) :]
            left -= len(piece) if left > 0 else 0
            pieces.append(piece)
        if isinstance(self._end, BaseException) and (size < 0 or (size > 0 and not pieces)):
            raise self._end
        return b"".join(pieces)

    def _more(self) -> bool:
        """Whether there is something to take; waits for it."""
        if not self._rest and self._end is None:
            item = self._queue.get()
            if item and not isinstance(item, BaseException):
                self._rest = memoryview(item)
            else:
                self._end = item
        return bool(self._rest)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._left.set()
        self._thread.join(timeout=5)


class ReadAhead(FromThread):
    """Reads `source` in a thread of its own, a few chunks ahead of whoever reads here.

    Receiving and hashing then go on while the reader is busy with what it has.
    """

    def __init__(self, source: Reader, chunks: int = 8) -> None:
        def produce(put: Callable[[bytes], None]) -> None:
            for data in read_all(source):
                put(data)

        super().__init__(produce, chunks)


def read_all(source: Reader) -> Iterator[bytes]:
    """The stream in chunks."""
    while data := source.read(CHUNK):
        yield data
