"""Reading ahead changes when bytes are read, never which, and leaves no thread behind."""

from __future__ import annotations

import io
import threading

import pytest

from pgops.storage import ReadAhead, read_all


def test_every_byte_arrives_in_order():
    body = bytes(range(256)) * 40_000
    with ReadAhead(io.BytesIO(body)) as ahead:
        pieces = [ahead.read(7), ahead.read(1 << 20), *read_all(ahead)]
        assert b"".join(pieces) == body
        assert ahead.read() == b""


def test_an_error_of_the_source_is_raised_after_what_came_before_it():
    class Breaks(io.BytesIO):
        def read(self, size=-1, /):
            data = super().read(size)
            if not data:
                raise OSError("cut")
            return data

    with ReadAhead(Breaks(b"abc")) as ahead:
        assert ahead.read(10) == b"abc"
        with pytest.raises(OSError, match="cut"):
            ahead.read(10)


def test_who_leaves_early_leaves_no_thread():
    class Endless:
        def read(self, size=-1, /):
            return b"x" * size

    with ReadAhead(Endless()) as ahead:
        ahead.read(1)
    assert not [thread for thread in threading.enumerate() if thread.name == "read-ahead" and thread.is_alive()]


def test_a_read_gives_as_much_as_was_asked_for_until_the_end():
    """Whoever uploads takes a short read for the end of the stream."""
    with ReadAhead(io.BytesIO(bytes(5 << 20))) as ahead:
        assert [len(ahead.read(2 << 20)) for _ in range(4)] == [2 << 20, 2 << 20, 1 << 20, 0]
