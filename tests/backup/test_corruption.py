"""Damage that happened anywhere between pg_dump and the bucket is found, and a damaged dump never counts."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest

from pgops.backup.verify import verify_draft
from pgops.errors import PgOpsError
from pgops.fleet import BackupPolicy
from pgops.postgres import Dsn
from pgops.recovery import compare, restore
from tests.nights import Night, execute

TABLES = ("alpha", "beta", "gamma", "delta", "epsilon")
Damage = Callable[[bytearray, random.Random], None]


def truncate(data: bytearray, random_: random.Random) -> None:
    del data[random_.choice([len(data) - 1, random_.randrange(len(data)), len(data) // 2, 0]) :]


def flip_a_bit(data: bytearray, random_: random.Random) -> None:
    data[random_.randrange(len(data))] ^= 1 << random_.randrange(8)


def zero_a_block(data: bytearray, random_: random.Random) -> None:
    start = random_.randrange(max(len(data) - 4096, 1))
    data[start : start + 4096] = bytes(len(data[start : start + 4096]))


def append(data: bytearray, random_: random.Random) -> None:
    data += random_.randbytes(random_.randint(1, 5000))


DAMAGES: tuple[Damage, ...] = (truncate, truncate, flip_a_bit, flip_a_bit, flip_a_bit, zero_a_block, append)


def fill(dsn: Dsn) -> None:
    for table in TABLES:
        execute(
            dsn,
            f"CREATE TABLE {table} (id int PRIMARY KEY, word text, data text)",
            f"INSERT INTO {table} SELECT g, 'word-of-{table}-' || g, md5(g::text) || md5((g * 7)::text)"
            " FROM generate_series(1, 2500) g",
        )


@pytest.mark.slow
@pytest.mark.parametrize(("compression", "count"), [("zstd", 67), ("gzip", 67), ("none", 66)])
def test_every_damage_to_a_stored_dump_is_found(night, compression, count):
    fill(night.dsn)
    night.policy = BackupPolicy(compression=compression)
    dumped = night.dump()
    draft = night.catalog.draft(dumped.backup_id)
    verify_draft(night.catalog, draft)  # undamaged it passes
    (key,) = night.catalog.keys(dumped.backup_id, draft.manifest.objects)
    good = night.bucket.open([key]).read()
    random_ = random.Random(42)
    total: Counter[str] = Counter()
    detected: Counter[str] = Counter()
    for number in range(count):
        damage = DAMAGES[number % len(DAMAGES)]
        damaged = bytearray(good)
        damage(damaged, random_)
        if bytes(damaged) == good:  # a block of zeros in zeros
            flip_a_bit(damaged, random_)
        night.bucket.client.put_object(Bucket=night.bucket.name, Key=key, Body=bytes(damaged))
        total[damage.__name__] += 1
        try:
            verify_draft(night.catalog, draft)
        except PgOpsError:
            detected[damage.__name__] += 1
        assert night.catalog.backups() == []
    for name in total:
        print(f"{compression:5} {name:14} {detected[name]:3} of {total[name]:3} detected")
    assert detected == total


# What a broken pg_dump, a broken pipe or a dump in another snapshot would hand over, with a hash that fits it.
BEFORE_THE_HASH: dict[str, tuple[str, str]] = {}
for table in TABLES[:4]:
    BEFORE_THE_HASH[f"the data of {table} missing"] = (f'$REAL --exclude-table-data=public.{table} "$@"', "no data")
BEFORE_THE_HASH["the table epsilon missing"] = ('$REAL --exclude-table=public.epsilon "$@"', "not in the dump")
for share in (10, 40, 70, 95, 99):
    BEFORE_THE_HASH[f"the stream cut at {share} %"] = (
        f'$REAL "$@" > $0.out; head -c $(( $(stat -c %s $0.out) * {share} / 100 )) $0.out',
        "cannot decode|not in the dump|rows|no data",
    )
for table in TABLES[:3]:
    BEFORE_THE_HASH[f"a line of {table} split in two"] = (
        # A newline in the place of a character of the first column's value: one row more, as a lost escape would make.
        f"$REAL \"$@\" | LC_ALL=C sed 's/word-of-{table}-17\\t/word-of-{table}\\n17\\t/'",
        "2501 rows",
    )
for table in TABLES[:2]:
    BEFORE_THE_HASH[f"a line of {table} joined to the next"] = (
        f"$REAL \"$@\" | LC_ALL=C sed '/word-of-{table}-30\\t/{{N;s/\\n/ /}}'",
        "2499 rows",
    )
CHANGED = {
    f"a value of {table} changed": f"$REAL \"$@\" | LC_ALL=C sed 's/word-of-{table}-{n}\\t/word-of-{table}-{n + 1}\\t/'"
    for n, table in enumerate(TABLES, 101)
}
assert len(BEFORE_THE_HASH) + len(CHANGED) == 20


@pytest.mark.parametrize(("script", "said"), BEFORE_THE_HASH.values(), ids=BEFORE_THE_HASH)
def test_rows_that_went_missing_before_the_hash_are_found_by_verify(night, failing_pg_dump, script, said):
    fill(night.dsn)
    with failing_pg_dump(script):
        dumped = night.dump()
    with pytest.raises(PgOpsError, match=said):
        night.verify(dumped.backup_id)
    assert night.catalog.backups() == []


@pytest.mark.parametrize("script", CHANGED.values(), ids=CHANGED)
def test_rows_that_were_changed_before_the_hash_are_found_by_the_drill(night: Night, failing_pg_dump, postgres, script):
    fill(night.dsn)
    with failing_pg_dump(script):
        dumped = night.dump()
    committed = night.commit(night.verify(dumped.backup_id))  # nothing here could know
    scratch = night.dsn.on(f"{night.dsn.dbname}_scratch")
    postgres.execute(f"CREATE DATABASE {scratch.dbname}")
    try:
        restore(night.catalog, committed.backup_id, scratch, jobs=1)
        check = compare(night.catalog, committed.backup_id, scratch, jobs=1)
    finally:
        postgres.execute(f"DROP DATABASE {scratch.dbname} WITH (FORCE)")
    assert not check.passed
    (problem,) = check.problems
    assert "2500 rows as the source, but other contents" in problem
