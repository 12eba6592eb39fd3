"""The physical steps of nightly_backup, one operator each: base backups of servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pgops.fleet import Fleet, Server
from pgops.operators import resources
from pgops.operators.base import ServerOperator
from pgops.operators.results import to_xcom


class BaseBackupOperator(ServerOperator):
    """Looks after the WAL archiver, sweeps up what a dead run left, and takes a base backup where one is due.

    Skipped when the run was asked for some databases only, unless it also asks for base backups.
    """

    policy = "physical"

    def work(self, context: Mapping[str, Any], fleet: Fleet, server: Server) -> dict[str, Any]:
        """Return a BaseTaken."""
        from pgops.physical.nightly import take_base_backup

        settings, policy = fleet.checked_settings(), resources.physical_policy(server)
        taken = take_base_backup(
            server.name,
            resources.engine(settings, server),
            resources.dsn(policy.connection),
            policy,
            resources.ledger(settings),
            resources.physical_lease(settings, server.name, context),
            datetime.now(UTC),
            force=bool(context["params"].get("base_backup")),
            tls=server.tls,
        )
        return to_xcom(taken)

    def execute(self, context: Any) -> Any:
        """As ServerOperator.execute."""
        from airflow.sdk.exceptions import AirflowSkipException

        if context["params"].get("databases") and not context["params"].get("base_backup"):
            raise AirflowSkipException("only some databases were asked for")
        return super().execute(context)


class VerifyBaseBackupOperator(ServerOperator):
    """Reads the base backup and the WAL that it needs back.

    Args:
        taken: the BaseBackupOperator's result.
    """

    policy = "physical"

    template_fields: Sequence[str] = ("taken",)

    def __init__(self, *, taken: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.taken = taken

    def work(self, context: Mapping[str, Any], fleet: Fleet, server: Server) -> dict[str, Any]:
        """Return a BaseVerified."""
        from pgops.physical.nightly import verify_base_backup

        settings, policy = fleet.checked_settings(), resources.physical_policy(server)
        verified = verify_base_backup(
            server.name,
            resources.engine(settings, server),
            self.taken["backup_id"],
            resources.ledger(settings),
            resources.physical_lease(settings, server.name, context),
            policy.wait_minutes * 60,
            again=self.taken["taken"],
        )
        return to_xcom(verified)


class PruneBaseBackupsOperator(ServerOperator):
    """Removes the base backups, and their WAL, that no rule keeps. The param `prune_dry_run` only says which.

    Args:
        verified: the VerifyBaseBackupOperator's result: without a proven one nothing is removed.
    """

    policy = "physical"

    template_fields: Sequence[str] = ("verified",)

    def __init__(self, *, verified: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.verified = verified

    def work(self, context: Mapping[str, Any], fleet: Fleet, server: Server) -> dict[str, Any]:
        """Return a BasePruned."""
        from pgops.physical.nightly import prune_base_backups

        settings, policy = fleet.checked_settings(), resources.physical_policy(server)
        pruned = prune_base_backups(
            server.name,
            resources.engine(settings, server),
            policy.retention,
            self.verified["backup_id"],
            resources.ledger(settings),
            resources.physical_lease(settings, server.name, context),
            datetime.now(UTC),
            dry_run=bool(context["params"].get("prune_dry_run")),
        )
        return to_xcom(pruned)
