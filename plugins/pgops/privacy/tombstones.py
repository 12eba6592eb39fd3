"""Tombstones: who was erased, without saying who, so that no restore brings them back.

    <prefix>/<database>/tombstones/<request id>.json       written before the first row goes
    <prefix>/<database>/tombstones/<request id>.done.json  written after the last one went

A tombstone holds the HMAC-SHA256 of the subject's key. Whoever restores data hashes every key in it and erases those
that have a tombstone. Without the secret nobody can tell who was erased, even where keys can be guessed.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from psycopg2 import sql
from pydantic import TypeAdapter, ValidationError

from pgops.errors import Refused
from pgops.fleet.privacy import PrivacyPolicy
from pgops.include import query
from pgops.postgres import Dsn, Limits
from pgops.privacy.erase import Erased, erase
from pgops.privacy.map import read_map
from pgops.privacy.model import Relation, SubjectMap
from pgops.privacy.rows import identifier, key_text
from pgops.privacy.search import Subject
from pgops.privacy.sessions import subject_session
from pgops.storage import Bucket, NotThere

log = logging.getLogger(__name__)

VERSION = 1
_SHORTEST = 16
_FETCH = 10_000
_DONE = ".done.json"


@dataclass(frozen=True)
class Secret:
    """What keys the hashes."""

    password: str = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.password) < _SHORTEST:
            raise Refused(
                f"The secret that keys the hashes is shorter than {_SHORTEST} characters",
                where="the connection that privacy.secret_connection names, its password",
                remedy="Give it a long random password: with a short one erased persons can be guessed",
            )

    @property
    def id(self) -> str:
        """Tells secrets apart without telling the secret."""
        return self._hash("the id of this secret")[:12]

    def subject(self, database: str, table: str, column: str, key: str) -> str:
        """The hash of a subject's key; of another one in another table or database."""
        return self._hash("\n".join((database, table, column, key)))

    def _hash(self, text: str) -> str:
        return hmac.new(self.password.encode(), text.encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class Tombstone:
    """An erasure that was approved. `hashes`: of the key in each spelling that rows had."""

    id: str
    database: str
    table: str
    column: str
    key_id: str
    hashes: tuple[str, ...]
    requested_by: str
    approved_by: str
    at: datetime
    version: int = VERSION


@dataclass(frozen=True)
class Replayed:
    """What a replay did; `erased` has one entry for each person that was there again."""

    tombstones: int
    keys: int
    erased: tuple[Erased, ...]


@dataclass(frozen=True)
class _Done:
    id: str
    at: datetime


_TOMBSTONE = TypeAdapter(Tombstone)
_FINISHED = TypeAdapter(_Done)


def hashes(secret: Secret, database: str, policy: PrivacyPolicy, subject: Subject) -> tuple[str, ...]:
    """The subject's hashes; the first is that of the key as it was asked for."""
    spellings = (subject.key, *(one for one in subject.spellings if one != subject.key))
    return tuple(secret.subject(database, policy.subject, policy.key, one) for one in spellings)


def write_tombstone(bucket: Bucket, tombstone: Tombstone) -> Tombstone:
    """Write a tombstone and read it back; a second call finds the first one's.

    Raises:
        Refused: another person's tombstone has this id.
    """
    key = _key(bucket, tombstone.database, f"{tombstone.id}.json")
    known = _read(bucket, key)
    if known is None:
        bucket.put_json(key, _TOMBSTONE.dump_python(tombstone, mode="json"))
        known = _read(bucket, key)
    if known is None or not set(known.hashes) & set(tombstone.hashes):
        raise Refused(
            "This request's tombstone is another person's",
            where=bucket.where(key),
            remedy="Trigger a request of its own; nothing was erased by this one",
        )
    return known


def finish_tombstone(bucket: Bucket, database: str, request_id: str, at: datetime) -> None:
    """Say that an erasure came to its end: data that was taken later holds nothing of it."""
    done = _FINISHED.dump_python(_Done(request_id, at), mode="json")
    bucket.put_json(_key(bucket, database, request_id + _DONE), done)


def tombstones(bucket: Bucket, database: str, as_of: datetime | None = None) -> list[Tombstone]:
    """A database's tombstones, oldest first.

    Args:
        as_of: of the data to which they are applied. An erasure that ended before has nothing to do there, and a person
            who came back since, under the same key, must not be erased again.
    """
    prefix = _key(bucket, database, "")
    names = {info.key[len(prefix) :] for info in bucket.objects(prefix)}
    found = []
    for name in sorted(name for name in names if name.endswith(".json") and not name.endswith(_DONE)):
        done = name.removesuffix(".json") + _DONE
        if as_of is not None and done in names:
            at = _FINISHED.validate_python(bucket.get_json(prefix + done)).at
            if at < as_of:
                continue
        tombstone = _read(bucket, prefix + name)
        if tombstone is not None:
            found.append(tombstone)
    return found


def replay(
    dsn: Dsn,
    bucket: Bucket,
    database: str,
    policy: PrivacyPolicy,
    secrets: Sequence[Secret],
    *,
    as_of: datetime | None = None,
) -> Replayed:
    """Erase from restored data everybody who was erased since it was taken. Call it before anyone connects.

    Every key of a subject that the database holds is hashed and looked up: in the table of the persons, and in every
    column of other tables that holds such a key, since a person's own row may be gone there already.

    Args:
        dsn: the restored database, as a role that may change it.
        bucket: of the tombstones.
        database: its name in the fleet file.
        policy: how persons are erased.
        secrets: the one of today, and those before it.
        as_of: the instant from which the data is: the start of the backup, or the target of the recovery. None applies
            every tombstone.

    Raises:
        Refused: a tombstone was keyed with a secret that is not there, or the policy does not fit the database.
    """
    known = tombstones(bucket, database, as_of)
    by_id = {secret.id: secret for secret in secrets}
    unknown = [one for one in known if one.key_id not in by_id]
    if unknown:
        raise Refused(
            f"{len(unknown)} tombstones were keyed with another secret ({unknown[0].key_id})",
            where=bucket.where(_key(bucket, database, f"{unknown[0].id}.json")),
            remedy='Give that secret in the connection\'s extra: {"previous": ["..."]}; let nobody in before',
        )
    if not known:
        return Replayed(0, 0, ())
    subject_map = read_map(dsn, database, policy)
    found, count = _matches(dsn, subject_map, known, by_id)
    log.info("%s tombstones, %s keys hashed, %s persons are there again", len(known), count, len(found))
    erased = tuple(erase(dsn, subject_map, Subject(key, (key,)), batch_rows=policy.batch_rows) for key in sorted(found))
    return Replayed(len(known), count, erased)


def _matches(
    dsn: Dsn, subject_map: SubjectMap, known: Sequence[Tombstone], by_id: dict[str, Secret]
) -> tuple[set[str], int]:
    """The keys that have a tombstone, and how many were looked at."""
    buried = {one for tombstone in known for one in tombstone.hashes}
    ways = {(by_id[one.key_id], one.table, one.column) for one in known}
    found: set[str] = set()
    count = 0
    for key in _keys(dsn, subject_map):
        count += 1
        if any(secret.subject(subject_map.database, table, column, key) in buried for secret, table, column in ways):
            found.add(key)
    return found, count


def _keys(dsn: Dsn, subject_map: SubjectMap) -> Iterator[str]:
    """Every key of a subject in the database, as text; memory stays flat."""
    # The holder of a cursor is idle for as long as its reader wants.
    limits = Limits(statement=0, idle_in_transaction=0)
    with subject_session(dsn, None, limits, readonly=True) as connection:
        connection.autocommit = False
        for relation, column, type_name in _columns(subject_map):
            statement = query(
                "privacy/keys.sql",
                text=key_text(column, type_name),
                table=identifier(relation),
                column=sql.Identifier(column),
            )
            with connection.cursor(name="keys") as cursor:
                cursor.itersize = _FETCH
                cursor.execute(statement)
                yield from (key for (key,) in cursor)
            connection.rollback()


def _columns(subject_map: SubjectMap) -> Iterator[tuple[Relation, str, str]]:
    """Every column that holds keys of subjects, with its type."""
    for table in subject_map.tables:
        names = {table.column} if table.column else set()
        for link in table.parents:
            if link.parent == subject_map.subject:
                names |= {
                    mine
                    for mine, theirs in zip(link.columns, link.referenced, strict=True)
                    if theirs == subject_map.key
                }
        for name in sorted(names):
            column = table.column_named(name)
            if column is not None:
                yield from ((relation, name, column.type) for relation in table.relations)


def _key(bucket: Bucket, database: str, name: str) -> str:
    return bucket.key(database, "tombstones") + "/" + name


def _read(bucket: Bucket, key: str) -> Tombstone | None:
    try:
        return _TOMBSTONE.validate_python(bucket.get_json(key))
    except NotThere:
        return None
    except ValidationError as error:
        raise Refused(
            f"This is no tombstone: {error.errors()[0]['msg']}",
            where=bucket.where(key),
            remedy="It was damaged, or written by a newer release: nobody may be let in until it can be read",
        ) from error
