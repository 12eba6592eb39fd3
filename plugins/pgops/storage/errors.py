"""What an object store said, in the form that people read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import urllib3.exceptions
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as BotoConnectionError

from pgops.errors import PgOpsError

# What may break while a body is being read; the read can go on from where it was.
CUT_CONNECTION = (HTTPClientError, BotoConnectionError, BotoCoreError, urllib3.exceptions.HTTPError, OSError)

_REMEDIES = {
    "InvalidAccessKeyId": "The store does not know this access key: correct the Airflow connection",
    "SignatureDoesNotMatch": "The secret key is wrong: correct the Airflow connection",
    "AccessDenied": "The key is valid but may not do this: extend its policy (docs/deploying.md lists the actions)",
    "403": "The key is wrong or may not do this: check it, then its policy (docs/deploying.md lists the actions)",
    "NoSuchBucket": "Create the bucket, or correct storage.bucket in the fleet file",
    "NoSuchKey": "Somebody removed the object, or the name is wrong",
    "SlowDown": "The store is overloaded; the task tries again by itself",
    "ServiceUnavailable": "The store is unavailable; the task tries again by itself",
}
_PASSING = {"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "500", "502", "503", "504"}


class StorageError(PgOpsError):
    """The object store refused, failed or could not be reached; `code` is S3's, empty when there was no answer."""

    def __init__(self, doing: str, code: str, message: str, *, where: str, remedy: str, retry: bool) -> None:
        label = f"{code}: " if code else ""
        super().__init__(f"{doing} failed: {label}{message}", where=where, remedy=remedy, retry=retry)
        self.code = code


class NotThere(StorageError):
    """There is no such object."""


class Locked(StorageError):
    """Object lock keeps it: nobody may remove it before `until`."""

    def __init__(self, code: str, until: datetime, *, where: str) -> None:
        what = f"object lock keeps it until {until:%Y-%m-%d %H:%M} UTC"
        remedy = "Nothing to do: the first run after that removes it"
        super().__init__("deleting", code, what, where=where, remedy=remedy, retry=False)
        self.until = until


@contextmanager
def explained(doing: str, where: str) -> Iterator[None]:
    """Turn a boto3 error in the block into a StorageError that names the place and the remedy."""
    try:
        yield
    except ClientError as error:
        raise _from_client_error(doing, where, error) from error
    except S3UploadFailedError as error:
        cause = error.__cause__ or error.__context__
        if isinstance(cause, ClientError):
            raise _from_client_error(doing, where, cause) from error
        raise _unreachable(doing, where, error) from error
    except (BotoCoreError, urllib3.exceptions.HTTPError) as error:
        raise _unreachable(doing, where, error) from error


def _from_client_error(doing: str, where: str, error: ClientError) -> StorageError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    kind = NotThere if code in ("NoSuchKey", "404") else StorageError
    return kind(
        doing,
        code,
        str(error.response.get("Error", {}).get("Message") or error),
        where=where,
        remedy=_REMEDIES.get(code, "Look the code up in the store's documentation"),
        retry=code in _PASSING,
    )


def _unreachable(doing: str, where: str, error: Exception) -> StorageError:
    return StorageError(
        doing,
        "",
        " ".join(str(error).split()),
        where=where,
        remedy="Check the endpoint (Airflow connection or AWS_ENDPOINT_URL) and that it can be reached from here",
        retry=True,
    )
