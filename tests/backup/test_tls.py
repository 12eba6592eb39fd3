"""What a connection's extras ask for holds for every program; what they do not ask for is said, or refused."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgops.backup import preflight, sources
from pgops.errors import Refused
from pgops.fleet import BackupPolicy
from pgops.postgres import DatabaseError, Dsn, check_tls, client_program
from pgops.processes import Program, ProgramFailed
from pgops.recovery import run_amcheck
from sandbox.postgres import PostgresServer
from tests import servers
from tests.certificates import Authority, over_tls, speak_tls
from tests.drills import drilled
from tests.nights import Night, execute


@pytest.fixture(scope="module")
def speaking() -> Iterator[tuple[PostgresServer, Path]]:
    with servers.running_postgres(servers.MAJORS[0]) as server:
        yield server, speak_tls(server)


@pytest.fixture
def plain(speaking) -> Iterator[Dsn]:
    with servers.fresh_database(speaking[0]) as dsn:
        yield dsn


@pytest.fixture
def verified(plain, speaking) -> Dsn:
    return over_tls(plain, sslmode="verify-full", sslrootcert=str(speaking[1]))


@pytest.fixture
def strangers_authority(tmp_path) -> str:
    path = tmp_path / "stranger.pem"
    path.write_bytes(Authority("a stranger").certificate())
    return str(path)


def test_a_night_and_its_drill_go_over_verified_tls_with_every_program(verified, bucket, ledger):
    """The server refuses this role without TLS: psycopg2, pg_dump, pg_dumpall, pg_restore and pg_amcheck used it."""
    execute(verified, "CREATE TABLE t (x int PRIMARY KEY)", "INSERT INTO t SELECT generate_series(1, 100)")
    night = Night(verified, bucket, ledger)
    assert drilled(night).problems == ()
    execute(verified, "CREATE EXTENSION IF NOT EXISTS amcheck")
    check = run_amcheck(verified, 1)
    assert (check.problems, check.skipped) == ((), "")


def test_the_role_of_these_tests_really_cannot_come_without_tls(plain):
    with pytest.raises(DatabaseError, match="rejects connection"):
        execute(over_tls(plain, sslmode="disable"), "SELECT 1")


def test_an_authority_that_is_not_ours_is_refused_by_sessions_and_by_programs(plain, speaking, strangers_authority):
    wrong = over_tls(plain, sslmode="verify-full", sslrootcert=strangers_authority)
    with pytest.raises(DatabaseError, match="certificate verify failed"):
        execute(wrong, "SELECT 1")
    program = str(client_program("pg_dump", speaking[0].binaries.major * 10000))
    argv = [program, "--schema-only", f"--dbname={wrong.conninfo()}"]
    with (
        pytest.raises(ProgramFailed, match="certificate verify failed"),
        Program(argv, where=wrong.where, env=wrong.environment("the.tests"), stdout=subprocess.PIPE) as running,
    ):
        running.stdout.read()
        running.wait()
    assert run_amcheck_fails(wrong)


def run_amcheck_fails(dsn: Dsn) -> bool:
    """Whether pg_amcheck, which takes no connection string, heeds the extras too."""
    program = str(client_program("pg_amcheck", servers.MAJORS[0] * 10000))
    environment = {**os.environ, **dsn.variables(), **dsn.environment("the.tests")}
    argv = [program, f"--host={dsn.host}", f"--port={dsn.port}", f"--username={dsn.user}", dsn.dbname]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    return done.returncode != 0 and "certificate verify failed" in done.stderr


def test_a_certificate_of_another_name_is_refused_with_verify_full(verified, speaking):
    elsewhere = Dsn(
        "127.0.0.1", verified.port, verified.dbname, verified.user, verified.password, dict(verified.options)
    )
    with pytest.raises(DatabaseError, match="does not match host name"):
        execute(elsewhere, "SELECT 1")


@pytest.mark.parametrize(
    ("policy", "options", "outcome"),
    [
        ("verified", {"sslmode": "verify-full"}, ""),
        ("required", {"sslmode": "verify-full"}, ""),
        ("required", {"sslmode": "require"}, "nobody checks that it is this server"),
        ("required", {"sslmode": "prefer"}, "REFUSED the next one need not be"),
        ("required", {"sslmode": "disable"}, "REFUSED is not encrypted"),
        ("verified", {"sslmode": "require"}, "REFUSED nobody checks"),
        ("verified", {"sslmode": "verify-ca"}, "REFUSED nobody checks"),
        ("verified", {"sslmode": "disable"}, "REFUSED is not encrypted"),
        ("warn", {"sslmode": "disable"}, ""),  # an address of this machine
        ("off", {"sslmode": "disable"}, ""),
    ],
)
def test_what_each_policy_says_of_each_way(plain, speaking, policy, options, outcome):
    root = {"sslrootcert": str(speaking[1])} if options["sslmode"].startswith("verify") else {}
    dsn = Dsn("localhost", plain.port, plain.dbname, plain.user, plain.password, options | root)
    if outcome.startswith("REFUSED"):
        with pytest.raises(Refused, match=outcome.removeprefix("REFUSED ")) as caught:
            check_tls(dsn, policy, "the.tests")
        assert "sslmode=verify-full" in caught.value.remedy
    else:
        notes = check_tls(dsn, policy, "the.tests")
        assert len(notes) == bool(outcome) and all(outcome in note for note in notes)


def test_a_preflight_refuses_a_way_that_the_policy_does_not_allow_and_writes_nothing(plain, bucket, ledger):
    found, notes = sources(plain, None, BackupPolicy())
    night = Night(plain, bucket, ledger)
    with pytest.raises(Refused, match="sslmode=prefer"):
        preflight("app", found, notes, bucket, night.lease, "required")
    assert night.stored() == []


def test_extras_become_variables_for_programs_that_take_no_connection_string():
    options = {
        "sslmode": "verify-full",
        "ssl_min_protocol_version": "TLSv1.3",
        "channel_binding": "require",
        "connect_timeout": "5",
        "options": "-c work_mem=1MB",
    }
    assert Dsn("h", 1, "d", "u", "p", options).variables() == {
        "PGSSLMODE": "verify-full",
        "PGSSLMINPROTOCOLVERSION": "TLSv1.3",
        "PGCHANNELBINDING": "require",
        "PGCONNECT_TIMEOUT": "5",
    }
