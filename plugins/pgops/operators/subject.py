"""The steps of data_subject_request, one operator each.

The subject's key comes from the params, or from an Airflow variable that they name. It goes to the database and nowhere
else: not into a log, an XCom, a task's name, a message or the ledger, which know the person by a keyed hash.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import TriggerRule
from airflow.sdk.exceptions import AirflowSkipException

from pgops.errors import PgOpsError, Refused
from pgops.fleet import Database, Fleet, PrivacyPolicy, Settings, load_fleet
from pgops.operators import resources
from pgops.operators.approval import ApprovalRules, SecondPersonOperator
from pgops.operators.base import PgOpsOperator, requester, run_name
from pgops.operators.results import from_xcom, to_xcom
from pgops.operators.subject_archives import subject_archives

if TYPE_CHECKING:
    from pgops.postgres import Dsn
    from pgops.privacy import Archives, Found, Secret, Subject, SubjectMap
    from pgops.storage import Bucket

log = logging.getLogger(__name__)

_STEPS = ("find", "export", "approve_erasure", "tombstone", "erase", "prove_erasure")
_SHORT = 12


@dataclass(frozen=True)
class _Case:
    """A request with all that its steps need."""

    id: str
    settings: Settings
    policy: PrivacyPolicy
    dsn: Dsn
    bucket: Bucket
    secret: Secret
    map: SubjectMap
    subject: Subject
    hashes: tuple[str, ...]
    archives: Archives | None


def request_id(context: Mapping[str, Any]) -> str:
    """Names a request: the same for every try of a run, in the form of a backup's id."""
    begun = context["dag_run"].run_after or datetime.now(UTC)
    return f"{begun.astimezone(UTC):%Y%m%dT%H%M%SZ}-{hashlib.sha256(run_name(context).encode()).hexdigest()[:6]}"


def subject_key(params: Mapping[str, Any]) -> str:
    """The subject's key, from the form or from the variable that it names; Airflow's logs mask it from here on.

    Raises:
        Refused: neither or both are given, or there is no such variable.
    """
    from airflow.sdk import Variable
    from airflow.sdk.log import mask_secret

    given, variable = str(params["subject"] or ""), str(params["subject_variable"] or "")
    if bool(given) == bool(variable):
        raise Refused(
            "Give the subject's key, or the variable that holds it: one of the two",
            where="params subject and subject_variable",
            remedy="Trigger it again; nothing was touched",
        )
    key = given or Variable.get(variable, default=None)
    if not key:
        raise Refused(
            f"There is no Airflow variable {variable!r}",
            where="param subject_variable",
            remedy="Add it under Admin > Variables; it is removed when the request is done",
        )
    mask_secret(str(key))
    return str(key)


