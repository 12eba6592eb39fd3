"""Tells pg_restore where each table's data begins in an archive that was dumped into a pipe.

pg_dump can only note these positions in a file that it can go back in. Without them every parallel job of pg_restore
walks over the data of all tables before its own, row by row: three times the time at 1 GB, and worse with every table.
Source: WriteToc, WriteInt, WriteStr in pg_backup_archiver.c; _StartData, _WriteExtraToc in pg_backup_custom.c.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import IO

log = logging.getLogger(__name__)

_CHUNK = 1 << 20
_VERSIONS = range(14, 17)  # 1.14 to 1.16: PostgreSQL 12 to 18
_CUSTOM = 1
_DATA, _LARGE_OBJECTS = 1, 3
_POSITION_NOT_SET, _POSITION_SET = 1, 2


class _Unknown(Exception):
    """Not the format that this module knows: pg_restore must find its way alone, and can."""


@dataclass(frozen=True)
class _Form:
    minor: int
    int_bytes: int
    offset_bytes: int


def note_positions(archive: IO[bytes]) -> None:
    """Write the positions into the table of contents of `archive`, a seekable file; change nothing if in doubt."""
    try:
        slots = _read_toc(archive)
        positions = _find_data(archive, archive.tell(), set(slots))
        if positions.keys() != slots.keys():
            raise _Unknown("data is missing")
    except _Unknown as unknown:
        log.warning("restoring without positions, which takes longer: %s", unknown)
        return
    form = _form(archive)
    for dump_id, position in positions.items():
        archive.seek(slots[dump_id])
        archive.write(bytes([_POSITION_SET]) + position.to_bytes(form.offset_bytes, "little"))
    archive.flush()


def _form(archive: IO[bytes]) -> _Form:
    archive.seek(0)
    head = archive.read(11)
    if len(head) < 11 or head[:5] != b"PGDMP" or head[5] != 1 or head[6] not in _VERSIONS or head[10] != _CUSTOM:
        raise _Unknown("not a custom archive of a known version")
    return _Form(minor=head[6], int_bytes=head[8], offset_bytes=head[9])


def _read_toc(archive: IO[bytes]) -> dict[int, int]:
    """By dump id, where the position of an entry's data is kept. Leaves the file where the data begins."""
    form = _form(archive)

    def number() -> int:
        return _number(archive, form.int_bytes)

    def text() -> bytes | None:
        length = number()
        return None if length < 0 else archive.read(length)

    if form.minor >= 15:
        archive.read(1)  # the compression's algorithm
    else:
        number()  # the compression's level
    for _ in range(7):
        number()  # when it was made
    for _ in range(3):
        text()  # the database, the server's version, pg_dump's version
    slots = {}
    for _ in range(number()):
        dump_id = number()
        number()  # whether it had data to dump
        for _ in range(4):
            text()  # table oid, oid, tag, description
        number()  # section
        for _ in range(6):
            text()  # definition, drop, copy, schema, tablespace, access method
        if form.minor >= 16:
            number()  # relkind
        for _ in range(2):
            text()  # owner, oids
        while text() is not None:
            pass  # dependencies
        slot = archive.tell()
        if _byte(archive) == _POSITION_NOT_SET:
            slots[dump_id] = slot
        archive.read(form.offset_bytes)
    return slots


def _find_data(archive: IO[bytes], position: int, wanted: set[int]) -> dict[int, int]:
    """By dump id, where its data begins; `position` is that of the first."""
    int_bytes = _form(archive).int_bytes
    found: dict[int, int] = {}
    archive.seek(position)
    while kind := archive.read(1):
        dump_id = _number(archive, int_bytes)
        if kind[0] not in (_DATA, _LARGE_OBJECTS) or dump_id not in wanted or dump_id in found:
            raise _Unknown(f"what is at {position}")
        found[dump_id] = position
        if kind[0] == _DATA:
            _skip_rows(archive, b"\0" * (1 + int_bytes))
        else:
            while _number(archive, int_bytes):  # an oid; 0 ends them
                while length := _number(archive, int_bytes):
                    archive.seek(length, 1)
        position = archive.tell()
    return found


def _skip_rows(archive: IO[bytes], end: bytes) -> None:
    """Go behind the end of a table's rows: a length of 0. A row's text holds no zero byte, and no other length is 0."""
    position = archive.tell()
    while True:
        chunk = archive.read(_CHUNK)
        at = chunk.find(end)
        if at >= 0:
            archive.seek(position + at + len(end))
            return
        if len(chunk) < _CHUNK:
            raise _Unknown("the last table has no end")
        position += _CHUNK - len(end) + 1  # the end may be cut in two
        archive.seek(position)


def _number(archive: IO[bytes], int_bytes: int) -> int:
    data = archive.read(1 + int_bytes)
    if len(data) < 1 + int_bytes:
        raise _Unknown("it ends too early")
    value = int.from_bytes(data[1:], "little")
    return -value if data[0] else value


def _byte(archive: IO[bytes]) -> int:
    data = archive.read(1)
    if not data:
        raise _Unknown("it ends too early")
    return data[0]
