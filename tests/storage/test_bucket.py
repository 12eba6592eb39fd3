"""What is uploaded is whole or not there; what is read survives a bad network; what is wrong has a name."""

from __future__ import annotations

import hashlib
import io
import os
import random
import subprocess
import sys
import textwrap
from datetime import timedelta
from pathlib import Path

import pytest

from pgops.errors import Refused
from pgops.storage import Bucket, NotThere, StorageError
from pgops.storage.bucket import PART_BYTES
from sandbox.postgres import free_port
from tests.proxies import bad_network
from tests.servers import s3_client
from tests.stores import allowing, ask_for_keys, running_moto, user_of

MIB = 1 << 20


def noise(count: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(count)


def everything(bucket: Bucket) -> list[str]:
    return [info.key for info in bucket.objects("")]


def unfinished(bucket: Bucket) -> int:
    try:
        return len(bucket.client.list_multipart_uploads(Bucket=bucket.name).get("Uploads", ()))
    except bucket.client.exceptions.NoSuchUpload:  # rclone's answer when there never was one
        return 0


@pytest.mark.parametrize("count", [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES, 20 * MIB + 7])
def test_a_stream_of_any_length_comes_back_as_it_was_sent(bucket, count):
    data = noise(count)
    (stored,) = bucket.upload(bucket.key("a"), io.BytesIO(data))
    assert (stored.bytes, stored.sha256) == (count, hashlib.sha256(data).hexdigest())
    assert bucket.open([stored.key]).read() == data
    assert bucket.head(stored.key)["ContentLength"] == count
    assert unfinished(bucket) == 0


@pytest.mark.parametrize("count", [0, 1 * MIB, 3 * MIB, 3 * MIB + 1, 5 * MIB])
def test_a_stream_too_long_for_one_object_becomes_several_in_order(bucket, count):
    small = Bucket(bucket.client, bucket.name, "pre/fix", object_bytes=MIB)
    data = noise(count)
    stored = small.upload(small.key("a"), io.BytesIO(data))
    assert [one.key for one in stored] == ["pre/fix/a", *(f"pre/fix/a.{n:03d}" for n in range(1, len(stored)))]
    assert len(stored) == max(-(-count // MIB), 1)
    assert all(one.sha256 == hashlib.sha256(data[n * MIB : (n + 1) * MIB]).hexdigest() for n, one in enumerate(stored))
    reader = small.open([one.key for one in stored])
    pieces = iter(lambda: reader.read(70_001), b"")
    assert b"".join(pieces) == data


class Failing:
    """A stream that ends with an error after `count` bytes."""

    def __init__(self, count: int) -> None:
        self.left = count

    def read(self, size: int = -1) -> bytes:
        if not self.left:
            raise Refused("the program failed", where="here", remedy="none")
        data = noise(min(self.left, MIB if size < 0 else size))
        self.left -= len(data)
        return data


@pytest.mark.parametrize("count", [0, 5, PART_BYTES, PART_BYTES + 5, 4 * PART_BYTES + 5])
def test_a_source_that_fails_leaves_nothing_visible_and_no_unfinished_upload(bucket, count):
    with pytest.raises(Refused, match="the program failed"):
        bucket.upload(bucket.key("a"), Failing(count))
    assert everything(bucket) == []
    assert unfinished(bucket) == 0


@pytest.mark.parametrize("cut_after", [0, 300, 2 * MIB + 17, 4 * MIB])
def test_a_read_that_is_cut_goes_on_where_it_was(bucket, s3, cut_after):
    data = noise(6 * MIB)
    bucket.upload("a", io.BytesIO(data))
    with bad_network(s3.port) as network:
        network.cuts, network.cut_after = 3, cut_after
        through = Bucket(s3_client(network.endpoint, attempts=4), bucket.name)
        reader = through.open(["a"])
        assert b"".join(iter(lambda: reader.read(MIB), b"")) == data
        assert network.cuts < 3


def test_a_read_that_is_cut_for_ever_ends_with_an_error_that_may_be_retried(bucket, s3, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    bucket.upload("a", io.BytesIO(noise(6 * MIB)))
    with bad_network(s3.port) as network:
        network.cuts, network.cut_after = 1_000_000, 100_000
        through = Bucket(s3_client(network.endpoint), bucket.name)
        with pytest.raises(StorageError) as caught:
            through.open(["a"]).read()
    assert caught.value.retry
    assert caught.value.where == f"s3://{bucket.name}/a"


def test_a_busy_store_is_asked_again(bucket, s3):
    with bad_network(s3.port) as network:
        through = Bucket(s3_client(network.endpoint, attempts=5), bucket.name)
        network.unavailable = 2
        stored = through.upload("a", io.BytesIO(b"x" * MIB))
        network.unavailable = 2
        assert through.open(["a"]).read() == b"x" * MIB
        network.unavailable = 2
        through.put_json("b", {"a": 1})
    assert stored[0].bytes == MIB


def test_a_store_that_stays_busy_is_an_error_that_may_be_retried(bucket, s3):
    with bad_network(s3.port) as network:
        through = Bucket(s3_client(network.endpoint), bucket.name)
        network.unavailable = 1000
        with pytest.raises(StorageError) as caught:
            through.put_json("b", {})
    assert (caught.value.code, caught.value.retry) == ("ServiceUnavailable", True)


def test_a_store_that_dies_in_the_middle_of_an_upload_is_named_and_retried(bucket, s3):
    class Slow:
        sent = 0

        def read(self, size=-1):
            self.sent += 1
            if self.sent == 4:
                network.go_down()
            return noise(size)

    with bad_network(s3.port) as network:
        through = Bucket(s3_client(network.endpoint), bucket.name)
        with pytest.raises(StorageError) as caught:
            through.upload("pre/fix/a", Slow())
    assert caught.value.retry
    assert everything(bucket) == []
    bucket.abort_uploads("pre/fix/")
    assert unfinished(bucket) == 0


def test_unfinished_uploads_below_the_prefix_are_aborted_and_others_are_not(bucket):
    for key in ("pre/fix/app/1", "pre/fix/app/2", "pre/fix/app2/1"):
        bucket.client.create_multipart_upload(Bucket=bucket.name, Key=key)
    assert bucket.abort_uploads("pre/fix/app/") == 2
    assert unfinished(bucket) == 1


def test_uploads_of_others_below_the_prefix_are_spared_until_they_must_be_dead(bucket):
    for key in ("pre/fix/app/1", "pre/fix/app/partitions/1", "pre/fix/app/subjects/1"):
        bucket.client.create_multipart_upload(Bucket=bucket.name, Key=key)
    spare = ["pre/fix/app/partitions/", "pre/fix/app/subjects/"]
    assert bucket.abort_uploads("pre/fix/app/", spare) == 1
    assert unfinished(bucket) == 2
    assert bucket.abort_uploads("pre/fix/app/", spare, spare_for=timedelta(hours=-24)) == 2


def test_json_comes_back_and_what_is_no_json_is_refused(bucket):
    bucket.put_json("pre/fix/j", {"ä": [1, None, "x\n"]})
    assert bucket.get_json("pre/fix/j") == {"ä": [1, None, "x\n"]}
    bucket.client.put_object(Bucket=bucket.name, Key="pre/fix/j", Body=b'{"a": ')
    with pytest.raises(Refused, match="not JSON"):
        bucket.get_json("pre/fix/j")
    with pytest.raises(NotThere):
        bucket.get_json("pre/fix/nothing")


def test_more_objects_than_a_page_are_listed(bucket, s3):
    for n in range(1005):
        (s3.data / bucket.name / f"f{n}").mkdir()
        (s3.data / bucket.name / f"f{n}" / "x").write_bytes(b"x")
    assert len(everything(bucket)) == 1005
    assert len(bucket.folders("")) == 1005


# --- probe ---


def refused(bucket: Bucket) -> StorageError:
    with pytest.raises(StorageError) as caught:
        bucket.probe()
    return caught.value


def test_the_probe_leaves_nothing(bucket):
    bucket.probe()
    assert everything(bucket) == []


def test_wrong_keys_and_missing_bucket_are_told_apart(bucket, s3):
    wrong_key = refused(Bucket(s3_client(s3.endpoint, access_key="AKIAWRONG"), bucket.name))
    assert (wrong_key.code, wrong_key.retry) == ("InvalidAccessKeyId", False)
    wrong_secret = refused(Bucket(s3_client(s3.endpoint, secret_key="wrong-secret"), bucket.name))
    assert (wrong_secret.code, wrong_secret.retry) == ("SignatureDoesNotMatch", False)
    missing = refused(Bucket(bucket.client, "not-there"))
    assert (missing.code, missing.retry) == ("NoSuchBucket", False)
    assert "Create the bucket" in missing.remedy
    down = refused(Bucket(s3_client(f"http://127.0.0.1:{free_port()}"), bucket.name))
    assert (down.code, down.retry) == ("", True)
    assert len({error.remedy for error in (wrong_key, wrong_secret, missing, down)}) == 4


@pytest.fixture
def moto():
    """A store with users and policies."""
    with running_moto() as endpoint:
        yield endpoint


@pytest.mark.parametrize(
    ("actions", "doing"),
    [
        (("s3:ListBucket", "s3:GetObject", "s3:DeleteObject"), "writing a probe object"),
        (("s3:ListBucket", "s3:PutObject", "s3:DeleteObject"), "reading the probe object back"),
        (("s3:ListBucket", "s3:PutObject", "s3:GetObject"), "deleting the probe object"),
    ],
)
def test_a_missing_right_is_told_from_a_wrong_key_and_named(moto, actions, doing):
    s3_client(moto, "x", "x").create_bucket(Bucket="forbidden")
    key = user_of(moto, "backup", allowing(*actions))
    ask_for_keys(moto)
    error = refused(Bucket(s3_client(moto, **key), "forbidden"))
    assert error.code == "AccessDenied"
    assert doing in error.what
    assert "policy" in error.remedy
    assert refused(Bucket(s3_client(moto, key["access_key"], "wrong"), "forbidden")).code == "SignatureDoesNotMatch"


def test_a_key_that_may_not_list_but_do_the_rest_is_enough_for_the_probe(moto):
    s3_client(moto, "x", "x").create_bucket(Bucket="forbidden")
    key = user_of(moto, "backup", allowing("s3:PutObject", "s3:GetObject", "s3:DeleteObject"))
    ask_for_keys(moto)
    Bucket(s3_client(moto, **key), "forbidden").probe()


def test_a_store_that_loses_bytes_is_refused(bucket):
    class Lossy:
        def __getattr__(self, name):
            return getattr(bucket.client, name)

        def put_object(self, **arguments):
            return bucket.client.put_object(**arguments | {"Body": arguments["Body"][:-1]})

    lossy = Bucket(Lossy(), bucket.name)
    with pytest.raises(Refused, match="other bytes"):
        lossy.probe()
    with pytest.raises(Refused, match="another object"):
        lossy.put_json("a", {"b": 1})


# --- memory ---


def peak_mib(s3, bucket: Bucket, work: str, megabytes: int) -> float:
    script = f"""
        import sys
        sys.path[:0] = {[str(Path(__file__).parents[2]), str(Path(__file__).parents[2] / "plugins")]!r}
        from pgops.storage import Bucket
        from pgops.storage.compression import CompressingReader, DecompressingReader
        from pgops.storage.streams import read_all
        from tests.servers import s3_client
        import random
        class Source:
            left = {megabytes} << 20
            block = random.Random(1).randbytes(1 << 20)
            def read(self, size=-1):
                data = self.block[:min(size if size >= 0 else 1 << 20, self.left)]
                self.left -= len(data)
                return data
        bucket = Bucket(s3_client({s3.endpoint!r}), {bucket.name!r})
        {work}
        # Not getrusage: that peak is inherited from whoever started this process.
        (peak,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
        print(int(peak.split()[1]) / 1024)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True, env=os.environ
    )
    return float(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize(
    "work",
    [
        'bucket.upload("m", CompressingReader(Source(), "zstd", 3))',
        'bucket.upload("m", Source()); [None for _ in read_all(bucket.open(["m"]))]',
        '[None for _ in read_all(DecompressingReader(CompressingReader(Source(), "gzip", 1), "gzip"))]',
    ],
    ids=["compress and upload", "upload and read back", "decompress"],
)
def test_memory_does_not_grow_with_the_stream(s3, bucket, work):
    small, large = (peak_mib(s3, bucket, work, megabytes) for megabytes in (60, 300))
    assert large < small + 60
    assert large < 300
