"""The settings of a server that recovers: what it must do, and all that it must not do to the world around it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from pgops.errors import Refused
from pgops.physical.cluster import Cluster
from pgops.physical.plan import RecoveryPlan
from pgops.physical.wal import lsn_text

_MARK = "# --- settings of a recovery by pgops: what follows overrules all above"
# Hot standby needs them at least as high as the source had them, and the control file knows how high that was.
_FROM_CONTROL = {
    "max_connections setting": "max_connections",
    "max_worker_processes setting": "max_worker_processes",
    "max_wal_senders setting": "max_wal_senders",
    "max_prepared_xacts setting": "max_prepared_transactions",
    "max_locks_per_xact setting": "max_locks_per_transaction",
}


def recovery_settings(plan: RecoveryPlan, restore_command: str) -> dict[str, str]:
    """Where recovery goes and stops."""
    settings = {}
    stop = plan.target.setting
    if plan.target.kind == "latest" and plan.interval.exact:
        # As a position: without one, an archive that is out of reach for a moment would look like its end.
        stop = "recovery_target_lsn", lsn_text(plan.interval.ends_lsn)
    if stop is not None:
        settings[stop[0]] = stop[1]
    return settings | {
        "restore_command": restore_command,
        # By its number PostgreSQL asks for its history, which an archive that began later does not have.
        "recovery_target_timeline": "current" if plan.timeline == plan.backup.timeline else str(plan.timeline),
        "recovery_target_inclusive": "on",
        "recovery_target_action": "promote",
        "recovery_min_apply_delay": "0",
        "archive_cleanup_command": "",
        "recovery_end_command": "",
    }


def quiet_settings(cluster: Cluster, name: str, listen: str = "") -> dict[str, str]:
    """A server that reaches nobody. Who reaches it is for hba.conf to say: at first its owner alone."""
    return {
        "port": str(cluster.port),
        "listen_addresses": listen,
        "unix_socket_directories": str(cluster.sockets),
        "unix_socket_permissions": "0700",
        "hba_file": str(cluster.folder / "hba.conf"),
        "ident_file": str(cluster.folder / "ident.conf"),
        "external_pid_file": "",
        "cluster_name": name[:63],
        "hot_standby": "on",
        "primary_conninfo": "",
        "primary_slot_name": "",
        "synchronous_standby_names": "",
        "ssl": "off",
        # Its subscriptions would take changes from the publisher that the source is owed; its jobs would run twice.
        "max_logical_replication_workers": "0",
        "cron.launch_active_jobs": "off",
        # Its log is read.
        "logging_collector": "off",
        "log_destination": "stderr",
        "log_min_messages": "warning",
        "log_line_prefix": "%m [%p] ",
        "log_timezone": "UTC",
        "lc_messages": "C",
    }


def from_control(control: Mapping[str, str]) -> dict[str, str]:
    """What the source had set, also where that was on its command line."""
    return {name: control[key] for key, name in _FROM_CONTROL.items() if key in control}


def configuration(settings: Mapping[str, str]) -> str:
    """As a configuration file has it."""
    return "".join(f"{name} = {quoted(value)}\n" for name, value in settings.items())


def quoted(value: str) -> str:
    """A value as a configuration file has it."""
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def overrule(cluster: Cluster, settings: Mapping[str, str]) -> None:
    """Write settings behind those that the source's postgresql.auto.conf holds; doing it again replaces them."""
    path = cluster.data / "postgresql.auto.conf"
    text = cluster.host.read(path).decode() if cluster.host.exists(path) else ""
    kept = text.split(_MARK)[0]
    mark = f"{_MARK}\n{configuration(settings)}" if settings else ""
    cluster.host.write(path, f"{kept.rstrip()}\n{mark}".lstrip("\n").encode())


def write_hba(cluster: Cluster, roles: Iterable[str] = (), networks: Iterable[str] = ()) -> None:
    """Let in the owner of the files and, from the host itself and these networks, these roles with their passwords."""

    def named(role: str) -> str:
        return '"' + role.replace('"', '""') + '"'

    lines = [f"local all {named(cluster.superuser)} trust"]
    for role in map(named, dict.fromkeys(roles)):
        lines += [f"host all {role} {network} scram-sha-256" for network in ("127.0.0.1/32", "::1/128", *networks)]
    cluster.host.write(cluster.folder / "hba.conf", ("\n".join(lines) + "\n").encode())
    cluster.host.write(cluster.folder / "ident.conf", b"")


def make_configurable(cluster: Cluster, libraries: Iterable[str]) -> None:
    """Give a data directory the files that Debian keeps elsewhere, if it has none; take earlier targets out of them.

    Emptying such a target would not do: in some orders the empty one takes the other away.
    """
    target = r"s/^[[:space:]]*recovery_target(_[a-z]+)?[[:space:]=]/# &/"
    for name in ("postgresql.conf", "postgresql.auto.conf"):
        if not cluster.host.exists(cluster.data / name):
            preload = configuration({"shared_preload_libraries": ",".join(libraries)}) if "auto" not in name else ""
            cluster.host.write(cluster.data / name, preload.encode())
        cluster.host.run(["sed", "-i", "-E", target, str(cluster.data / name)])


def refuse_foreign_tablespaces(cluster: Cluster, allowed: PurePosixPath) -> None:
    """Look where a fetched directory's tablespaces lie, before a server starts on it.

    Raises:
        Refused: one lies outside of the recovery's folder, where the source's own files may be.
    """
    data = shlex.quote(str(cluster.data))
    listing = (
        f"cd {data} && find pg_tblspc -mindepth 1 -type l -exec readlink -f {{}} \\; && "
        "{ [ ! -e tablespace_map ] || sed 's/^[0-9]* //' tablespace_map; }"
    )
    for line in cluster.host.run(["sh", "-c", listing]).stdout.splitlines():
        if line.strip() and not PurePosixPath(line.strip()).is_relative_to(allowed):
            raise Refused(
                f"A tablespace of the fetched base backup lies at {line.strip()}, outside of the recovery's folder",
                where=f"{cluster.host.name}:{cluster.data}",
                remedy="The server was not started: it could have written into the source's files",
            )
