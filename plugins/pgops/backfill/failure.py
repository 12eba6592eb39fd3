"""What a failed statement of a worker means, by its SQLSTATE."""

from __future__ import annotations

from typing import Literal

import psycopg2
from psycopg2.extensions import connection as Connection

Meaning = Literal["lost", "again", "changed", "row"]
LOCKED = ("55P03", "40P01")
_AGAIN = (*LOCKED, "40001", "57014", "53100", "53200", "53300", "53400")
# A table, column, schema or function that is renamed or dropped, perhaps while the statement ran.
_CHANGED = ("42P01", "42703", "3F000", "42883", "XX000")
_DENIED = "42501"
_LOST = ("", "57P01", "57P02", "57P03", "57P05", "25P02", "25P03", "25006")


def meaning(error: psycopg2.Error, connection: Connection) -> Meaning:
    """What went wrong: the session is lost, another try may help, its ground has changed, or a row is refused."""
    code = error.pgcode or ""
    if connection.closed or is_lost(code):
        return "lost"
    if code in _AGAIN:
        return "again"
    # A privilege that was taken away concerns every row; a trigger that denies one says where it did so.
    denied = code == _DENIED and not error.diag.context
    return "changed" if denied or code in _CHANGED else "row"


def is_lost(sqlstate: str) -> bool:
    """Whether the session, or the server behind it, is of no use any longer."""
    return sqlstate in _LOST or sqlstate.startswith("08")


def said(error: psycopg2.Error) -> str:
    """The server's words in one line."""
    parts = [error.diag.message_primary, error.diag.message_detail]
    return ". ".join(part for part in parts if part) or " ".join(str(error).split())
