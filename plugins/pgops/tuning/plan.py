"""From verdicts to what somebody may approve; and from what was applied to what takes it back."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from pgops.errors import Refused
from pgops.tuning import script
from pgops.tuning.model import Change, Facts, Plan, Verdict


def plan_id(run: str, server: str, begun: datetime) -> str:
    """Names a plan: the same for every try of a run."""
    digest = hashlib.sha256(f"{run}/{server}".encode()).hexdigest()[:6]
    return f"{begun.astimezone(UTC):%Y%m%dT%H%M%SZ}-{digest}"


def make_plan(
    facts: Facts, verdicts: Sequence[Verdict], name: str, server: str, at: datetime, only: Collection[str] = ()
) -> Plan:
    """What a reload can change, of all that is advised or of these settings only.

    Raises:
        Refused: a setting that was asked for is not among them.
    """
    managed = facts.machine.managed != "none"
    ready = [] if managed else [one for one in verdicts if one.action == "reload"]
    _refuse_unknown(only, ready, verdicts, server)
    changes = tuple(_change(facts, one) for one in ready if not only or one.setting in only)
    return Plan(
        id=name,
        server=server,
        at=at,
        identifier=facts.server.identifier,
        changes=changes,
        forward=script.forward(changes),
        reverse=script.reverse(changes),
        ticket=script.ticket(facts, verdicts),
        parameters=tuple(script.parameters(facts, verdicts)) if managed else (),
    )


def make_reverse(facts: Facts, undone: Plan, settings: Sequence[str], name: str, server: str, at: datetime) -> Plan:
    """What takes a plan back, as far as it was applied; a value that somebody has changed since is left to them.

    Args:
        facts: the server as it is now.
        undone: the plan that was applied.
        settings: of it, those to take back.
        name: of the new plan.
        server: its name in the fleet file.
        at: when.
    """
    changes = tuple(
        Change(
            setting=one.setting,
            value=one.auto_before,
            # What must still be there when it is taken back: what the plan has written.
            before=facts.settings[one.setting].value,
            source=facts.settings[one.setting].source,
            auto_before=one.value,
            unit=one.unit,
            vartype=one.vartype,
            shown_before=facts.settings[one.setting].shown,
            says=f"takes back {undone.id}",
            undoes=undone.id,
        )
        for one in reversed(undone.changes)
        if one.setting in settings
    )
    return Plan(
        id=name,
        server=server,
        at=at,
        identifier=facts.server.identifier,
        changes=changes,
        forward=script.forward(changes),
        reverse=script.reverse(changes),
        undoes=undone.id,
    )


def _change(facts: Facts, verdict: Verdict) -> Change:
    setting = facts.settings[verdict.setting]
    return Change(
        setting=setting.name,
        value=verdict.value,
        before=setting.value,
        source=setting.source,
        auto_before=facts.auto(setting.name),
        unit=setting.unit,
        vartype=setting.vartype,
        shown_before=setting.shown,
        says=verdict.says,
    )


def _refuse_unknown(only: Collection[str], ready: Sequence[Verdict], verdicts: Sequence[Verdict], server: str) -> None:
    missing = sorted(set(only) - {one.setting for one in ready})
    if not missing:
        return
    known = {one.setting: one for one in verdicts}
    raise Refused(
        "; ".join(f"{name}: {_why_not(known.get(name))}" for name in missing),
        where=f"the param settings, server {server}",
        remedy=f"Name some of: {', '.join(one.setting for one in ready) or 'none, there is nothing to apply'}",
    )


def _why_not(verdict: Verdict | None) -> str:
    if verdict is None:
        return "no rule speaks of it"
    if verdict.why_not:
        return verdict.why_not
    if verdict.action == "restart":
        return "it needs a restart, which is never done from here"
    return f"there is nothing to change, it is {verdict.grade}"
