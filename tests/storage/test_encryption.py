"""What is encrypted opens for each of its recipients and for nobody else, and damage never passes as an end."""

from __future__ import annotations

import io
import random
import threading

import pyrage
import pytest

from pgops.errors import Refused
from pgops.storage import read_all
from pgops.storage.compression import NotDecodable
from pgops.storage.encryption import (
    DecryptingReader,
    EncryptingReader,
    check_header,
    fingerprint,
    fingerprints_of,
    identities_of,
)
from tests.servers import eventually

DATA = random.Random(7).randbytes(3_000_001)


class Key:
    def __init__(self) -> None:
        identity = pyrage.x25519.Identity.generate()
        self.secret, self.public = str(identity), str(identity.to_public())


def encrypted(data: bytes, *keys: Key) -> bytes:
    with EncryptingReader(io.BytesIO(data), [key.public for key in keys]) as reader:
        return b"".join(read_all(reader))


def decrypted(data: bytes, *keys: Key) -> bytes:
    with DecryptingReader(io.BytesIO(data), [key.secret for key in keys], "here") as reader:
        return b"".join(read_all(reader))


@pytest.mark.parametrize("count", [0, 1, 65_535, 65_536, 65_537, len(DATA)])
def test_any_length_comes_back_through_each_of_the_keys_alone(count):
    one, other = Key(), Key()
    stored = encrypted(DATA[:count], one, other)
    assert DATA[:count][:1000] not in stored or count < 16
    assert decrypted(stored, one) == decrypted(stored, other) == DATA[:count]


def test_a_strangers_key_opens_nothing_and_the_refusal_names_no_secret():
    stranger = Key()
    with pytest.raises(Refused, match="No identity here opens this") as caught:
        decrypted(encrypted(DATA, Key()), stranger)
    assert stranger.secret not in str(caught.value)
    assert fingerprint(stranger.public) in str(caught.value)


def test_of_several_identities_the_fitting_one_is_found():
    fitting = Key()
    assert decrypted(encrypted(DATA, fitting), Key(), Key(), fitting) == DATA


def test_every_cut_and_every_flipped_bit_is_found():
    key = Key()
    stored = encrypted(DATA, key)
    random_ = random.Random(11)
    for _ in range(40):
        damaged = bytearray(stored)
        position = random_.randrange(len(stored))
        damaged[position] ^= 1 << random_.randrange(8)
        for broken in (bytes(damaged), stored[:position]):
            with pytest.raises((NotDecodable, Refused)):
                decrypted(broken, key)
    with pytest.raises(NotDecodable):
        decrypted(stored + b"x", key)


def test_what_is_encrypted_on_its_way_into_a_bucket_is_one_object(bucket):
    key, data = Key(), random.Random(13).randbytes(20 << 20)
    with EncryptingReader(io.BytesIO(data), [key.public]) as sealed:
        stored = bucket.upload(bucket.key("a"), sealed)
    assert [one.key for one in stored] == [bucket.key("a")]
    assert decrypted(bucket.open([bucket.key("a")]).read(), key) == data


@pytest.mark.parametrize("reader_of", [EncryptingReader, DecryptingReader])
def test_the_sources_own_error_is_what_is_seen(reader_of):
    class Failing(io.BytesIO):
        def read(self, size=-1):
            raise Refused("the program failed", where="there", remedy="none")

    key = Key()
    arguments = ([key.public],) if reader_of is EncryptingReader else ([key.secret], "here")
    with pytest.raises(Refused, match="the program failed"), reader_of(Failing(), *arguments) as reader:
        list(read_all(reader))


def test_whoever_leaves_early_leaves_no_thread():
    class Endless:
        def read(self, size=-1):
            return bytes(size)

    before = threading.active_count()
    with EncryptingReader(Endless(), [Key().public]) as reader:
        assert reader.read(100)
    assert eventually(lambda: threading.active_count() == before)


def test_no_more_than_a_few_mib_are_held_of_a_stream():
    class Long:
        given = 0

        def read(self, size=-1):
            self.given += size
            return bytes(size)

    source = Long()
    with EncryptingReader(source, [Key().public]) as reader:
        for _ in range(30):
            taken = reader.read(1 << 20)
            assert taken
        assert source.given < 60 << 20


def test_the_header_tells_for_how_many_keys_it_is_made_without_a_secret_one():
    stored = encrypted(DATA, Key(), Key())
    assert check_header(stored[:5000], 2) == ""
    assert check_header(stored[:5000], 3) == "it is encrypted to 2 keys, asked for were 3"
    assert check_header(b"\x28\xb5\x2f\xfd" + DATA[:5000], 2) == "it is not in the age format"
    assert check_header(b"", 2) == "it is not in the age format"


def test_an_identity_file_may_have_comments_and_several_keys():
    one, other = Key(), Key()
    text = f"# created: 2026-11-23\n# public key: {one.public}\n{one.secret}\n\n{other.secret}\n"
    assert identities_of(text) == (one.secret, other.secret)
    assert fingerprints_of(identities_of(text)) == (fingerprint(one.public), fingerprint(other.public))


def test_what_is_no_secret_key_is_refused_and_not_repeated():
    broken = Key().secret[:-3]
    with pytest.raises(Refused, match="no secret key of age") as caught:
        identities_of(broken)
    assert broken not in str(caught.value)
