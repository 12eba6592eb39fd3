"""Encryption of a stream on its way, in the age format (age-encryption.org/v1).

By the library pyrage and not the program age: a worker then needs nothing but pip, and a secret key is never in a file
or on a command line. What it writes, `age --decrypt` reads.

Whoever encrypts knows public keys ("recipients") only. Each of them opens the whole alone, so keys are rotated by
adding one and, when no backup is left that only the old one opens, removing the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pyrage

from pgops.errors import Refused
from pgops.storage.compression import NotDecodable
from pgops.storage.streams import CHUNK, FromThread, Reader

SUFFIX = ".age"
_FIRST_LINE = b"age-encryption.org/v1\n"
_STANZA = b"-> X25519 "
_MAC = b"\n--- "
HEADER_BYTES = 1 << 16  # more than any header has


def fingerprint(recipient: str) -> str:
    """How a public key is named where people read: the first 16 digits of its sha256."""
    return hashlib.sha256(recipient.encode()).hexdigest()[:16]


def identities_of(text: str) -> tuple[str, ...]:
    """The secret keys in the text of an identity file: one a line, comments begin with #.

    Raises:
        Refused: a line is no secret key. The line itself is not repeated.
    """
    lines = [line.strip() for line in text.splitlines()]
    found = tuple(line for line in lines if line and not line.startswith("#"))
    for identity in found:
        _identity(identity)
    return found


def fingerprints_of(identities: Iterable[str]) -> tuple[str, ...]:
    """The fingerprints of the public keys that belong to secret ones."""
    return tuple(fingerprint(str(_identity(identity).to_public())) for identity in identities)


def _identity(text: str) -> Any:
    try:
        return pyrage.x25519.Identity.from_str(text)
    except pyrage.IdentityError as error:
        raise Refused(
            "This is no secret key of age",
            where="the connection with the identities",
            remedy="Give it what age-keygen printed: one AGE-SECRET-KEY-1... a line",
        ) from error


class EncryptingReader(FromThread):
    """Reads encrypted what `source` gives plain; a context manager. An error of the source is raised as it was.

    Args:
        source: the plain stream.
        recipients: public keys, each of which opens it alone.
    """

    def __init__(self, source: Reader, recipients: Sequence[str]) -> None:
        keys = [pyrage.x25519.Recipient.from_str(recipient) for recipient in recipients]

        def produce(put: Callable[[bytes], None]) -> None:
            watched, chunks = _Watched(source), _Chunks(put)
            try:
                pyrage.encrypt_io(watched, chunks, keys)
            except Exception as error:
                raise watched.error or chunks.error or error from error
            chunks.end()

        super().__init__(produce)


class DecryptingReader(FromThread):
    """Reads plain what `source` gives encrypted; a context manager. Nothing is given that was not authenticated.

    Args:
        source: the encrypted stream.
        identities: secret keys; one must fit.

    Raises:
        NotDecodable: the stream is damaged or cut off.
        Refused: none of the identities opens it.
    """

    def __init__(self, source: Reader, identities: Sequence[str], where: str) -> None:
        keys = [_identity(identity) for identity in identities]

        def produce(put: Callable[[bytes], None]) -> None:
            watched, chunks = _Watched(source), _Chunks(put)
            try:
                pyrage.decrypt_io(watched, chunks, keys)
            except Exception as error:
                cause = watched.error or chunks.error
                if cause is None and "No matching keys" in str(error):
                    raise no_key_fits(identities, where) from error
                raise cause or NotDecodable(f"it cannot be decrypted: {error}") from error
            chunks.end()

        super().__init__(produce)


def no_key_fits(identities: Sequence[str], where: str, recipients: str = "other keys") -> Refused:
    """The refusal of whoever has another key than the one that is needed."""
    have = ", ".join(fingerprints_of(identities)) or "none"
    return Refused(
        f"No identity here opens this: it is encrypted to {recipients}; here are {have}",
        where=where,
        remedy="Add the secret key of one of its recipients to the connection storage.identity_connection",
    )


def check_header(beginning: bytes, recipients: int) -> str:
    """What is wrong with the beginning of an encrypted object; empty when nothing is. Needs no secret key."""
    header, mac, _ = beginning.partition(_MAC)
    if not header.startswith(_FIRST_LINE) or not mac:
        return "it is not in the age format"
    found = sum(line.startswith(_STANZA) for line in header.splitlines())
    return "" if found == recipients else f"it is encrypted to {found} keys, asked for were {recipients}"


class _Watched:
    """Remembers the error of a stream, which the library turns into one of its own.

    The library asks for 8 KiB at a time, which most streams here are slow at: they are asked for more.
    """

    def __init__(self, source: Reader) -> None:
        self._source = source
        self._rest = memoryview(b"")
        self.error: BaseException | None = None

    def read(self, size: int = -1, /) -> bytes:
        """As Reader.read, but may return less than `size` before the end."""
        if not self._rest:
            try:
                self._rest = memoryview(self._source.read(CHUNK))
            except BaseException as error:
                self.error = error
                raise
        taken = self._rest[:size] if size >= 0 else self._rest
        self._rest = self._rest[len(taken) :]
        return bytes(taken)


class _Chunks:
    """Collects the library's small pieces, 8 KiB or 64 KiB, into larger ones."""

    def __init__(self, put: Callable[[bytes], None]) -> None:
        self._put = put
        self._buffer = bytearray()
        self.error: BaseException | None = None

    def write(self, data: bytes) -> int:
        self._buffer += data
        if len(self._buffer) >= CHUNK:
            try:
                self.end()
            except BaseException as error:
                self.error = error
                raise
        return len(data)

    def flush(self) -> None:
        return

    def end(self) -> None:
        if self._buffer:
            self._put(bytes(self._buffer))
            self._buffer.clear()
