"""A store with users, policies and object lock: moto, for what the sandbox's own store does not know."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import boto3
import requests
from moto.server import ThreadedMotoServer

_PLAIN = {"Content-Type": "text/plain"}


@contextmanager
def running_moto() -> Iterator[str]:
    """The endpoint of a store that knows no users yet and lets everybody do everything."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    try:
        yield endpoint
    finally:
        requests.post(f"{endpoint}/moto-api/reset-auth", data="inf", headers=_PLAIN, timeout=10)
        requests.post(f"{endpoint}/moto-api/reset", timeout=10)
        server.stop()


def allowing(*actions: str) -> dict[str, Any]:
    """A policy that allows these on everything."""
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}]}


def user_of(moto: str, name: str, policy: Mapping[str, Any]) -> dict[str, str]:
    """The key of a new user with that policy."""
    iam = boto3.client(
        "iam", endpoint_url=moto, aws_access_key_id="x", aws_secret_access_key="x", region_name="us-east-1"
    )
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(policy))
    return {"access_key": key["AccessKeyId"], "secret_key": key["SecretAccessKey"]}


def ask_for_keys(moto: str) -> None:
    """From now on only users do something, and only what their policies allow."""
    requests.post(f"{moto}/moto-api/reset-auth", data="0", headers=_PLAIN, timeout=10)
