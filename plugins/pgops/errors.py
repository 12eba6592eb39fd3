"""The one error that people read: what is wrong, where, and what to do about it."""

from __future__ import annotations


class PgOpsError(Exception):
    """A failure with a name, a place and a remedy.

    Args:
        what: the fact, in one sentence without its full stop.
        where: file and key, host and database, or object key.
        remedy: what a person does next.
        retry: whether the same call may succeed later without anybody's help.
    """

    def __init__(self, what: str, *, where: str, remedy: str, retry: bool = False) -> None:
        super().__init__(what, where, remedy)
        self.what = what
        self.where = where
        self.remedy = remedy
        self.retry = retry

    def __str__(self) -> str:
        return f"{self.what} ({self.where}). {self.remedy}"


class Refused(PgOpsError):
    """Nothing was touched: the request or the state of the world does not allow it."""


class LostOwnership(PgOpsError):
    """Another run took over while this one was away; its work must not count."""
