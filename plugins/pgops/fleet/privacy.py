"""Where a person's data lies, and what becomes of it when they want it, or want it gone."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from pgops.fleet.base import ConnectionId, Policy

_TABLE = re.compile(r"^[^.]+\.[^.]+$")


class SubjectTable(Policy):
    """One table with data of a person, beyond what foreign keys say.

    table: "schema.table", or a pattern such as "public.events_*": detached partitions are tables of their own.
    column: that holds the subject's key; when empty the table is reached by its foreign keys.
    action: what an erasure does: "delete" the rows, "anonymise" them (`set`), or "keep" them, with a `reason`.
    set: column to the SQL value that takes its place, such as {"email": "'erased'"}; NULL where empty.
    """

    table: str
    column: str = ""
    action: Literal["delete", "anonymise", "keep"] = "delete"
    set: dict[str, str] = Field(default_factory=dict)
    reason: str = ""

    @field_validator("table")
    @classmethod
    def _with_schema(cls, value: str) -> str:
        if not _TABLE.match(value):
            raise ValueError("name the schema too, such as public.orders")
        return value

    @model_validator(mode="after")
    def _complete(self) -> SubjectTable:
        if (self.action == "anonymise") != bool(self.set):
            raise ValueError("'set' belongs to the action anonymise, and to it alone")
        if self.action == "keep" and not self.reason:
            raise ValueError("keeping a person's data needs a reason")
        return self


class PrivacyPolicy(Policy):
    """How data_subject_request treats a database.

    connection: of a role on the primary that may read and change all tables of a subject.
    subject: the table of the persons, "schema.table".
    key: its column by which a person is named in requests.
    secret_connection: Airflow connection whose password keys the hash of a subject's key, in tombstones and records.
    approvers: users as Airflow names them, who may approve an erasure; never the one who asked for it.
    approval_minutes: without an answer by then an erasure is rejected.
    tables: what foreign keys do not say, and where deleting is not what shall happen.
    batch_rows: rows of one transaction of an erasure.
    export_days: how long an export stays in the bucket.
    """

    connection: ConnectionId
    subject: str
    key: str
    secret_connection: ConnectionId
    approvers: tuple[str, ...] = Field(min_length=1)
    approval_minutes: float = Field(1440, gt=0, le=60 * 24 * 30)
    tables: tuple[SubjectTable, ...] = ()
    batch_rows: int = Field(5_000, ge=1, le=1_000_000)
    export_days: int = Field(30, ge=1, le=3650)

    @field_validator("subject")
    @classmethod
    def _with_schema(cls, value: str) -> str:
        if not _TABLE.match(value):
            raise ValueError("name the schema too, such as public.users")
        return value
