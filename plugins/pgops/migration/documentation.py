"""The schema as a document: made anew after each deployment, and the same for the same schema, so it can be diffed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from pgops.include import sql_text
from pgops.postgres import Dsn, Limits, connect

APPLICATION = "pgops.migration.documentation"

_OF_TABLES = ("columns", "constraints", "indexes", "triggers", "partitions")

Row = Mapping[str, Any]
_Parts = Mapping[str, Mapping[int, Sequence[Row]]]


def schema_document(dsn: Dsn, title: str | None = None) -> str:
    """The schema as Markdown: tables with columns, keys, indexes, references and partitions; types; functions.

    No oid, no size, no time and no version is in it.

    Args:
        dsn: the database.
        title: its name in the document; of the fleet, since copies have other names.
    """
    with connect(dsn, APPLICATION, Limits(statement=600), readonly=True, system_names=True) as connection:
        tables = _rows(connection, "tables")
        parts = {kind: _by_table(_rows(connection, kind)) for kind in _OF_TABLES}
        types, functions = _rows(connection, "types"), _rows(connection, "functions")
        extensions = _rows(connection, "extensions")
    lines = [f"# Schema of {_text(title or dsn.dbname)}", ""]
    for schema in sorted({row["schema"] for row in (*tables, *types, *functions)}):
        lines += [f"## Schema {_code(schema)}", ""]
        for table in (row for row in tables if row["schema"] == schema):
            lines += _table(table, parts)
        lines += _types([row for row in types if row["schema"] == schema])
        lines += _functions([row for row in functions if row["schema"] == schema])
    if extensions:
        lines += ["## Extensions", "", *(f"- {_code(row['name'])}{_said(row['comment'])}" for row in extensions), ""]
    return "\n".join(lines).rstrip() + "\n"


def _rows(connection: Connection, kind: str) -> list[Row]:
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(sql_text(f"migration/document/{kind}.sql"))
        return list(cursor.fetchall())


def _by_table(rows: Iterable[Row]) -> Mapping[int, Sequence[Row]]:
    found: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["oid"]].append(row)
        if row.get("referenced_oid") is not None:
            found[-row["referenced_oid"]].append(row)  # under the negative oid: who points to this table
    return found


def _table(table: Row, parts: _Parts) -> Iterator[str]:
    oid = table["oid"]
    yield from (f"### {_code(table['name'])}", "", f"{table['kind'].capitalize()}.{_said(table['comment'], ' ')}", "")
    if table["partition_key"]:
        yield from (f"Partitioned by {_code(table['partition_key'])}.", "")
    if table["row_security"]:
        yield from ("Row security is on.", "")
    yield from ("| Column | Type | Nullable | Default | Comment |", "|---|---|---|---|---|")
    for column in parts["columns"].get(oid, ()):
        cells = (_code(column["name"]), _code(column["type"]), "yes" if column["nullable"] else "no")
        yield _line(*cells, _code(column["default_value"]), _text(column["comment"]))
    yield ""
    keys = [
        f"{key['kind']} {_code(key['name'])}: {_code(key['definition'])}" for key in parts["constraints"].get(oid, ())
    ]
    yield from _list("Keys and checks", keys)
    references = parts["constraints"].get(-oid, ())
    yield from _list(
        "Referenced by",
        sorted(f"{_code(one['table_name'])}: {_code(one['name'])}, {_code(one['definition'])}" for one in references),
    )
    indexes = parts["indexes"].get(oid, ())
    yield from _list(
        "Indexes", [_code(one["definition"]) + ("" if one["valid"] else " **INVALID**") for one in indexes]
    )
    triggers = parts["triggers"].get(oid, ())
    yield from _list(
        "Triggers", [_code(one["definition"]) + ("" if one["enabled"] else " (disabled)") for one in triggers]
    )
    yield from _list("Partitions", [_partition(one) for one in parts["partitions"].get(oid, ())])
    if table["definition"]:
        yield from ("```sql", table["definition"].strip(), "```", "")


def _partition(row: Row) -> str:
    further = f", partitioned by {_code(row['partition_key'])}" if row["partition_key"] else ""
    return f"{_code(row['name'])}: {_code(row['bounds'])}{further}"


def _types(rows: Sequence[Row]) -> Iterator[str]:
    if rows:
        yield from ("### Types", "", "| Type | Kind | Definition | Comment |", "|---|---|---|---|")
        for row in rows:
            yield _line(_code(row["name"]), row["kind"], _code(row["definition"]), _text(row["comment"]))
        yield ""


def _functions(rows: Sequence[Row]) -> Iterator[str]:
    if rows:
        yield from ("### Functions", "", "| Function | Kind | Returns | Language | Comment |", "|---|---|---|---|---|")
        for row in rows:
            language = row["language"] + (", security definer" if row["security_definer"] else "")
            cells = (_code(row["name"]), row["kind"], _code(row["result"]), language)
            yield _line(*cells, _text(row["comment"]))
        yield ""


def _list(title: str, entries: Sequence[str]) -> Iterator[str]:
    if entries:
        yield from (f"{title}:", "", *(f"- {entry}" for entry in entries), "")


def _line(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _said(comment: str | None, before: str = ": ") -> str:
    return before + _text(comment) if comment else ""


def _text(text: str | None) -> str:
    """In one line, and without what Markdown or HTML would take for its own."""
    plain = " ".join((text or "").split())
    for sign in "\\`*_<[":
        plain = plain.replace(sign, "\\" + sign)
    return plain


def _code(text: str | None) -> str:
    """As code in one line; a longer fence where the text has backticks itself."""
    plain = " ".join((text or "").split())
    if not plain:
        return ""
    return f"`` {plain} ``" if "`" in plain else f"`{plain}`"
