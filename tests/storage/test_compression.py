"""Compressed streams come back as they were, and a damaged one is refused."""

from __future__ import annotations

import io
import random

import pytest

from pgops.storage.compression import CompressingReader, DecompressingReader, NotDecodable
from pgops.storage.streams import read_all

TEXT = "\n".join(f"{n}\trow {n * 7919 % 104729}" for n in range(200_000)).encode()
NOISE = random.Random(3).randbytes(3_000_000)
CONTENTS = {"empty": b"", "a byte": b"x", "text": TEXT, "noise": NOISE, "50 MB of zeros": bytes(50_000_000)}


def compressed(data: bytes, algorithm: str) -> bytes:
    return CompressingReader(io.BytesIO(data), algorithm, 3).read()


def decompressed(data: bytes, algorithm: str) -> bytes:
    return b"".join(read_all(DecompressingReader(io.BytesIO(data), algorithm)))


@pytest.mark.parametrize("algorithm", ["zstd", "gzip", "none"])
@pytest.mark.parametrize("data", CONTENTS.values(), ids=CONTENTS)
def test_round_trip(algorithm, data):
    reader = CompressingReader(io.BytesIO(data), algorithm, 3)
    stream = b"".join(iter(lambda: reader.read(100_003), b""))
    assert reader.raw_bytes == len(data)
    assert decompressed(stream, algorithm) == data


@pytest.mark.parametrize("algorithm", ["zstd", "gzip"])
def test_a_read_returns_no_more_than_was_asked_for(algorithm):
    """A small stream that decompresses to much must not fill the memory."""
    reader = DecompressingReader(io.BytesIO(compressed(bytes(50_000_000), algorithm)), algorithm)
    sizes = [len(data) for data in iter(lambda: reader.read(1 << 20), b"")]
    assert max(sizes) <= 1 << 20
    assert sum(sizes) == 50_000_000


def cuts(stream: bytes) -> list[int]:
    random_ = random.Random(11)
    return [0, 1, 2, 3, 8, len(stream) - 1, len(stream) - 4, *(random_.randrange(len(stream)) for _ in range(30))]


def test_a_gzip_stream_that_is_cut_off_is_refused_wherever_it_is_cut():
    stream = compressed(TEXT, "gzip")
    for length in cuts(stream):
        with pytest.raises(NotDecodable):
            decompressed(stream[:length], "gzip")


def test_a_zstd_stream_that_is_cut_off_gives_what_was_there_and_nothing_invented():
    stream = compressed(TEXT, "zstd")
    for length in cuts(stream):
        plain = decompressed(stream[:length], "zstd")
        assert TEXT.startswith(plain)
        assert len(plain) < len(TEXT) or length >= len(stream) - 4  # all but the checksum was there


@pytest.mark.parametrize("algorithm", ["zstd", "gzip"])
def test_a_flipped_bit_is_refused_or_changes_nothing(algorithm):
    stream = compressed(TEXT[:400_000], algorithm)
    random_ = random.Random(12)
    refused = 0
    for _ in range(120):
        damaged = bytearray(stream)
        damaged[random_.randrange(len(stream))] ^= 1 << random_.randrange(8)
        try:
            assert decompressed(bytes(damaged), algorithm) == TEXT[:400_000]
        except NotDecodable:
            refused += 1
    assert refused >= 115  # gzip's header has fields without meaning


def test_what_follows_the_stream_is_left_in_the_source():
    source = io.BytesIO(compressed(TEXT, "gzip") + b"tail")
    assert b"".join(read_all(DecompressingReader(source, "gzip"))) == TEXT


def test_a_failure_of_the_source_passes_through():
    class Failing:
        def read(self, size=-1):
            raise OSError("cut")

    for algorithm in ("zstd", "gzip", "none"):
        with pytest.raises(OSError, match="cut"):
            DecompressingReader(Failing(), algorithm).read(10)
        with pytest.raises(OSError, match="cut"):
            CompressingReader(Failing(), algorithm, 3).read(10)
