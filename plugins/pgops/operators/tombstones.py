"""Erases again, in data from a backup, who was erased since. Called before anybody may connect to it."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING

from pgops.errors import Refused
from pgops.fleet import Database, Settings
from pgops.operators import resources

if TYPE_CHECKING:
    from pgops.postgres import Dsn

log = logging.getLogger(__name__)


def replay_tombstones(settings: Settings, database: Database, restored: Dsn, as_of: datetime) -> None:
    """Replay a database's tombstones.

    Args:
        settings: of the fleet file.
        database: whose backup it is.
        restored: where the backup was restored, as the role that owns it there.
        as_of: when the backup began.

    Raises:
        Refused: there are tombstones that cannot be replayed; nobody may be let in.
    """
    from pgops.privacy import replay, tombstones

    bucket = resources.bucket(settings)
    if database.privacy is None:
        if not tombstones(bucket, database.name, as_of):
            return
        raise Refused(
            f"People were erased from {database.name}, and it has no privacy policy any more",
            where=bucket.where(bucket.key(database.name, "tombstones")),
            remedy="Add privacy in include/fleet.yaml again, with the secret of that time",
        )
    secrets = resources.privacy_secrets(database.privacy)
    done = replay(restored, bucket, database.name, database.privacy, secrets, as_of=as_of)
    log.info("%s tombstones replayed: %s persons erased again", done.tombstones, len(done.erased))
