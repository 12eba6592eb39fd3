"""What the steps of a deployment have in common."""

from __future__ import annotations

import json
import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from pgops.errors import Refused
from pgops.fleet import Database, Fleet, Settings
from pgops.include import include_folder
from pgops.operators import resources
from pgops.operators.base import PgOpsOperator, requester, run_name, task_states
from pgops.operators.results import from_xcom, to_xcom

if TYPE_CHECKING:
    from pgops.migration.deployment.evidence import Evidence
    from pgops.migration.deployment.versions import AppliedVersion, RunFacts
    from pgops.migration.model import Difference, Migration
    from pgops.migration.proof.snapshot import Snapshot
    from pgops.migration.verdict.records import Verdict
    from pgops.postgres import Dsn

log = logging.getLogger(__name__)


class DeploymentOperator(PgOpsOperator):
    """A step of one deployment.

    Args:
        version: of the migration.
    """

    template_fields: Sequence[str] = ("database", "version")

    def __init__(self, *, version: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.version = version

    def migration(self, database: Database) -> Migration:
        """The migration, as its files are now."""
        return migration_of(database, self.version)

    def validated(self, context: Mapping[str, Any]) -> Verdict:
        """The verdict that this deployment began with."""
        from pgops.migration.verdict.records import Verdict

        return from_xcom(Verdict, context["ti"].xcom_pull(task_ids="validation"))

    def touched(self, database: Database) -> tuple[str, ...]:
        """The tables that the migration names and that are in production now."""
        from pgops.migration.rehearsal.load import touched_tables
        from pgops.migration.scripts.statements import parse

        return touched_tables(self.production(database), parse(self.migration(database).up))

    @staticmethod
    def production(database: Database) -> Dsn:
        """Production, as the role that deploys."""
        return resources.dsn(resources.deploy_policy(database).connection)


def migration_of(database: Database, version: str) -> Migration:
    """A migration of a database, as its files are now."""
    from pgops.migration.scripts.history import migrations_of
    from pgops.migration.scripts.sources import chosen

    return chosen(migrations_of(resources.migration_policy(database), include_folder()), version)


def refuse_unapproved(settings: Settings, context: Mapping[str, Any]) -> None:
    """Raise Refused unless a person's yes stands in the ledger: a task that somebody marked as success is no yes."""
    kept = resources.ledger(settings).rows("deployment", run_id=context["run_id"])
    if not any(row["approved_by"] for row in kept):
        raise Refused(
            "Nobody has approved this deployment",
            where=f"DAG run {context['run_id']}, task approve",
            remedy="Trigger it again and have it approved under Required Actions; marking the task does not count",
        )


def state_of(context: Mapping[str, Any], task_id: str) -> str | None:
    """The state of another task of this run."""
    return task_states(context).get(task_id)


def refuse_if_deployed(there: AppliedVersion | None, context: Mapping[str, Any], where: str) -> None:
    """Refuse what another run has deployed already; this one may be going on after a retry.

    Raises:
        Refused: it is there.
    """
    if there is None or not there.complete or there.direction != "apply":
        return
    if there.dag_run == run_facts(context).dag_run:
        return
    raise Refused(
        f"Migration {there.version} is deployed already: {there.requested_by}, {there.at:%Y-%m-%d %H:%M} UTC,"
        f" {there.dag_run}",
        where=where,
        remedy="There is nothing to do",
    )


def skip_unless_deployed(context: Mapping[str, Any]) -> None:
    """Raise AirflowSkipException when this run has not deployed anything."""
    if state_of(context, "deploy") != "success":
        raise AirflowSkipException("nothing was deployed by this run")


class EvidenceOperator(DeploymentOperator):
    """An item of the checklist: what was found is kept, and when it does not pass the task fails."""

    remedy = "Nothing was deployed: mend this and trigger it again"

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return the Evidence."""
        found = self.look(context, fleet.checked_settings(), database)
        record_evidence(fleet.checked_settings(), context, found)
        if not found.passed:
            raise Refused(
                f"{found.item}: {found.summary}",
                where=f"{database.name}, migration {self.version}",
                remedy=self.remedy,
            )
        log.info("%s: %s", found.item, found.summary)
        return to_xcom(found)

    @abstractmethod
    def look(self, context: Mapping[str, Any], settings: Settings, database: Database) -> Evidence:
        """Find out."""


def record_evidence(settings: Settings, context: Mapping[str, Any], found: Evidence) -> None:
    """Keep what was found for an item of the checklist."""
    resources.ledger(settings).rows(
        "record_evidence",
        run_id=context["run_id"],
        item=found.item,
        passed=found.passed,
        summary=found.summary,
        facts=json.dumps(found.facts, default=str),
    )


def snapshots(settings: Settings, verdict: Verdict) -> tuple[Snapshot, Snapshot]:
    """The schema before and after, as it was rehearsed."""
    from pgops.migration.verdict.records import snapshots_of

    return snapshots_of(resources.bucket(settings), verdict)


def same_schema(item: str, expected: Snapshot, dsn: Dsn) -> Evidence:
    """Whether a database has the schema that is expected, but for what differs from server to server."""
    from pgops.migration.deployment.evidence import Evidence
    from pgops.migration.proof import compare

    found = compare.take(dsn, (), dump=False)
    if found.server_version // 10000 != expected.server_version // 10000:
        summary = "not compared: the copy's server is of another major version"
        return Evidence(item, True, summary, {"copy": expected.server_version, "production": found.server_version})
    different = compare.drift(expected, found)
    shown = "; ".join(_shown(one) for one in different[:5]) + ("; ..." if len(different) > 5 else "")
    return Evidence(item, not different, shown or "the same", {"differences": [asdict(one) for one in different[:50]]})


def _shown(one: Difference) -> str:
    return f"{one.what} is {one.after or 'gone'}, expected {one.before or 'none'}"[:200]


def run_facts(context: Mapping[str, Any]) -> RunFacts:
    """What the version ledger keeps of who and what asked for it."""
    from pgops.migration.deployment.versions import RunFacts

    return RunFacts(dag_run=run_name(context), requested_by=requester(context))
