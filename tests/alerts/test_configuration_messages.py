"""The message about settings: what is not in place comes first, and no text of a server's is markup."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pgops.alerts.blocks import MESSAGE_BLOCKS, text_length
from pgops.alerts.send import payload
from pgops.alerts.tuning import ConfigurationNews, configuration_message
from pgops.tuning.apply import Applied, Outcome
from pgops.tuning.model import Grade, Plan, Verdict
from pgops.tuning.review import Reviewed
from tests.inbox import shown

AT = datetime(2026, 3, 2, 8, tzinfo=UTC)


def verdict(setting: str, grade: Grade, says: str = "why", wanted: str = "1") -> Verdict:
    return Verdict(setting, grade, "0", "default", says, wanted, "reload")


def news(*verdicts: Verdict, **more: Any) -> ConfigurationNews:
    plan = Plan("20260302T080000Z-abcdef", "main", AT, "7", ticket=more.pop("ticket", ""))
    counts = {str(grade): sum(one.grade is grade for one in verdicts) for grade in Grade}
    reviewed = Reviewed("main", 180000, AT, counts, verdicts, plan)
    return ConfigurationNews((reviewed,), AT, "https://airflow/log", **more)


def test_what_is_dangerous_is_said_with_its_reason_and_leads_to_the_runbook():
    message = configuration_message(news(verdict("fsync", Grade.DANGEROUS, "loses data"), verdict("jit", Grade.ADVICE)))
    told = shown(payload(message))
    assert "1 dangerous, 1 advice" in told and "loses data" in told and "setting-is-dangerous" in told


def test_what_was_approved_and_is_not_in_place_is_in_the_headline():
    outcomes = (Outcome("jit", "applied", "verified", "on", "off"), Outcome("work_mem", "failed", "taken back", "4MB"))
    message = configuration_message(news(applied=Applied("20260302T080000Z-abcdef", "main", outcomes)))
    told = shown(payload(message))
    assert message.text == "Settings of main: 1 changed, 1 NOT"
    assert "taken back" in told and "settings-not-changed" in told


def test_what_comes_from_a_server_is_no_markup_and_fits():
    evil = [verdict(f"s{n}", Grade.DANGEROUS, "<!channel> `x` " + "y" * 500) for n in range(60)]
    message = configuration_message(news(*evil, ticket="-- <!here>\n" * 2000, failed={"b": "<@U1>"}))
    told = shown(payload(message))
    assert "<!channel>" not in told and "<!here>" not in told and "<@U1>" not in told
    assert len(message.blocks) <= MESSAGE_BLOCKS and text_length(message.blocks) < 11_000


def test_a_server_that_is_well_is_one_quiet_line():
    message = configuration_message(news(verdict("jit", Grade.OK, wanted="")))
    assert message.text == "Settings of main: all well" and message.color == ""
