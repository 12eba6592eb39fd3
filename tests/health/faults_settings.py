"""Faults of configuration, security and versions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from tests.health.faults_replication import setting
from tests.health.scenes import Scene, fault
from tests.servers import eventually


@contextmanager
def appended(scene: Scene, name: str, line: str) -> Iterator[None]:
    """One more line in a configuration file; the server is not told."""
    file = scene.server.data / name
    before = file.read_text()
    with file.open("a") as end:
        end.write(f"\n{line}\n")
    try:
        yield
    finally:
        file.write_text(before)


@contextmanager
def role(scene: Scene, name: str, what: str) -> Iterator[None]:
    scene.execute(f'CREATE ROLE "{name}" {what}')
    try:
        yield
    finally:
        scene.execute(f'DROP ROLE "{name}"')


@fault("pending_restart")
def pending_restart(scene: Scene) -> Iterator[str]:
    pending = "SELECT pending_restart FROM pg_settings WHERE name = 'max_locks_per_transaction'"
    scene.execute("ALTER SYSTEM SET max_locks_per_transaction = 77")
    scene.execute("SELECT pg_reload_conf()")
    assert eventually(lambda: scene.execute(pending)[0][0])
    yield "max_locks_per_transaction"
    scene.execute("ALTER SYSTEM SET max_locks_per_transaction = 64")  # a line that is only removed goes on pending
    scene.execute("SELECT pg_reload_conf()")
    assert eventually(lambda: not scene.execute(pending)[0][0])
    scene.execute("ALTER SYSTEM RESET max_locks_per_transaction")
    scene.execute("SELECT pg_reload_conf()")


@fault("configuration_errors")
def configuration_errors(scene: Scene) -> Iterator[str]:
    with appended(scene, "postgresql.conf", "no_such_setting = 1"):
        yield "no_such_setting"


@fault("hba_errors")
def hba_errors(scene: Scene) -> Iterator[str]:
    with appended(scene, "pg_hba.conf", "host all all 192.0.2.0/24 no_such_method"):
        yield ""


@fault("hba_trust")
def hba_trust(scene: Scene) -> Iterator[str]:
    with appended(scene, "pg_hba.conf", "host all all 192.0.2.0/24 trust"):
        yield "host all all 192.0.2.0 255.255.255.0 trust"


@fault("configuration_not_loaded", at=0)
def configuration_not_loaded(scene: Scene) -> Iterator[str]:
    newer = "SELECT modification > pg_conf_load_time() FROM pg_stat_file('postgresql.auto.conf')"  # whole seconds

    def edited() -> object:
        scene.execute("ALTER SYSTEM SET work_mem = '5MB'")
        return scene.execute(newer)[0][0]

    assert eventually(edited)
    yield "postgresql.auto.conf"
    scene.execute("ALTER SYSTEM RESET work_mem")
    scene.execute("SELECT pg_reload_conf()")


@fault("protective_settings")
def protective_settings(scene: Scene) -> Iterator[str]:
    with setting(scene, "full_page_writes", "off"):
        yield "full_page_writes"


@fault("advisable_settings")
def advisable_settings(scene: Scene) -> Iterator[str]:
    with setting(scene, "max_slot_wal_keep_size", "-1"):
        yield "max_slot_wal_keep_size"


@fault("idle_in_transaction_unlimited")
def idle_in_transaction_unlimited(scene: Scene) -> Iterator[str]:
    with setting(scene, "idle_in_transaction_session_timeout", "0"):
        yield ""


@fault("public_create")
def public_create(scene: Scene) -> Iterator[str]:
    scene.execute('CREATE SCHEMA "all\'s"; GRANT CREATE ON SCHEMA "all\'s" TO PUBLIC')
    yield '"all\'s"'


@fault("md5_passwords")
def md5_passwords(scene: Scene) -> Iterator[str]:
    with role(scene, "<old>", f"LOGIN PASSWORD 'md5{'0' * 32}'"):
        yield '"<old>"'


@fault("tls_off")
def tls_off(scene: Scene) -> Iterator[str]:
    scene.execute("ALTER SYSTEM SET listen_addresses = '*'")
    scene.server.restart()
    yield ""
    scene.execute("ALTER SYSTEM RESET listen_addresses")
    scene.server.restart()
    assert eventually(lambda: scene.execute("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'"), 30)


@fault("plain_sessions")
def plain_sessions(scene: Scene) -> Iterator[str]:
    scene.facts["trusted_networks"] = "192.0.2.0/24, ::1"
    scene.session()
    yield f"{scene.dsn.dbname} postgres"


@fault("superusers")
def superusers(scene: Scene) -> Iterator[str]:
    scene.facts["superusers"] = "root, admin"
    with role(scene, "root's", "SUPERUSER LOGIN"):
        yield '"root\'s"'


@fault("security_definer_path")
def security_definer_path(scene: Scene) -> Iterator[str]:
    scene.execute("CREATE FUNCTION f(n int) RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT n'")
    yield "public.f(integer)"


@fault("password_expiry")
def password_expiry(scene: Scene) -> Iterator[str]:
    with role(scene, "soon", f"LOGIN VALID UNTIL '{datetime.now(UTC) + timedelta(days=1)}'"):
        yield "soon"


@fault("extensions_outdated")
def extensions_outdated(scene: Scene) -> Iterator[str]:
    scene.execute("CREATE EXTENSION pg_stat_statements VERSION '1.9'")
    yield "pg_stat_statements"


@fault("version_end_of_life")
def version_end_of_life(scene: Scene) -> Iterator[str]:
    scene.facts["today"] = "2031-01-01"
    yield ""


@fault("minor_behind")
def minor_behind(scene: Scene) -> Iterator[str]:
    scene.facts["today"] = "2028-01-01"
    yield ""


def has_statements(scene: Scene) -> None:
    scene.execute("CREATE EXTENSION pg_stat_statements")


@fault("statements_missing", before=has_statements)
def statements_missing(scene: Scene) -> Iterator[str]:
    scene.execute("DROP EXTENSION pg_stat_statements")
    yield ""
