"""Removes the exports of persons' data whose time is over."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pgops.fleet import Database, Fleet
from pgops.operators import resources
from pgops.operators.base import PgOpsOperator

log = logging.getLogger(__name__)


class ExpiredExportsOperator(PgOpsOperator):
    """Removes a database's exports that are older than their policy allows; it asks the bucket alone."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> list[str]:
        """Return the requests whose exports are gone."""
        from pgops.privacy import remove_expired_exports

        bucket = resources.bucket(fleet.checked_settings())
        removed = remove_expired_exports(bucket, database.name, datetime.now(UTC))
        if removed:
            log.info("removed the exports of %s", ", ".join(removed))
        return list(removed)
