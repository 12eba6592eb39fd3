"""Sending is quick or gives up; an alert that could not be sent fails nothing and is recorded."""

from __future__ import annotations

import asyncio
import time

import pytest

from pgops.alerts.blocks import Message, header, prose
from pgops.alerts.send import AlertNotSent, notify, notify_from_triggerer, post

MESSAGE = Message("Something failed", (header("Something failed"), prose("It broke")), "#c9284b")
WHERE = {"connection_id": "slack_test", "channel": "#pg-alerts"}


@pytest.fixture
def use(monkeypatch):
    """Points the Airflow connection at an inbox."""

    def point(inbox, **changes):
        monkeypatch.setenv("AIRFLOW_CONN_SLACK_TEST", inbox.connection(**changes))
        return inbox

    return point


def test_a_message_arrives_and_can_be_answered_in_its_thread(inbox, use):
    use(inbox)
    sent = post(MESSAGE, **WHERE)
    post(Message("reply", ()), connection_id="slack_test", channel=sent.channel, thread=sent.ts)
    first, reply = inbox.messages()
    assert (first["channel"], first["blocks"][0]["type"]) == ("#pg-alerts", "header")
    assert first["attachments"][0]["color"] == "#c9284b"
    assert reply["thread_ts"] == first["ts"]


def test_secrets_are_taken_out_of_every_part_of_any_message(inbox, use):
    use(inbox)
    leaky = "postgresql://app:hunter2@db password=hunter2"
    block = {
        "type": "section",
        "text": {"type": "mrkdwn", "text": leaky},
        "fields": [{"type": "mrkdwn", "text": leaky}],
    }
    post(Message(leaky, (block,), "#c9284b"), **WHERE)
    post(Message(leaky, (block,)), **WHERE)
    assert len(inbox.messages()) == 2
    assert "hunter2" not in str(inbox.messages())


@pytest.mark.parametrize("fault", ["503", "rate-limit"])
def test_a_passing_fault_is_outwaited(start_inbox, use, fault):
    inbox = use(start_inbox("--fail", fault, "--fail-count", "2"))
    post(MESSAGE, **WHERE)
    assert [m["text"] for m in inbox.messages()] == ["Something failed"]


@pytest.mark.parametrize(
    ("options", "what", "retry", "seconds"),
    [
        (("--fail", "503"), "HTTP 503", True, 4),
        (("--fail", "rate-limit"), "HTTP 429", True, 4),
        (("--fail", "rate-limit", "--retry-after", "60"), "HTTP 429", True, 2),
        (("--fail", "hang"), "did not answer in time", True, 7),
        (("--fail", "refuse-auth"), "invalid_auth", False, 2),
    ],
)
def test_a_lasting_fault_ends_in_bounded_time_with_a_remedy(start_inbox, use, options, what, retry, seconds):
    use(start_inbox(*options))
    started = time.monotonic()
    with pytest.raises(AlertNotSent, match=what) as error:
        post(MESSAGE, **WHERE)
    assert time.monotonic() - started < seconds + 1.5
    assert error.value.retry is retry
    assert "#pg-alerts" in error.value.where and error.value.remedy


def test_a_request_that_hung_is_not_sent_twice(start_inbox, use):
    inbox = use(start_inbox("--fail", "hang", "--fail-count", "1"))
    with pytest.raises(AlertNotSent):
        post(MESSAGE, **WHERE)
    assert inbox.messages() == []


def test_nobody_listening_is_said_as_such(start_inbox, use):
    inbox = use(start_inbox())
    inbox.stop()
    with pytest.raises(AlertNotSent, match=r"not reachable: .*refused"):
        post(MESSAGE, **WHERE)


def test_a_layout_that_slack_refuses_still_gets_its_text_through(inbox, use):
    use(inbox)
    post(Message("still said", ({"type": "no_such_block"},)), **WHERE)
    assert [m["text"] for m in inbox.messages()] == ["still said"]


def test_a_missing_connection_names_itself_and_the_remedy():
    with pytest.raises(AlertNotSent, match="Slack is not set up") as error:
        post(MESSAGE, connection_id="no_such_connection", channel="#a")
    assert error.value.where == "connection no_such_connection"


def test_an_unsent_alert_raises_nothing_and_is_recorded_without_secrets(start_inbox, use, caplog):
    use(start_inbox("--fail", "refuse-auth"), token="xoxb-verysecret")
    recorded = []
    unsent = Message("failed at postgresql://a:hunter2@db", ())
    assert notify(unsent, **WHERE, kind="task_failed", record=lambda *row: recorded.append(row)) is None
    [(kind, text, error)] = recorded
    assert kind == "task_failed" and text == "failed at postgresql://a:***@db" and "invalid_auth" in error
    assert "Alert not sent" in caplog.text
    assert "hunter2" not in caplog.text and "verysecret" not in caplog.text


def test_a_record_that_fails_raises_nothing_either(start_inbox, use, caplog):
    use(start_inbox("--fail", "refuse-auth"))

    def broken(*row):
        raise RuntimeError("ledger gone, password=hunter2")

    assert notify(MESSAGE, **WHERE, record=broken) is None
    assert "ledger gone" in caplog.text and "hunter2" not in caplog.text


def test_a_slow_slack_does_not_hold_up_the_triggerers_event_loop(start_inbox, use):
    use(start_inbox("--fail", "hang"))
    recorded, gaps = [], []

    async def beat():
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.05)
            gaps.append(time.monotonic() - before)

    async def main():
        heart = asyncio.create_task(beat())
        await notify_from_triggerer(MESSAGE, **WHERE, record=lambda *row: recorded.append(row))
        heart.cancel()

    asyncio.run(main())
    assert len(recorded) == 1
    assert len(gaps) > 30, "the loop went on beating through the five seconds"
