"""Sessions limit themselves, end with their task, and say what is wrong with SQLSTATE and remedy."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from pgops.postgres import DatabaseError, Dsn, Limits, cancel_all, connect
from sandbox.postgres import free_port
from tests.servers import eventually

PLUGINS = Path(__file__).parents[2] / "plugins"


def ask(connection, statement: str):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0]


def test_the_limits_hold_on_the_server(each_database):
    with connect(each_database, "pgops.tests", Limits(statement=1.5, lock=2, idle_in_transaction=3)) as connection:
        shown = {
            name: ask(connection, f"SHOW {name}")
            for name in (
                "statement_timeout",
                "lock_timeout",
                "idle_in_transaction_session_timeout",
                "client_connection_check_interval",
                "application_name",
                "transaction_read_only",
            )
        }
    assert list(shown.values()) == ["1500ms", "2s", "3s", "2s", "pgops.tests", "off"]


def test_options_of_the_connection_are_kept_beside_the_limits(database):
    dsn = dataclasses.replace(database, options={"options": "-c work_mem=7MB", "sslmode": "disable"})
    with connect(dsn, "pgops.tests", Limits(statement=4)) as connection:
        assert (ask(connection, "SHOW work_mem"), ask(connection, "SHOW statement_timeout")) == ("7MB", "4s")


def test_a_read_only_session_refuses_to_write(database):
    with pytest.raises(DatabaseError, match="25006"), connect(database, "t", readonly=True) as connection:
        connection.cursor().execute("CREATE TABLE t()")


def test_a_statement_that_takes_too_long_is_ended_with_its_sqlstate(database):
    with pytest.raises(DatabaseError) as caught, connect(database, "t", Limits(statement=0.3)) as connection:
        connection.cursor().execute("SELECT pg_sleep(30)")
    assert caught.value.sqlstate == "57014"
    assert "statement_timeout" in caught.value.remedy


def test_a_lock_that_somebody_holds_is_retried(database):
    with connect(database, "holder") as holder:
        holder.cursor().execute("CREATE TABLE t()")
        holder.cursor().execute("BEGIN; LOCK TABLE t")
        with pytest.raises(DatabaseError) as caught, connect(database, "t", Limits(lock=0.2)) as connection:
            connection.cursor().execute("SELECT * FROM t")
    assert (caught.value.sqlstate, caught.value.retry) == ("55P03", True)


def refused(dsn: Dsn) -> DatabaseError:
    with pytest.raises(DatabaseError) as caught, connect(dsn, "pgops.tests"):
        pass
    assert caught.value.where == dsn.where
    return caught.value


def test_a_wrong_password_is_named_and_not_retried(database):
    error = refused(dataclasses.replace(database, password="wrong-password-x"))
    assert (error.sqlstate, error.retry) == ("28P01", False)
    assert "password" in error.remedy
    assert "wrong-password-x" not in f"{error} {error!r} {error.__cause__!r}"


def test_an_unknown_role_is_an_authentication_failure(database):
    assert refused(dataclasses.replace(database, user="nobody_here", password="x")).sqlstate == "28P01"


def test_a_database_that_is_not_there_is_named_and_not_retried(database):
    error = refused(database.on("nowhere"))
    assert (error.sqlstate, error.retry) == ("3D000", False)
    assert "Create the database" in error.remedy


def test_a_server_that_is_down_is_retried(database):
    error = refused(dataclasses.replace(database, port=free_port()))
    assert (error.sqlstate, error.retry) == ("", True)
    assert "host and port" in error.remedy


def test_a_session_that_the_server_ends_is_retried(database):
    with pytest.raises(DatabaseError) as caught, connect(database, "victim") as victim, connect(database, "x") as other:
        other.cursor().execute(f"SELECT pg_terminate_backend({victim.info.backend_pid})")
        victim.cursor().execute("SELECT 1")
    assert caught.value.retry


def test_the_password_is_in_no_text_of_a_dsn(database):
    dsn = dataclasses.replace(database, password="hidden-x")
    assert "hidden-x" not in f"{dsn!r} {dsn} {dsn.conninfo()} {dsn.where} {dsn.parameters()}"
    assert dsn.environment("a")["PGPASSWORD"] == "hidden-x"


def test_values_with_quotes_and_spaces_pass_through_a_connection_string(database, postgres):
    name = "odd 'name' \\ = ü"
    postgres.execute(f'CREATE DATABASE "{name}"')
    try:
        with connect(database.on(name), "pgops.tests") as connection:
            assert ask(connection, "SELECT current_database()") == name
    finally:
        postgres.execute(f'DROP DATABASE "{name}"')


def running_queries(server, mark: str) -> int:
    return server.execute(
        f"SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%{mark}%' AND pid <> pg_backend_pid()"
    )[0][0]


def test_a_killed_client_leaves_no_query(each_database, each_postgres):
    client = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(f"""
                from pgops.postgres import Dsn, connect
                dsn = Dsn("127.0.0.1", {each_database.port}, {each_database.dbname!r}, "postgres",
                          __import__("os").environ["SECRET"])
                with connect(dsn, "killed") as connection:
                    connection.cursor().execute("SELECT pg_sleep(120) AS left_over")
            """),
        ],
        env=os.environ | {"PYTHONPATH": str(PLUGINS), "SECRET": each_database.password},
    )
    assert eventually(lambda: running_queries(each_postgres, "left_over") == 1)
    client.send_signal(signal.SIGKILL)
    client.wait()
    assert eventually(lambda: running_queries(each_postgres, "left_over") == 0, 6)


def test_a_query_can_be_cancelled_from_a_signal_handler(database, postgres):
    """on_kill runs in a signal handler: a blocking execute() must let it run, and it must end the query."""
    failures = []

    def work():
        try:
            with connect(database, "t") as connection:
                connection.cursor().execute("SELECT pg_sleep(120) AS to_cancel")
        except DatabaseError as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert eventually(lambda: running_queries(postgres, "to_cancel") == 1)
    started = time.monotonic()
    cancel_all()
    thread.join(5)
    assert time.monotonic() - started < 3
    assert failures[0].sqlstate == "57014"
