"""What earlier runs began: found by the marker in a table's comment, and by the ledger."""

from __future__ import annotations

from dataclasses import dataclass

from pgops.include import sql_text
from pgops.ledger.partitions import PartitionState, partition_states
from pgops.partitions.archive import Subject
from pgops.partitions.place import RESTORED, RETIRING, Found, Place, find, session


@dataclass(frozen=True)
class Unfinished:
    """A table on its way, no longer visible through its parent: hand its oid to `advance`."""

    oid: int
    schema: str
    name: str
    parent: str


def unfinished(place: Place) -> tuple[Unfinished, ...]:
    """What earlier runs began: tables that are being detached or are detached, and wait for the next step."""
    with session(place) as connection:
        with connection.cursor() as cursor:
            cursor.execute(sql_text("partitions/retire/marked.sql"))
            oids = {oid for (oid,) in cursor.fetchall()}
        rows = {row.oid: row for row in partition_states(place.ledger, place.database)}
        oids |= {oid for oid, row in rows.items() if row.state not in ("attached", "dropped")}
        result = []
        for oid in sorted(oids):
            found, row = find(connection, oid), rows.get(oid)
            if found is None:
                assert row is not None
                result.append(Unfinished(oid, row.schema, row.name, row.parent))
            elif not found.attached and (subject := subject_of(found, row)) is not None:
                result.append(Unfinished(oid, found.schema, found.name, parent_of(subject)))
    return tuple(result)


def subject_of(found: Found, row: PartitionState | None) -> Subject | None:
    """Whose partition it is or was: the catalog says it, else the marker, else the ledger."""
    marker = found.marker
    own = (found.oid, found.schema, found.name)
    comment = marker.comment if marker else found.comment
    if found.parent_schema is not None and found.parent_name is not None:
        known = found.range or (marker.range if marker else "")
        return Subject(*own, found.parent_schema, found.parent_name, known, comment)
    if marker is not None and marker.kind in (RETIRING, RESTORED):
        return Subject(*own, marker.parent_schema, marker.parent_name, marker.range, comment)
    if row is not None and (row.schema, row.name) == (found.schema, found.name) and "parent" in row.facts:
        schema, name = row.facts["parent"]
        return Subject(*own, schema, name, row.range, comment)
    return None


def parent_of(subject: Subject) -> str:
    """As messages name it."""
    return f"{subject.parent_schema}.{subject.parent_name}"
