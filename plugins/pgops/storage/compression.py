"""Compression of a stream on its way.

Outside of pg_dump, because not every pg_dump can do zstd, and because the zstd frames written here carry a checksum
of the content, which pg_dump's own do not.
"""

from __future__ import annotations

import os
import zlib
from typing import Any, Literal

import zstandard

from pgops.errors import PgOpsError
from pgops.storage.streams import CHUNK, Reader

Algorithm = Literal["zstd", "gzip", "none"]
_JOB_BYTES = 2 << 20
SUFFIX: dict[str, str] = {"zstd": ".zst", "gzip": ".gz", "none": ""}


class NotDecodable(PgOpsError):
    """The compressed stream is damaged or cut off."""

    def __init__(self, message: str) -> None:
        super().__init__(
            f"The stream cannot be decompressed: {message}",
            where="the stored dump",
            remedy="This backup is damaged: take the one before, and look for the cause in the store",
        )


class CompressingReader:
    """Reads compressed what `source` gives plain; `raw_bytes` counts what went in."""

    def __init__(self, source: Reader, algorithm: Algorithm, level: int) -> None:
        self._source = source
        self._encoder = _encoder(algorithm, level)
        self._ready: list[bytes] = []
        self._ready_bytes = 0
        self._ended = False
        self.raw_bytes = 0

    def read(self, size: int = -1, /) -> bytes:
        """As Reader.read."""
        while not self._ended and (size < 0 or self._ready_bytes < size):
            data = self._source.read(CHUNK)
            self.raw_bytes += len(data)
            self._ended = not data
            self._keep(self._encoder.compress(data) if data else self._encoder.flush())
        everything = b"".join(self._ready)
        taken = everything if size < 0 else everything[:size]
        self._ready = [everything[len(taken) :]]
        self._ready_bytes = len(everything) - len(taken)
        return taken

    def _keep(self, data: bytes) -> None:
        if data:
            self._ready.append(data)
            self._ready_bytes += len(data)


def _encoder(algorithm: Algorithm, level: int) -> Any:
    if algorithm == "zstd":
        parameters = zstandard.ZstdCompressionParameters.from_level(
            level,
            # Not long-distance matching: it costs a sixth of the time. A job is what one thread has at a time: more of
            # it is only more memory.
            threads=min(os.cpu_count() or 1, 4),
            job_size=_JOB_BYTES,
            write_checksum=True,
        )
        return zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    if algorithm == "gzip":
        return zlib.compressobj(level, zlib.DEFLATED, 31)
    return _Plain()


class _Plain:
    def compress(self, data: bytes) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


class DecompressingReader:
    """Reads plain what `source` gives compressed, never holding more than a few MiB.

    A zstd stream that is cut off ends early without an error: whoever reads it compares its length or hash.

    Raises:
        NotDecodable: the stream is damaged, or (gzip) ends before its end.
    """

    def __init__(self, source: Reader, algorithm: Algorithm) -> None:
        self._source: Reader = source
        self._plain: Any = source
        self._gzip: Any = None
        if algorithm == "zstd":
            self._plain = zstandard.ZstdDecompressor().stream_reader(source)  # type: ignore[arg-type]
        elif algorithm == "gzip":
            self._gzip = zlib.decompressobj(31)

    def read(self, size: int = -1, /) -> bytes:
        """As Reader.read, but may return less than `size` before the end."""
        try:
            if self._gzip is not None:
                return self._read_gzip(CHUNK if size < 0 else size)
            data: bytes = self._plain.read(CHUNK if size < 0 else size)
            return data
        except (zstandard.ZstdError, zlib.error) as error:
            raise NotDecodable(str(error)) from error

    def _read_gzip(self, size: int) -> bytes:
        while not self._gzip.eof:
            waiting = self._gzip.unconsumed_tail or self._source.read(1 << 17)
            if not waiting:
                raise NotDecodable("it ends before its end")
            data: bytes = self._gzip.decompress(waiting, size)
            if data:
                return data
        return b""
