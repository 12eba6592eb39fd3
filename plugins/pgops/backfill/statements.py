"""The statements of a backfill on one physical table, put together from parts that were understood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg2 import sql

from pgops.backfill.spec import Spec
from pgops.include import query

Position = tuple[str, ...] | int  # a key, each column as text; or a page of the heap


@dataclass(frozen=True)
class KeyColumn:
    """A column of the key, with its type as the server writes it."""

    name: str
    type: str


@dataclass(frozen=True)
class Part:
    """One physical table: the table itself, or one of its partitions. Without a key it is walked page by page."""

    oid: int
    schema: str
    name: str
    key: tuple[KeyColumn, ...] = ()

    @property
    def title(self) -> str:
        """schema.name."""
        return f"{self.schema}.{self.name}"


class Statements:
    """Composes what is run on one part.

    The table is always called by the name that the specification has for it, whatever it is called now: so
    `users.email` means the same in a partition and after a rename.

    Args:
        skipped: the job whose skipped rows are left out.
    """

    def __init__(self, part: Part, spec: Spec, skipped: int | None = None) -> None:
        self.part = part
        self._table = sql.Identifier(part.schema, part.name)
        self._alias = sql.Identifier(spec.table)
        self._spec = spec
        self._keys = [sql.Identifier(spec.table, column.name) for column in part.key]
        predicate: sql.Composable = sql.SQL(spec.parsed[spec.where].sql)
        if skipped is not None:
            predicate = sql.SQL("({}) AND {}").format(
                predicate,
                query(
                    "backfill/work/not_skipped.sql",
                    job=sql.Literal(skipped),
                    part=sql.Literal(part.oid),
                    identity=self.identity,
                ),
            )
        self._predicate = predicate

    # --- what runs ---

    def update(self, rows: sql.Composable) -> sql.Composed:
        """The UPDATE of the rows in a range."""
        return self._query("work/update.sql", range=rows, assignments=self.assignments)

    def update_unlocked(self, rows: sql.Composable) -> sql.Composed:
        """The UPDATE of the rows in a range that nobody else holds."""
        return self._query("work/update_unlocked.sql", range=rows, assignments=self.assignments)

    def bound(self, rows: sql.Composable, count: int) -> sql.Composed:
        """The key at which `count` rows of a range end."""
        return self._query(
            "work/bound.sql",
            keys=sql.SQL(", ").join(self._keys),
            keys_as_text=self.keys_as_text,
            range=rows,
            order=self.order,
            rows=sql.Literal(count - 1),
            bare=True,
        )

    def probe(self, rows: sql.Composable) -> sql.Composed:
        """One row of a range that is still to do."""
        return self._query("work/probe.sql", identity=self.identity, range=rows)

    def pending(self, rows: sql.Composable, most: int) -> sql.Composed:
        """The rows of a small range that are still to do."""
        return self._query(
            "work/pending.sql", identity=self.identity, range=rows, order=self.order, rows=sql.Literal(most)
        )

    def vacuum(self) -> sql.Composed:
        """VACUUM of the part."""
        return query("backfill/work/vacuum.sql", table=self._table)

    def pages(self) -> sql.Composed:
        """How many pages the part has now."""
        return query("backfill/work/pages.sql", oid=sql.Literal(self.part.oid))

    def count(self, percent: float) -> sql.Composed:
        """Rows, and rows to do, on a share of the pages."""
        return self._query("plan/count.sql", percent=sql.Literal(percent))

    def cuts(self, parts: int, percent: float) -> sql.Composed:
        """The keys at the ends of `parts` parts of a sample."""
        return self._query(
            "plan/cuts.sql",
            keys=self.keys_as_text,
            order=self.order,
            parts=sql.Literal(parts),
            percent=sql.Literal(percent),
            bare=True,
        )

    def last(self) -> sql.Composed:
        """The greatest key."""
        descending = sql.SQL(", ").join(sql.SQL("{} DESC").format(key) for key in self._keys)
        return self._query("plan/last.sql", keys=self.keys_as_text, descending=descending, bare=True)

    def sample(self, types: Sequence[str], rows: int) -> sql.Composed:
        """A few rows before and after; `types` are those of the columns that are set."""
        pairs = list(zip(self._spec.assignments, types, strict=True))
        return self._query(
            "plan/sample.sql",
            identity=self.identity,
            before=sql.SQL(", ").join(
                sql.SQL("{}::text").format(sql.Identifier(self._spec.table, column)) for (column, _), _ in pairs
            ),
            after=sql.SQL(", ").join(
                sql.SQL("(({})::{})::text").format(sql.SQL(self._spec.parsed[text].sql), sql.SQL(type_))
                for (_, text), type_ in pairs
            ),
            rows=sql.Literal(rows),
        )

    def trial(self, rows: int) -> sql.Composed:
        """The UPDATE of a few rows, for a transaction that is rolled back."""
        return self._query(
            "plan/trial.sql", assignments=self.assignments, identity=self.identity, rows=sql.Literal(rows)
        )

    # --- parts of them ---

    @property
    def assignments(self) -> sql.Composable:
        """What stands after SET."""
        return sql.SQL(", ").join(
            sql.SQL("{} = ({})").format(sql.Identifier(column), sql.SQL(self._spec.parsed[text].sql))
            for column, text in self._spec.assignments
        )

    @property
    def keys_as_text(self) -> sql.Composable:
        """The key's columns as text, as checkpoints keep them."""
        return sql.SQL(", ").join(sql.SQL("{}::text").format(key) for key in self._keys)

    @property
    def order(self) -> sql.Composable:
        """What stands after ORDER BY."""
        return sql.SQL(", ").join(self._keys) if self._keys else self._ctid

    @property
    def identity(self) -> sql.Composable:
        """A row's name as jsonb: its key; without one its address and a hash of what it holds."""
        if self._keys:
            return sql.SQL("pg_catalog.jsonb_build_array({})").format(self.keys_as_text)
        return sql.SQL("pg_catalog.jsonb_build_array({}::text, pg_catalog.md5(({}.*)::text))").format(
            self._ctid, self._alias
        )

    def between(self, after: Position | None, upto: Position | None) -> sql.Composable:
        """A range: keys after the one and up to the other; or pages from the one to before the other."""
        if self._keys:
            limits = [("{} > {}", after), ("{} <= {}", upto)]
            return self._all(
                sql.SQL(form).format(self._row, self._key(key)) for form, key in limits if isinstance(key, tuple)
            )
        return self._all(
            sql.SQL(form).format(self._ctid, sql.Literal(f"({page},0)"))
            for form, page in (("{} >= {}::tid", after), ("{} < {}::tid", upto))
            if isinstance(page, int)
        )

    def one(self, ctid: str, identity: Sequence[str]) -> sql.Composable:
        """The range of one row."""
        if self._keys:
            return sql.SQL("{} = {}").format(self._row, self._key(identity))
        return sql.SQL("{} = {}::tid").format(self._ctid, sql.Literal(ctid))

    @property
    def _ctid(self) -> sql.Composable:
        return sql.SQL("{}.ctid").format(self._alias)

    @property
    def _row(self) -> sql.Composable:
        return sql.SQL("({})").format(sql.SQL(", ").join(self._keys))

    def _key(self, values: Sequence[str]) -> sql.Composable:
        return sql.SQL("({})").format(
            sql.SQL(", ").join(
                sql.SQL("{}::{}").format(sql.Literal(value), sql.SQL(column.type))  # the type as the server wrote it
                for value, column in zip(values, self.part.key, strict=True)
            )
        )

    @staticmethod
    def _all(conditions: object) -> sql.Composable:
        listed = list(conditions)  # type: ignore[call-overload]
        return sql.SQL(" AND ").join(listed) if listed else sql.SQL("true")

    def _query(self, name: str, *, bare: bool = False, **parts: sql.Composable) -> sql.Composed:
        predicate = {} if bare else {"predicate": self._predicate}
        return query(f"backfill/{name}", table=self._table, alias=self._alias, **predicate, **parts)