class SubjectOperator(PgOpsOperator):
    """A step of one request."""

    def case(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> _Case:
        """Map the database as it is now, and the person in it."""
        from pgops import privacy

        settings, policy = fleet.checked_settings(), resources.privacy_policy(database)
        key = subject_key(context["params"])
        dsn, secret = resources.dsn(policy.connection), resources.privacy_secrets(policy)[0]
        subject_map = privacy.read_map(dsn, database.name, policy)
        subject = privacy.identify(dsn, subject_map, key)
        return _Case(
            id=request_id(context),
            settings=settings,
            policy=policy,
            dsn=dsn,
            bucket=resources.bucket(settings),
            secret=secret,
            map=subject_map,
            subject=subject,
            hashes=privacy.hashes(secret, database.name, policy, subject),
            archives=subject_archives(settings, database, context),
        )


class FindSubjectOperator(SubjectOperator):
    """Counts the person's rows in every table, and opens the request in the ledger."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return the Found."""
        from pgops import privacy

        case, kind = self.case(context, fleet, database), context["params"]["kind"]
        found = privacy.search(case.dsn, case.map, case.subject, case.archives)
        for table in found.tables:
            log.info("%s: %s rows, %s%s", table.table, table.rows, table.action, _because(table.reason))
        for warning in found.warnings:
            log.warning("%s", warning)
        resources.ledger(case.settings).rows(
            "begin_subject_request",
            id=case.id,
            database=database.name,
            kind=kind,
            subject_hash=case.hashes[0],
            key_id=case.secret.id,
            requested_by=requester(context),
            counts=json.dumps({table.table: table.rows for table in found.tables}),
        )
        context["ti"].xcom_push(key="subject", value=case.hashes[0][:_SHORT])
        if kind == "erase" and found.obstacles:
            raise Refused(
                f"Nothing can be erased: {'; '.join(found.obstacles)}",
                where=case.dsn.where,
                remedy="Correct the tables under privacy in include/fleet.yaml; nothing was touched",
            )
        before = [one for one in privacy.tombstones(case.bucket, database.name) if set(one.hashes) & set(case.hashes)]
        if not found.rows and not any(one.id == case.id for one in before):
            erased = "".join(f"; erased by request {one.id} on {one.at:%Y-%m-%d}" for one in before[-1:])
            raise Refused(
                f"Nobody with this key is in {database.name}{erased}",
                where=case.dsn.where,
                remedy="Compare the key with the person's request; nothing was touched",
            )
        return to_xcom(found)


class ExportSubjectOperator(SubjectOperator):
    """Writes the person's data to the bucket, readable, and reads it back."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return where it lies and what it holds."""
        from pgops.privacy import export

        case = self.case(context, fleet, database)
        made = export(
            case.dsn,
            case.bucket,
            case.map,
            case.subject,
            request_id=case.id,
            subject_hash=case.hashes[0],
            days=case.policy.export_days,
            archives=case.archives,
        )
        return {
            "folder": case.bucket.where(made.folder),
            "rows": {table.table: table.rows for table in made.tables},
            "expires_at": made.expires_at.isoformat(),
        }


class ApproveErasureOperator(SecondPersonOperator):
    """Asks a second person, who sees what will go; never whose. Skipped when nothing is to be erased."""

    def __init__(self, *, database: str, **kwargs: Any) -> None:
        super().__init__(database=database, subject=f"Erase a person's data from {database}?", **kwargs)

    def execute(self, context: Any) -> Any:
        """Ask, if it is an erasure."""
        if context["params"]["kind"] != "erase":
            raise AirflowSkipException("only an export was asked for")
        return super().execute(context)

    def rules(self) -> ApprovalRules:
        """As the privacy policy has them now."""
        policy = resources.privacy_policy(load_fleet().database(self.database))
        return ApprovalRules(policy.approvers, policy.approval_minutes, "privacy.approvers")

    def about(self) -> str:
        """The erasure."""
        return f"{self.database}, an erasure"

    def record(self, context: Mapping[str, Any], approver: str) -> None:
        """Keep it with the request."""
        settings = load_fleet().checked_settings()
        resources.ledger(settings).rows("approve_subject_request", id=request_id(context), approved_by=approver)

    def question(self, context: Mapping[str, Any], until: str) -> str:
        """What goes, what changes and what stays."""
        from pgops.privacy import Found

        ti = context["ti"]
        found = from_xcom(Found, ti.xcom_pull(task_ids="find"))
        exported = ti.xcom_pull(task_ids="export")
        subject = ti.xcom_pull(task_ids="find", key="subject")
        return "\n\n".join(
            [
                until,
                f"Request `{request_id(context)}`, subject (hashed) `{subject}`. This cannot be taken back.",
                _table_of(found),
                *([f"Archives: {_counts(found.archives)}"] if found.archives else []),
                *(
                    ["**To know before**\n\n" + "\n".join(f"- {one}" for one in found.warnings)]
                    if found.warnings
                    else []
                ),
                f"The person's data was exported before: `{exported['folder']}`, until {exported['expires_at'][:10]}.",
            ]
        )


class TombstoneOperator(SubjectOperator):
    """Leaves the tombstone, before the first row goes: from here on no restore brings the person back."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return its id and when it was written."""
        from pgops.privacy import Tombstone, write_tombstone

        case = self.case(context, fleet, database)
        approved_by = _approved_by(case.settings, case.id)
        written = write_tombstone(
            case.bucket,
            Tombstone(
                id=case.id,
                database=database.name,
                table=case.policy.subject,
                column=case.policy.key,
                key_id=case.secret.id,
                hashes=case.hashes,
                requested_by=requester(context),
                approved_by=approved_by,
                at=datetime.now(UTC),
            ),
        )
        return {"id": written.id, "at": written.at.isoformat()}


class EraseSubjectOperator(SubjectOperator):
    """Deletes and anonymises, batch by batch; a second try goes on with what is left."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return the Erased, and rows that went by archive."""
        from pgops import privacy

        case = self.case(context, fleet, database)
        _approved_by(case.settings, case.id)
        known = [one for one in privacy.tombstones(case.bucket, database.name) if one.id == case.id]
        if not any(set(one.hashes) & set(case.hashes) for one in known):
            raise Refused(
                "There is no tombstone of this person for this request",
                where=case.bucket.where(case.bucket.key(database.name, "tombstones")),
                remedy="Clear `tombstone` and what follows it; nothing was erased",
            )
        erased = privacy.erase(case.dsn, case.map, case.subject, batch_rows=case.policy.batch_rows)
        return {**to_xcom(erased), "archives": privacy.erase_archives(case.map, case.subject, case.archives)}


class ProveErasureOperator(SubjectOperator):
    """Searches again, everywhere, and lists which copies still hold the person, until when."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return the Proof."""
        from pgops import privacy

        case = self.case(context, fleet, database)
        catalog = resources.catalog(case.settings, database.name)
        holders = privacy.holders(catalog, database.backup, database.migrations, datetime.now(UTC))
        proof = privacy.prove(case.dsn, case.map, case.subject, holders, case.archives)
        privacy.finish_tombstone(case.bucket, database.name, case.id, proof.at)
        for line in (*proof.kept, *_held(proof.holders)):
            log.info("%s", line)
        return to_xcom(proof)


class SubjectReportOperator(PgOpsOperator):
    """Says what became of the request, and fails unless it was done. Runs whatever failed before it."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("trigger_rule", TriggerRule.ALL_DONE)
        super().__init__(**kwargs)

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return the outcome."""
        from pgops.privacy.proof import Proof

        settings, ti, kind = fleet.checked_settings(), context["ti"], context["params"]["kind"]
        done = {step: ti.xcom_pull(task_ids=step) for step in _STEPS}
        error = _first_problem(context)
        state = _state(kind, done)
        proof = from_xcom(Proof, done["prove_erasure"]) if done["prove_erasure"] else None
        result = {
            "database": database.name,
            "request": request_id(context),
            "kind": kind,
            "state": state,
            "error": error,
            "export": done["export"],
            "erased": done["erase"],
            "kept": list(proof.kept) if proof else [],
            "holders": _held(proof.holders) if proof else [],
            "warnings": (done["find"] or {}).get("warnings", []),
        }
        ledger = resources.ledger(settings)
        ledger.rows("end_subject_request", id=result["request"], state=state, counts=json.dumps(result))
        self._tell(context, settings, result, next(iter(ledger.rows("subject_request", id=result["request"])), {}))
        if state not in ("exported", "erased"):
            ti.xcom_push(key="report", value=result)
            raise PgOpsError(
                f"The request is {state}: {error}",
                where=database.name,
                remedy="Mend it, then clear the failed task" if state == "failed" else "Nothing was erased",
            )
        _forget_variable(context["params"])
        return result

    @staticmethod
    def _tell(
        context: Mapping[str, Any], settings: Settings, result: Mapping[str, Any], kept: Mapping[str, Any]
    ) -> None:
        from pgops.alerts.privacy import SubjectNews, subject_message
        from pgops.operators.alerting import tell_slack

        exported, erased = result["export"] or {}, result["erased"] or {}
        rows = exported.get("rows", {}) if result["kind"] == "export" else _gone(erased)
        news = SubjectNews(
            database=result["database"],
            request=result["request"],
            kind=result["kind"],
            state=result["state"],
            subject=str(kept.get("subject_hash", "unknown"))[:_SHORT],
            requested_by=str(kept.get("requested_by") or requester(context)),
            approved_by=str(kept.get("approved_by") or ""),
            rows=rows,
            notes=(*result["kept"], *result["holders"]),
            export=exported.get("folder", ""),
            error=result["error"],
            started_at=context["dag_run"].start_date or datetime.now(UTC),
            log_url=context["ti"].log_url,
        )
        tell_slack(subject_message(news, runbook_url=settings.runbook_url), settings, f"subject_{result['state']}")


def _approved_by(settings: Settings, request: str) -> str:
    """Who approved it; a task that somebody marked as success is no approval."""
    for row in resources.ledger(settings).rows("subject_request", id=request):
        if row["approved_by"]:
            return str(row["approved_by"])
    raise Refused(
        "Nobody has approved this erasure",
        where=f"request {request}, task approve_erasure",
        remedy="Trigger it again and have it approved under Required Actions; marking the task does not count",
    )


def _state(kind: str, done: Mapping[str, Any]) -> str:
    if kind == "export":
        return "exported" if done["export"] else "failed"
    if done["prove_erasure"]:
        return "erased"
    # Until there is a tombstone nothing has gone.
    return "failed" if done["tombstone"] else "refused"


def _first_problem(context: Mapping[str, Any]) -> str:
    for step in _STEPS:
        problem = context["ti"].xcom_pull(task_ids=step, key="problem")
        if problem:
            return f"{step}: {problem['error']}"
    return ""


def _forget_variable(params: Mapping[str, Any]) -> None:
    from airflow.sdk import Variable

    if params["subject_variable"]:
        Variable.delete(str(params["subject_variable"]))


def _gone(erased: Mapping[str, Any]) -> dict[str, int]:
    """Rows that were deleted or changed, by table."""
    changed: dict[str, int] = {}
    for kind in ("deleted", "anonymised", "unlinked", "archives"):
        for table, count in erased.get(kind, {}).items():
            changed[table] = changed.get(table, 0) + count
    return changed


def _held(holders: Sequence[Any]) -> list[str]:
    return [f"{one.what}" + (f", until {one.expires_at:%Y-%m-%d}" if one.expires_at else "") for one in holders]


def _because(reason: str) -> str:
    return f" ({reason})" if reason else ""


def _counts(found: Mapping[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in found.items())


def _table_of(found: Found) -> str:
    rows = [
        f"| `{one.table}` | {one.rows} | {one.action}{_because(one.reason)} | {one.path} |"
        for one in found.tables
        if one.rows
    ]
    return "\n".join(["| table | rows | what happens | found by |", "|---|---|---|---|", *rows])
