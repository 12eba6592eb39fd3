"""Who was erased stays erased after a restore; who they were, no tombstone tells."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pgops.errors import Refused
from pgops.privacy import (
    Secret,
    Tombstone,
    erase,
    finish_tombstone,
    hashes,
    identify,
    read_map,
    replay,
    search,
    tombstones,
    write_tombstone,
)
from tests.privacy.conftest import SECRET, everything

ID = "20260101T000000Z-abcdef"
SECRETS = (Secret(SECRET),)


def bury(dsn, bucket, policy, key="7", request_id=ID, secret=SECRETS[0]) -> Tombstone:
    mapped = read_map(dsn, "app", policy)
    buried = Tombstone(
        id=request_id,
        database="app",
        table=policy.subject,
        column=policy.key,
        key_id=secret.id,
        hashes=hashes(secret, "app", policy, identify(dsn, mapped, key)),
        requested_by="ann",
        approved_by="op",
        at=datetime.now(UTC),
    )
    return write_tombstone(bucket, buried)


def rows_of(dsn, policy, key="7"):
    mapped = read_map(dsn, "app", policy)
    return search(dsn, mapped, identify(dsn, mapped, key)).rows


def test_a_tombstone_names_nobody(one_shop, bucket, policy):
    buried = bury(one_shop, bucket, policy(key="email", tables=[]), "seven@example.com")
    body = bucket.open([bucket.key("app", "tombstones", f"{ID}.json")]).read().decode()
    assert "seven" not in body and SECRET not in body and buried.hashes[0] in body
    assert tombstones(bucket, "app") == [buried]


def test_the_same_person_has_another_hash_in_another_database_and_with_another_secret():
    secret, other = Secret(SECRET), Secret(SECRET + "2")
    found = {
        secret.subject("app", "public.users", "id", "7"),
        secret.subject("crm", "public.users", "id", "7"),
        secret.subject("app", "public.people", "id", "7"),
        secret.subject("app", "public.users", "id", "8"),
        other.subject("app", "public.users", "id", "7"),
    }
    assert len(found) == 5 and secret.id != other.id and SECRET not in repr(secret)


def test_a_short_secret_is_refused():
    with pytest.raises(Refused, match="shorter than 16"):
        Secret("short")


def test_after_a_restore_the_person_goes_again_and_nobody_else(shop, bucket, policy, execute):
    """The shop was not erased: it is what a restore brings back."""
    bury(shop, bucket, policy())
    done = replay(shop, bucket, "app", policy(), SECRETS)
    assert (done.tombstones, len(done.erased)) == (1, 1) and done.keys > 2
    assert rows_of(shop, policy()) == 0 and rows_of(shop, policy(), "8") > 0
    before = everything(execute, shop)
    again = replay(shop, bucket, "app", policy(), SECRETS)
    assert again.erased == () and everything(execute, shop) == before


def test_rows_without_their_persons_row_are_found_by_their_own_column(one_shop, bucket, policy, execute):
    bury(one_shop, bucket, policy())
    mapped = read_map(one_shop, "app", policy())
    erase(one_shop, mapped, identify(one_shop, mapped, "7"), batch_rows=10)
    execute(one_shop, "INSERT INTO history VALUES ('7', 'came with a dump', '2026-02-05')")
    assert len(replay(one_shop, bucket, "app", policy(), SECRETS).erased) == 1
    assert execute(one_shop, "SELECT count(*) FROM history WHERE user_id = '7'") == [(0,)]


def test_without_tombstones_nothing_is_read(database, bucket, policy):
    assert replay(database, bucket, "app", policy(), SECRETS).keys == 0, "not even the table of persons is needed"


def test_an_erasure_that_ended_before_the_data_was_taken_is_not_repeated(one_shop, bucket, policy):
    """The person may have come back since, under the same key."""
    bury(one_shop, bucket, policy())
    ended = datetime.now(UTC)
    taken = ended + timedelta(hours=1)
    assert len(tombstones(bucket, "app", as_of=taken)) == 1, "it has not ended"
    finish_tombstone(bucket, "app", ID, ended)
    assert replay(one_shop, bucket, "app", policy(), SECRETS, as_of=taken).tombstones == 0
    assert rows_of(one_shop, policy()) > 0
    assert len(replay(one_shop, bucket, "app", policy(), SECRETS, as_of=ended - timedelta(hours=1)).erased) == 1


def test_a_tombstone_of_another_secret_stops_the_restore_until_that_secret_is_given(one_shop, bucket, policy):
    bury(one_shop, bucket, policy(), secret=Secret(SECRET + " of last year"))
    with pytest.raises(Refused, match="keyed with another secret"):
        replay(one_shop, bucket, "app", policy(), SECRETS)
    secrets = (*SECRETS, Secret(SECRET + " of last year"))
    assert len(replay(one_shop, bucket, "app", policy(), secrets).erased) == 1


def test_a_damaged_tombstone_stops_the_restore(one_shop, bucket, policy):
    bury(one_shop, bucket, policy())
    bucket.put(bucket.key("app", "tombstones", f"{ID}.json"), b'{"id": 1}', "application/json")
    with pytest.raises(Refused, match="This is no tombstone"):
        replay(one_shop, bucket, "app", policy(), SECRETS)


def test_a_second_try_finds_its_tombstone_and_another_person_does_not_get_it(one_shop, bucket, policy):
    first = bury(one_shop, bucket, policy())
    assert bury(one_shop, bucket, policy()) == first
    with pytest.raises(Refused, match="another person's"):
        bury(one_shop, bucket, policy(), "8")


def test_a_key_that_compares_equal_has_the_same_hash(one_shop, bucket, policy, execute):
    execute(one_shop, "CREATE TABLE accounts (n numeric PRIMARY KEY); INSERT INTO accounts VALUES (1.50), (2)")
    by_number = policy(subject="public.accounts", key="n", tables=[])
    bury(one_shop, bucket, by_number, "1.5")
    assert len(replay(one_shop, bucket, "app", by_number, SECRETS).erased) == 1
    assert execute(one_shop, "SELECT n FROM accounts") == [(2,)]
