"""Whether the sessions of a connection are encrypted, and whether anybody checks to whom they lead.

What the connection asks for counts, not only what it got: every program opens sessions of its own with it, and
sslmode=prefer lets one that has no TLS, or an attacker in between, fall back to plain text.
"""

from __future__ import annotations

from pgops.errors import Refused
from pgops.fleet.base import Tls
from pgops.postgres.dsn import Dsn
from pgops.postgres.session import Limits, connect

_ENCRYPTING = ("require", "verify-ca", "verify-full")
_VERIFYING = "verify-full"


def check_tls(dsn: Dsn, policy: Tls, application_name: str) -> tuple[str, ...]:
    """What is missing of TLS on the way to a server, in plain words.

    A socket of this machine needs none; with the policy "warn" the machine's own addresses need none either.

    Raises:
        Refused: the policy does not allow it.
        DatabaseError: the server cannot be reached.
    """
    if policy == "off" or dsn.host.startswith("/") or (policy == "warn" and _is_this_machine(dsn.host)):
        return ()
    with connect(dsn, application_name, Limits(statement=30)) as connection:
        mode = str(connection.info.dsn_parameters.get("sslmode", "prefer"))
        encrypted = bool(connection.info.ssl_in_use)
    missing = _missing(dsn.host, mode, encrypted)
    refused = policy == "verified" if encrypted and mode in _ENCRYPTING else policy in ("required", "verified")
    if missing and refused:
        raise Refused(
            missing[0].upper() + missing[1:],
            where=dsn.where,
            remedy=f"Give the server TLS and the Airflow connection the extra sslmode={_VERIFYING} with sslrootcert; "
            f"the policy of this server is tls: {policy}",
        )
    return (missing,) if missing else ()


def _missing(host: str, mode: str, encrypted: bool) -> str:
    if not encrypted:
        return f"the session to {host} is not encrypted (sslmode={mode})"
    if mode not in _ENCRYPTING:
        return f"the session to {host} is encrypted, and the next one need not be (sslmode={mode})"
    if mode != _VERIFYING:
        return f"the session to {host} is encrypted, and nobody checks that it is this server (sslmode={mode})"
    return ""


def _is_this_machine(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
