"""What Slack hears about a person's data: the request and its outcome, never the person."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pgops.alerts.privacy import SubjectNews, subject_message

NEWS = SubjectNews(
    database="app",
    request="20261123T020000Z-1f9a3c",
    kind="erase",
    state="erased",
    subject="0123456789ab",
    requested_by="ann",
    approved_by="op",
    rows={"public.orders": 3, "public.empty": 0},
    notes=tuple(f"backup {number}" for number in range(20)),
    export="s3://bucket/folder",
    error="",
    started_at=datetime(2026, 11, 23, tzinfo=UTC),
    log_url="http://airflow.test/log",
)


def test_it_says_what_went_and_what_still_holds_the_person():
    said = json.dumps(subject_message(NEWS).blocks)
    assert "public.orders: 3" in said and "public.empty" not in said
    assert "backup 7" in said and "backup 8" not in said and "and 12 more" in said
    assert "runbook" not in said


@pytest.mark.parametrize("state", ["failed", "refused"])
def test_what_is_not_done_leads_to_the_runbook(state):
    message = subject_message(replace(NEWS, state=state, error="erase: <!channel>"))
    said = json.dumps(message.blocks)
    assert "subject-request-not-finished" in said and "<!channel>" not in said and message.color
