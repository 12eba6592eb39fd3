"""How to reach one database: everything libpq needs, the password kept out of what is printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from psycopg2.extensions import make_dsn

_VARIABLES = {"connect_timeout": "PGCONNECT_TIMEOUT"}
_WITHOUT_VARIABLE = ("keepalives_idle", "options")  # PGOPTIONS is made of the settings of a program's sessions


@dataclass(frozen=True)
class Dsn:
    """One database on one server.

    `options` are further libpq parameters (sslmode, sslrootcert, connect_timeout, ...).
    """

    host: str
    port: int
    dbname: str
    user: str
    password: str = field(default="", repr=False)
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def where(self) -> str:
        """The place as errors name it: host:port/dbname."""
        return f"{self.host}:{self.port}/{self.dbname}"

    def parameters(self) -> dict[str, str]:
        """libpq parameters without the password."""
        return {
            **self.options,
            "host": self.host,
            "port": str(self.port),
            "dbname": self.dbname,
            "user": self.user,
        }

    def conninfo(self) -> str:
        """A connection string for an argument list: it holds no password."""
        return make_dsn(**self.parameters())

    def environment(self, application_name: str, **settings: str) -> dict[str, str]:
        """Variables for a client program: the password, the name it shows, and server settings for its sessions."""
        env = {"PGPASSWORD": self.password, "PGAPPNAME": application_name}
        if settings:
            env["PGOPTIONS"] = " ".join(f"-c {name}={value}" for name, value in settings.items())
        return env

    def variables(self) -> dict[str, str]:
        """The further parameters as variables, for a program that takes no connection string."""
        named = {name: _VARIABLES.get(name, f"PG{name.replace('_', '').upper()}") for name in self.options}
        return {named[name]: value for name, value in self.options.items() if name not in _WITHOUT_VARIABLE}

    def on(self, dbname: str) -> Dsn:
        """Another database of the same server."""
        return replace(self, dbname=dbname)
