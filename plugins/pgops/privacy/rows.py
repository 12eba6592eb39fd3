"""The SQL that finds a subject's rows. The key itself stands in none of it: see set_subject.sql."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg2 import sql

from pgops.privacy.model import Link, MappedTable, Relation, SubjectMap

# Longer than a name may be in use by chance: an alias must not be a column of the table that it stands for.
ROW = sql.Identifier("subject_row")


def identifier(relation: Relation) -> sql.Identifier:
    """The table's name, quoted."""
    return sql.Identifier(relation.schema, relation.name)


def columns_of(names: Sequence[str]) -> sql.Composed:
    """Columns of the row at hand."""
    return sql.SQL(", ").join(sql.SQL("{}.{}").format(ROW, sql.Identifier(name)) for name in names)


def key_text(column: str, type_name: str) -> sql.Composed:
    """A key as text, the same for keys that are equal."""
    value = columns_of([column])
    if type_name == "numeric":
        return sql.SQL("pg_catalog.trim_scale({})::text").format(value)
    if type_name.rpartition(".")[2] == "citext":
        return sql.SQL("pg_catalog.lower({}::text)").format(value)
    return sql.SQL("{}::text").format(value)


def conditions(subject_map: SubjectMap, table: MappedTable) -> list[sql.Composed]:
    """The ways in which a row of the table belongs to the subject."""
    ways = _base(subject_map, table)
    for link in table.cascades:
        ways.append(_within(link.referenced, _closure(subject_map, table, link)))
    return ways


def condition(subject_map: SubjectMap, table: MappedTable) -> sql.Composed:
    """Whether a row of the table belongs to the subject."""
    return sql.SQL("({})").format(sql.SQL(" OR ").join(conditions(subject_map, table)))


def rows(
    subject_map: SubjectMap,
    table: MappedTable,
    source: sql.Composable,
    wanted: sql.Composable,
    further: sql.Composable | None = None,
    *,
    once: bool = False,
) -> sql.Composed:
    """Select from `source` the subject's rows, each way by itself, so that each can use its index.

    Args:
        source: the table, or one that stores its rows; with ONLY or without.
        wanted: what is selected.
        further: a condition on the row besides.
        once: each row once, whichever ways lead to it.
    """
    also = sql.SQL(" AND {}").format(further) if further is not None else sql.SQL("")
    parts = [
        sql.SQL("SELECT {} FROM {} AS {} WHERE {}{}").format(wanted, source, ROW, way, also)
        for way in conditions(subject_map, table)
    ]
    return sql.SQL(" UNION " if once else " UNION ALL ").join(parts)


def referencing(subject_map: SubjectMap, link: Link, source: sql.Composable, wanted: sql.Composable) -> sql.Composed:
    """Select from `source` the rows, anybody's, whose foreign key names a row of the subject."""
    parent = subject_map.table(link.parent)
    return sql.SQL("SELECT {} FROM {} AS {} WHERE {}").format(
        wanted, source, ROW, _within(link.columns, _values(subject_map, parent, link.referenced))
    )


def key_columns(subject_map: SubjectMap, table: MappedTable) -> tuple[str, ...]:
    """Columns of the table that name the person by themselves; none where rows of other tables lead to its rows."""
    linked = [_holds_the_key(subject_map, link) for link in table.parents]
    return tuple(dict.fromkeys(name for name in (table.column, *linked) if name))


def _base(subject_map: SubjectMap, table: MappedTable) -> list[sql.Composed]:
    ways = []
    for link in table.parents:
        column = _holds_the_key(subject_map, link)
        if column is None:
            parent = subject_map.table(link.parent)
            ways.append(_within(link.columns, _values(subject_map, parent, link.referenced)))
        elif column != table.column:
            ways.append(_is_the_key(column, subject_map.key_type))
    if table.column:
        ways.append(_is_the_key(table.column, table.column_type))
    return ways


def _holds_the_key(subject_map: SubjectMap, link: Link) -> str | None:
    """The column of a foreign key that names the person by itself, also where the rest of the key is NULL."""
    if link.parent != subject_map.subject or subject_map.key not in link.referenced:
        return None
    key = subject_map.subject_table.column_named(subject_map.key)
    if key is None or not key.unique:
        return None
    return link.columns[link.referenced.index(subject_map.key)]


def _is_the_key(column: str, type_name: str) -> sql.Composed:
    """A subquery is evaluated once, and an index can still be used."""
    key = sql.SQL("(SELECT pg_catalog.current_setting('pgops.subject')::{})").format(sql.SQL(type_name))
    return sql.SQL("{} = {}").format(columns_of([column]), key)


def _within(columns: Sequence[str], select: sql.Composable) -> sql.Composed:
    return sql.SQL("({}) IN ({})").format(columns_of(columns), select)


def _values(subject_map: SubjectMap, table: MappedTable, columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(" UNION ALL ").join(
        rows(subject_map, table, identifier(relation), columns_of(columns)) for relation in table.relations
    )


def _closure(subject_map: SubjectMap, table: MappedTable, link: Link) -> sql.Composed:
    """The values that `link` references, of the subject's rows and of all that hang on them."""
    source = identifier(table.relations[0])
    base = sql.SQL(" UNION ").join(
        sql.SQL("SELECT {} FROM {} AS {} WHERE {}").format(columns_of(link.referenced), source, ROW, way)
        for way in _base(subject_map, table)
    )
    names = sql.SQL(", ").join(sql.Identifier(f"k{position}") for position in range(len(link.columns)))
    joined = sql.SQL(" AND ").join(
        sql.SQL("{}.{} = owned.{}").format(ROW, sql.Identifier(name), sql.Identifier(f"k{position}"))
        for position, name in enumerate(link.columns)
    )
    return sql.SQL(
        "WITH RECURSIVE owned ({names}) AS (SELECT * FROM ({base}) AS base UNION"
        " SELECT {referenced} FROM {source} AS {row} JOIN owned ON {joined}) SELECT * FROM owned"
    ).format(names=names, base=base, referenced=columns_of(link.referenced), source=source, row=ROW, joined=joined)
