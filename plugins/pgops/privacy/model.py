"""What requests about one person are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pgops.storage import StoredObject

Action = Literal["delete", "anonymise", "keep"]


@dataclass(frozen=True)
class Column:
    """A column; `type` is without length, `full_type` with it."""

    name: str
    type: str
    full_type: str
    not_null: bool
    unique: bool


@dataclass(frozen=True)
class Relation:
    """A table by its name."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class Link:
    """A foreign key; tables are oids. on_delete: a no action, r restrict, c cascade, n set null, d set default."""

    name: str
    child: int
    parent: int
    columns: tuple[str, ...]
    referenced: tuple[str, ...]
    on_delete: str


@dataclass(frozen=True)
class MappedTable:
    """A table with rows of the subject.

    Attributes:
        relations: the table itself, and its partitions that cannot be seen through it.
        column, column_type: that holds the subject's key; empty when only foreign keys lead here.
        parents: the foreign keys by which rows belong to the subject.
        cascades: foreign keys to itself along which the database would delete further rows.
        unlink: foreign keys of whichever table whose references to these rows become NULL before the rows go.
        stuck: the same, but they may not become NULL: no such row may be there.
        named: whether the policy names it.
        set: for the action anonymise, column to SQL value.
    """

    oid: int
    relations: tuple[Relation, ...]
    columns: tuple[Column, ...]
    column: str
    column_type: str
    parents: tuple[Link, ...]
    cascades: tuple[Link, ...]
    unlink: tuple[Link, ...]
    stuck: tuple[Link, ...]
    path: str
    named: bool
    action: Action
    reason: str = ""
    set: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """schema.table."""
        return str(self.relations[0])

    def column_named(self, name: str) -> Column | None:
        """One of its columns."""
        return next((one for one in self.columns if one.name == name), None)


@dataclass(frozen=True)
class SubjectMap:
    """Where the data of a person lies; `tables` in the order of an erasure: children before their parents.

    Attributes:
        subject: oid of the table of the persons.
        warnings: what may hold data of the person and was not looked at.
        obstacles: why nothing can be erased with this policy.
        unnamed: columns of other tables that look as if they named a person: (table, column, in the subject's table).
    """

    database: str
    subject: int
    key: str
    key_type: str
    tables: tuple[MappedTable, ...]
    warnings: tuple[str, ...]
    obstacles: tuple[str, ...]
    unnamed: tuple[tuple[Relation, str, bool], ...] = ()

    def table(self, oid: int) -> MappedTable:
        """A table by its oid."""
        return next(one for one in self.tables if one.oid == oid)

    @property
    def subject_table(self) -> MappedTable:
        """The table of the persons."""
        return self.table(self.subject)


@dataclass(frozen=True)
class TableRows:
    """How many rows of the subject a table holds, and what an erasure does with them."""

    table: str
    path: str
    action: Action
    reason: str
    rows: int


@dataclass(frozen=True)
class Found:
    """Where the subject's rows are. It names no person.

    Attributes:
        archives: rows by archive; None when no archives were searched.
        obstacles: why nothing can be erased.
    """

    tables: tuple[TableRows, ...]
    archives: Mapping[str, int] | None
    warnings: tuple[str, ...]
    obstacles: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Rows of all tables and archives."""
        return sum(one.rows for one in self.tables) + sum((self.archives or {}).values())


@dataclass(frozen=True)
class ArchivedTable:
    """How the subject's rows are known in archives of a table's partitions, and what an erasure does with them.

    Attributes:
        columns: any of them holds the key; none where only foreign keys lead to rows of the subject.
        set: for the action anonymise, column to SQL value.
    """

    columns: tuple[str, ...]
    action: Action = "delete"
    set: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ArchivedSubject:
    """Whom to look for in archives.

    Attributes:
        key: the subject's key as the server writes it.
        tables: the subject's tables, by "schema.table".
    """

    key: str = field(repr=False)
    tables: Mapping[str, ArchivedTable]


class Archives(Protocol):
    """Copies of retired partitions in the bucket. Each call can be repeated."""

    def search(self, subject: ArchivedSubject) -> Mapping[str, int]:
        """Rows of the subject by archive; archives without any are left out."""
        ...

    def unsearched(self, subject: ArchivedSubject) -> tuple[str, ...]:
        """Archives that may hold the subject, and have no column to tell."""
        ...

    def left(self, subject: ArchivedSubject) -> Mapping[str, int]:
        """Rows that an erasure would still delete or change, by archive."""
        ...

    def export(self, subject: ArchivedSubject, folder: str) -> tuple[StoredObject, ...]:
        """Write the subject's rows below the full key `folder`, readable."""
        ...

    def erase(self, subject: ArchivedSubject) -> Mapping[str, int]:
        """Rewrite and prove every archive that holds the subject; rows that went or changed, by archive."""
        ...
