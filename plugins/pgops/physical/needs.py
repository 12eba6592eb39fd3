"""What a host must have installed before a server's files can be started there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from pgops.errors import Refused
from pgops.include import sql_text
from pgops.physical.model import Host
from pgops.postgres import Dsn, connect


@dataclass(frozen=True)
class Needs:
    """Of one server and the database that was looked at.

    Attributes:
        libraries: of shared_preload_libraries: without them the server does not start.
        locales: as the operating system names them.
    """

    server_version: int
    extensions: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    locales: tuple[str, ...] = ()
    tablespaces: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """As a plan names them."""
        parts = [f"PostgreSQL {self.server_version // 10000}"]
        for name, values in (
            ("extensions", self.extensions),
            ("libraries", self.libraries),
            ("locales", self.locales),
        ):
            parts += [f"{name} {', '.join(values)}"] if values else []
        return "; ".join(parts)


def ask_needs(dsn: Dsn) -> Needs:
    """Ask the live server."""
    with connect(dsn, "pgops.recovery.needs", readonly=True) as connection, connection.cursor() as cursor:
        cursor.execute(sql_text("physical/needs.sql"))
        row = cursor.fetchone()
    assert row is not None
    return needs_from_json(row[0])


def together(needs: Sequence[Needs]) -> Needs:
    """Of one server, as several of its databases told."""
    return Needs(
        server_version=needs[0].server_version,
        extensions=tuple(sorted({name for one in needs for name in one.extensions})),
        libraries=tuple(dict.fromkeys(name for one in needs for name in one.libraries)),
        locales=tuple(sorted({name for one in needs for name in one.locales})),
        tablespaces=tuple(dict.fromkeys(name for one in needs for name in one.tablespaces)),
    )


def needs_from_json(value: object) -> Needs:
    """From what needs.sql returns, or the ledger kept."""
    facts = json.loads(value) if isinstance(value, str) else value
    assert isinstance(facts, dict)
    lists = {name: tuple(one) for name, one in facts.items() if isinstance(one, list)}
    return Needs(server_version=int(facts["server_version"]), **lists)


def refuse_unfit(host: Host, bindir: PurePosixPath, needs: Needs) -> None:
    """Look whether a host has what a server needs.

    Raises:
        Refused: it does not; with all that is missing.
    """
    lacking = [*_lacking_extensions(host, bindir, needs.extensions), *_lacking_libraries(host, bindir, needs.libraries)]
    lacking += _lacking_locales(host, needs.locales)
    if lacking:
        raise Refused(
            f"The host lacks {', '.join(lacking)}",
            where=host.name,
            remedy="Install their packages there, or recover on another host; nothing was touched",
        )


def _lacking_extensions(host: Host, bindir: PurePosixPath, names: Sequence[str]) -> list[str]:
    folder = PurePosixPath(_told_by(host, bindir, "--sharedir")) / "extension"
    return [f"the extension {name}" for name in names if not host.exists(folder / f"{name}.control")]


def _lacking_libraries(host: Host, bindir: PurePosixPath, names: Sequence[str]) -> list[str]:
    folder = PurePosixPath(_told_by(host, bindir, "--pkglibdir"))
    return [f"the library {name}" for name in names if "/" not in name and not host.exists(folder / f"{name}.so")]


def _told_by(host: Host, bindir: PurePosixPath, option: str) -> str:
    return host.run([str(bindir / "pg_config"), option]).stdout.strip()


def _lacking_locales(host: Host, names: Sequence[str]) -> list[str]:
    wanted = [name for name in names if name not in ("C", "POSIX", "C.UTF-8", "C.UTF8")]
    if not wanted:
        return []
    there = {_plain(line) for line in host.run(["locale", "-a"]).stdout.splitlines()}
    return [f"the locale {name}" for name in wanted if _plain(name) not in there]


def _plain(locale: str) -> str:
    """`locale -a` writes en_US.utf8 for what the catalog has as en_US.UTF-8."""
    return locale.lower().replace("-", "")
