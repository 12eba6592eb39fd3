"""Tells other systems that a maintenance window begins or ends: one JSON object by POST."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

from pgops.errors import PgOpsError
from pgops.operators import resources

SECONDS = 10


def announce(connection_id: str, state: str, database: str, version: str, run_id: str) -> None:
    """POST {"state", "database", "migration", "run_id"} to the address of an Airflow HTTP connection.

    Args:
        connection_id: host may be a whole URL; extras named `header-<Name>` go along as headers, the password as bearer
            token.
        state: "on" or "off".

    Raises:
        PgOpsError: it was not taken; a later try may succeed.
    """
    found = resources.connection(connection_id)
    base = found.host if "://" in (found.host or "") else f"{found.schema or 'https'}://{found.host or ''}"
    url = f"{base}:{found.port}" if found.port and "://" not in (found.host or "") else base
    headers = {"Content-Type": "application/json"}
    headers |= {key[7:]: str(value) for key, value in found.extra_dejson.items() if key.startswith("header-")}
    if found.password:
        headers["Authorization"] = f"Bearer {found.password}"
    body = json.dumps({"state": state, "database": database, "migration": version, "run_id": run_id}).encode()
    request = urllib.request.Request(url, body, headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=SECONDS):
            return
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise PgOpsError(
            f"The maintenance window ({state}) was not taken: {error}",
            where=f"connection {connection_id}",
            remedy="Look at that system; the task tries again by itself",
            retry=True,
        ) from error
