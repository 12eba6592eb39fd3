"""The S3 server of the sandbox: right keys only, and what it took it keeps."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from sandbox.objectstore import S3Server
from sandbox.state import free_port


@pytest.fixture
def store(tmp_path: Path) -> Iterator[S3Server]:
    server = S3Server(tmp_path / "s3", free_port(), "the-key", "the-secret")
    server.start()
    yield server
    server.stop()


def client(store: S3Server, key: str = "the-key", secret: str = "the-secret", **config: Any) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=store.endpoint,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        region_name="us-east-1",
        config=Config(retries={"total_max_attempts": 1}, **config),
    )


@pytest.mark.parametrize(
    ("keys", "config", "code"),
    [
        (("the-key", "a-guess"), {}, "SignatureDoesNotMatch"),
        (("somebody", "the-secret"), {}, "InvalidAccessKeyId"),
        (("", ""), {"signature_version": UNSIGNED}, "UnsupportedAlgorithm"),
    ],
    ids=["wrong secret", "unknown key", "no key"],
)
def test_wrong_keys_neither_read_nor_write(
    store: S3Server, keys: tuple[str, str], config: dict[str, Any], code: str
) -> None:
    client(store).create_bucket(Bucket="bucket")
    stranger = client(store, *keys, **config)
    for call in (
        lambda: stranger.list_objects_v2(Bucket="bucket"),
        lambda: stranger.put_object(Bucket="bucket", Key="x", Body=b"x"),
    ):
        with pytest.raises(ClientError, match=code):
            call()
    assert "Contents" not in client(store).list_objects_v2(Bucket="bucket")


def test_objects_outlive_a_crash_of_the_server(store: S3Server) -> None:
    s3 = client(store)
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="a/b c+d", Body=b"kept")
    store.kill()
    assert not store.running()
    store.start()
    assert client(store).get_object(Bucket="bucket", Key="a/b c+d")["Body"].read() == b"kept"


def test_a_file_damaged_behind_its_back_is_served_damaged(store: S3Server) -> None:
    s3 = client(store)
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="dump", Body=b"whole")
    (store.data / "bucket" / "dump").write_bytes(b"cut")
    time.sleep(0.5)  # it knows the old size for a tenth of a second
    assert s3.get_object(Bucket="bucket", Key="dump")["Body"].read() == b"cut"


def test_idle_it_rests(store: S3Server) -> None:
    client(store).create_bucket(Bucket="bucket")
    client(store).put_object(Bucket="bucket", Key="a/b", Body=b"x")
    client(store).list_objects_v2(Bucket="bucket")
    process = store.process()
    assert process is not None
    before = sum(process.cpu_times()[:2])
    time.sleep(2)
    assert sum(process.cpu_times()[:2]) - before < 0.5


def test_an_emptied_bucket_stays(store: S3Server) -> None:
    s3 = client(store)
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="a/b", Body=b"x")
    s3.delete_object(Bucket="bucket", Key="a/b")
    assert s3.head_bucket(Bucket="bucket")


def test_the_process_list_does_not_show_the_secret(store: S3Server) -> None:
    process = store.process()
    assert process is not None
    assert "the-secret" not in " ".join(process.cmdline())


def test_stop_leaves_a_stranger_alone_who_got_the_pid(store: S3Server) -> None:
    store.stop()
    store._pid_file.write_text(f"{psutil.Process().pid} 12345.0")
    store.stop()  # would end this very test
    assert not store.running()
