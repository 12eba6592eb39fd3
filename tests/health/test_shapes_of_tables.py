"""Checks that judge shapes of schemas: each shape that is wrong is named, none that is right."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

import psycopg2
import pytest
from psycopg2.errors import UniqueViolation

from pgops.health import Status, Target, run
from pgops.postgres import Dsn
from tests.health.scenes import check_named


def prepare(dsn: Dsn, statements: str) -> None:
    with closing(psycopg2.connect(dsn.conninfo(), password=dsn.password)) as connection:
        connection.autocommit = True
        for statement in statements.split(";\n"):
            if statement.strip():
                connection.cursor().execute(statement)


def found(dsn: Dsn, check: str, facts: Mapping[str, str] | None = None) -> dict[str, Status]:
    report = run(Target("shapes", dsn, facts=facts or {}), checks=[check_named(check)])
    assert not report.blind, report.blind
    return {one.object: one.status for one in report.findings}


UNINDEXED = """
CREATE TABLE users (id bigint PRIMARY KEY);
CREATE TABLE pairs (a int, b int, PRIMARY KEY (a, b));
CREATE TABLE bare (uid bigint REFERENCES users);
CREATE TABLE partial (uid bigint REFERENCES users, st text);
CREATE INDEX ON partial (uid) WHERE st = 'active';
CREATE TABLE wrong_order (ts date, uid bigint REFERENCES users);
CREATE INDEX ON wrong_order (ts, uid);
CREATE TABLE interrupted (a int, x int, b int, FOREIGN KEY (a, b) REFERENCES pairs);
CREATE INDEX ON interrupted (a, x, b);
CREATE TABLE included (n int, uid bigint REFERENCES users);
CREATE INDEX ON included (n) INCLUDE (uid);
CREATE TABLE brin (uid bigint REFERENCES users);
CREATE INDEX ON brin USING brin (uid);
CREATE TABLE invalid (uid bigint CONSTRAINT "the ""FK"" key" REFERENCES users);
INSERT INTO users VALUES (1);
INSERT INTO invalid VALUES (1), (1);
CREATE TABLE half (a int, b int, FOREIGN KEY (a, b) REFERENCES pairs);
CREATE INDEX ON half (a);
CREATE TABLE parted (uid bigint REFERENCES users, n int) PARTITION BY RANGE (n);
CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (10) TO (20);
ANALYZE parted;
"""
INDEXED = """
CREATE TABLE plain (uid bigint REFERENCES users, n int);
CREATE INDEX ON plain (uid, n);
CREATE TABLE hashed (uid bigint REFERENCES users);
CREATE INDEX ON hashed USING hash (uid);
CREATE TABLE reversed (a int, b int, FOREIGN KEY (a, b) REFERENCES pairs);
CREATE INDEX ON reversed (b, a);
CREATE TABLE not_null ("the uid" bigint REFERENCES users);
CREATE INDEX ON not_null ("the uid") WHERE "the uid" IS NOT NULL;
CREATE TABLE both_not_null (a int, b int, FOREIGN KEY (a, b) REFERENCES pairs);
CREATE INDEX ON both_not_null (a, b) WHERE b IS NOT NULL AND a IS NOT NULL;
CREATE TABLE parted_well (uid bigint REFERENCES users, n int) PARTITION BY RANGE (n);
CREATE TABLE parted_well_low PARTITION OF parted_well FOR VALUES FROM (0) TO (10);
CREATE INDEX ON parted_well (uid);
"""


def test_a_missing_foreign_key_index_is_found_in_each_of_nine_shapes_and_nowhere_else(each_database: Dsn) -> None:
    prepare(each_database, UNINDEXED)
    with pytest.raises(UniqueViolation):
        prepare(each_database, "CREATE UNIQUE INDEX CONCURRENTLY ON invalid (uid)")
    prepare(each_database, INDEXED)
    assert set(found(each_database, "missing_fk_index")) == {
        "public.bare.bare_uid_fkey",
        "public.partial.partial_uid_fkey",
        "public.wrong_order.wrong_order_uid_fkey",
        "public.interrupted.interrupted_a_b_fkey",
        "public.included.included_uid_fkey",
        "public.brin.brin_uid_fkey",
        'public.invalid."the ""FK"" key"',
        "public.half.half_a_b_fkey",
        "public.parted.parted_uid_fkey",
    }
    report = run(Target("shapes", each_database), checks=[check_named("missing_fk_index")])
    whole = [one.mend.replace("CREATE INDEX ON ONLY", "") for one in report.findings]
    locking = [mend for mend in whole if "CREATE INDEX ON" in mend]
    assert not locking, "an index of a partitioned table cannot be made CONCURRENTLY: nobody may write meanwhile"


HORIZONS = """
CREATE TABLE empty (at timestamptz) PARTITION BY RANGE (at);
CREATE TABLE monthly (at date) PARTITION BY RANGE (at);
CREATE TABLE monthly_11 PARTITION OF monthly FOR VALUES FROM ('2026-11-01') TO ('2026-12-01');
CREATE TABLE monthly_12 PARTITION OF monthly FOR VALUES FROM ('2026-12-01') TO ('2027-01-01');
CREATE TABLE monthly_gap PARTITION OF monthly FOR VALUES FROM ('2027-02-01') TO ('2027-03-01');
CREATE TABLE past (at timestamp) PARTITION BY RANGE (at);
CREATE TABLE past_10 PARTITION OF past FOR VALUES FROM ('2026-10-01') TO ('2026-11-01');
CREATE TABLE past_rest PARTITION OF past DEFAULT;
CREATE TABLE daily (at timestamptz) PARTITION BY RANGE (at);
CREATE TABLE daily_23 PARTITION OF daily FOR VALUES FROM ('2026-11-23 00:00+00') TO ('2026-11-24 00:00+00');
CREATE TABLE daily_24 PARTITION OF daily FOR VALUES FROM ('2026-11-24 00:00+00') TO ('2026-11-25 00:00+00');
CREATE TABLE yearly (at date) PARTITION BY RANGE (at);
CREATE TABLE yearly_26 PARTITION OF yearly FOR VALUES FROM (MINVALUE) TO ('2027-01-01');
CREATE TABLE yearly_27 PARTITION OF yearly FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');
CREATE TABLE endless (at date) PARTITION BY RANGE (at);
CREATE TABLE endless_all PARTITION OF endless FOR VALUES FROM ('2026-01-01') TO (MAXVALUE);
CREATE TABLE listed (at date) PARTITION BY LIST (at);
CREATE TABLE numbered (n int) PARTITION BY RANGE (n);
CREATE TABLE numbered_1 PARTITION OF numbered FOR VALUES FROM (-10) TO (0);
CREATE TABLE numbered_2 PARTITION OF numbered FOR VALUES FROM (0) TO (10);
"""


def test_the_horizon_of_partitions_is_told_by_their_bounds(each_database: Dsn) -> None:
    prepare(each_database, HORIZONS)
    assert found(each_database, "next_partitions", {"today": "2026-11-23 12:00+00"}) == {
        "public.empty": Status.CRIT,
        "public.monthly": Status.WARN,
        "public.past": Status.WARN,  # a DEFAULT partition takes the rows
        "public.daily": Status.WARN,
    }
    assert set(found(each_database, "partition_gaps")) == {"public.monthly"}


INDEXES = """
CREATE TABLE t (a int PRIMARY KEY, b int, c int);
CREATE UNIQUE INDEX same_as_key ON t (a);
CREATE INDEX not_unique ON t (a);
CREATE INDEX b ON t (b);
CREATE INDEX b_again ON t (b);
CREATE INDEX b_descending ON t (b DESC);
CREATE INDEX b_hash ON t USING hash (b);
CREATE INDEX b_some ON t (b) WHERE a > 1;
CREATE INDEX b_c ON t (b) INCLUDE (c);
"""


def test_only_exact_twins_are_duplicates(each_database: Dsn) -> None:
    prepare(each_database, INDEXES)
    assert set(found(each_database, "duplicate_indexes")) == {"public.same_as_key", "public.b_again"}


NEEDED = """
CREATE TABLE pointed (a int);
CREATE UNIQUE INDEX pointed_to ON pointed (a);
ALTER TABLE pointed ADD PRIMARY KEY (a);
CREATE TABLE child (a int REFERENCES pointed (a));
CREATE TABLE booked (room int, EXCLUDE USING btree (room WITH =), seat int);
CREATE INDEX ON booked (room, seat);
"""


def test_an_index_that_something_stands_on_is_no_twin_too_many(each_database: Dsn) -> None:
    """A foreign key points to one that is no constraint; an exclusion constraint is an index: no drop would pass."""
    prepare(each_database, NEEDED)
    assert not found(each_database, "duplicate_indexes") and not found(each_database, "redundant_indexes")
