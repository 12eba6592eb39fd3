"""An approval by a second person, with in front of them what will be done. Silence is a no."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.standard.exceptions import HITLRejectException
from airflow.providers.standard.operators.hitl import ApprovalOperator

from pgops.errors import PgOpsError, Refused
from pgops.operators.base import FailedForGood, requester

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ApprovalRules:
    """Who may approve. Without approvers Airflow alone decides who may answer.

    `where` is the place of the policy in the fleet file.
    """

    approvers: tuple[str, ...]
    minutes: float
    where: str
    requester_may_approve: bool = False


class SecondPersonOperator(ApprovalOperator):
    """Waits for a person who may approve.

    Args:
        database: its name in the fleet file.
    """

    template_fields: Sequence[str] = ("subject", "body", "database")

    def __init__(self, *, database: str, **kwargs: Any) -> None:
        self.database = database
        super().__init__(defaults="Reject", fail_on_reject=True, **kwargs | {"execution_timeout": None, "retries": 0})

    @abstractmethod
    def rules(self) -> ApprovalRules:
        """As the fleet file has them now."""

    @abstractmethod
    def question(self, context: Mapping[str, Any], until: str) -> str:
        """What the approver reads; `until` says who asks, who may answer, and by when."""

    @abstractmethod
    def about(self) -> str:
        """What is approved, as errors name it."""

    @abstractmethod
    def record(self, context: Mapping[str, Any], approver: str) -> None:
        """Keep who approved it in the ledger."""

    def execute(self, context: Any) -> Any:
        """Fill in what the policy says and what will be done, and ask."""
        try:
            rules, asked = self.rules(), requester(context)
            names = may_approve(rules, asked)
            self.response_timeout = timedelta(minutes=rules.minutes)
            self.assigned_users = [{"id": name, "name": name} for name in names] or None
            until = datetime.now(UTC) + self.response_timeout
            self.body = self.question(
                context,
                f"**{asked}** asks for it. {_listed(names)} may approve it; without an answer by"
                f" **{until:%H:%M} UTC on {until:%-d %B}** it is rejected.",
            )
        except PgOpsError as error:
            _keep_problem(context, self.database, str(error))
            raise FailedForGood(error) from error
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Record who said yes; whoever asked for it may not, unless the policy allows that."""
        user = event.get("responded_by_user") or {}
        # A run knows its requester by name; not every auth manager has names for ids.
        known_as = {str(user[key]) for key in ("id", "name") if user.get(key)}
        answerer = str(user.get("name") or user.get("id") or "")
        try:
            answer = super().execute_complete(context, event)
        except HITLRejectException:
            said = f"{answerer} rejected it" if answerer else "nobody answered in time, which is a no"
            _keep_problem(context, self.database, said)
            raise
        try:
            self._check(context, answerer, known_as)
            self.record(context, answerer)
        except PgOpsError as error:
            _keep_problem(context, self.database, str(error))
            raise FailedForGood(error) from error
        log.info("approved by %s", answerer)
        return {"approved_by": answerer, "at": str(answer["responded_at"])}

    def _check(self, context: Mapping[str, Any], approver: str, known_as: set[str]) -> None:
        """Airflow lets only the assigned users answer; the policy may be another one by now."""
        rules, asked = self.rules(), requester(context)
        names = may_approve(rules, asked)
        own = asked in known_as and not rules.requester_may_approve
        if not approver or own or (names and not known_as & set(names)):
            raise Refused(
                f"{approver or 'nobody'} may not approve what {asked} asked for",
                where=self.about(),
                remedy=f"Let one of these approve it: {', '.join(names) or 'anybody else'}",
            )


def may_approve(rules: ApprovalRules, asked: str) -> list[str]:
    """Names of those who may approve; empty where anybody may whom Airflow lets answer.

    Raises:
        Refused: nobody is left.
    """
    names = [name for name in rules.approvers if rules.requester_may_approve or name != asked]
    if rules.approvers and not names:
        raise Refused(
            f"Nobody may approve it: {asked} asked for it and is the only approver",
            where=rules.where,
            remedy="Let somebody else trigger it, or name more approvers",
        )
    return names


def _keep_problem(context: Mapping[str, Any], database: str, words: str) -> None:
    """The report says in one line what failed; a failed task leaves no result."""
    context["ti"].xcom_push(key="problem", value={"database": database, "error": words})


def _listed(names: Sequence[str]) -> str:
    if not names:
        return "Whoever may edit this run, but not its requester,"
    return f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else f"Only {names[0]}"
