"""Brings the ledger's schema to the version of this code, with Alembic.

`python -m pgops.ledger.schema` does it by hand, with the connection in $PGOPS_LEDGER_URL. Migrations only ever add
(expand, then contract a release later), so tasks of the release before go on working while it is upgraded.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.engine import URL, make_url

from pgops.errors import Refused
from pgops.postgres import Dsn

SCHEMA = "pgops"
_one_thread = threading.Lock()  # Alembic keeps its context in globals


def url(dsn: Dsn) -> URL:
    """The SQLAlchemy URL of a Dsn, over psycopg2."""
    return URL.create(
        "postgresql+psycopg2",
        username=dsn.user,
        password=dsn.password,
        host=dsn.host,
        port=dsn.port,
        database=dsn.dbname,
        query=dict(dsn.options),
    )


def upgrade(address: URL) -> None:
    """Upgrade to the newest version; several processes at once wait for each other (an advisory lock in env.py)."""
    config = _config()
    config.attributes["url"] = address
    with _one_thread:
        command.upgrade(config, "head")


def newest() -> str:
    """The version that this code was written for."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def versions() -> set[str]:
    """Every version that this code knows."""
    return {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    return config


def main() -> None:
    """Upgrade the ledger that $PGOPS_LEDGER_URL names."""
    address = os.environ.get("PGOPS_LEDGER_URL")
    if not address:
        raise Refused("No ledger is named", where="PGOPS_LEDGER_URL", remedy="Set it to postgresql+psycopg2://...")
    upgrade(make_url(address))


if __name__ == "__main__":
    main()
