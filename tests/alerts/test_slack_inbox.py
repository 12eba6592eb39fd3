"""The inbox answers slack_sdk as Slack does, loses nothing, and shows what came in without trusting it."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import pytest
from slack_sdk import WebClient, WebhookClient
from slack_sdk.errors import SlackApiError

from pgops.alerts.messages import Alert, BackupLine, NightlyReport, alert_message, nightly_message
from pgops.alerts.send import payload

CHROMIUM = Path("/usr/bin/chromium")
PLAIN = {"type": "plain_text", "text": "x"}


def client(inbox, token: str = "xoxb-test") -> WebClient:
    return WebClient(token, base_url=f"{inbox.url}api/", timeout=5)


def refusal(inbox, **message) -> str:
    with pytest.raises(SlackApiError) as error:
        client(inbox).chat_postMessage(**({"channel": "#a", "text": "t"} | message))
    return str(error.value.response["error"])


def test_a_posted_message_is_kept_and_can_be_replied_to_and_edited(inbox):
    slack = client(inbox)
    first = slack.chat_postMessage(channel="#ops", text="one")
    slack.chat_postMessage(channel=first["channel"], text="reply", thread_ts=first["ts"])
    slack.chat_update(channel=first["channel"], ts=first["ts"], text="one, edited")

    kept = inbox.messages()
    assert [(m["channel"], m["text"]) for m in kept] == [("#ops", "one, edited"), ("#ops", "reply")]
    assert kept[1]["thread_ts"] == first["ts"]


def test_a_restart_loses_no_message_even_after_a_torn_write(start_inbox, tmp_path):
    before = start_inbox()
    client(before).chat_postMessage(channel="#ops", text="kept")
    before.process.kill()
    before.process.wait()
    with (tmp_path / "inbox.jsonl").open("a") as file:
        file.write('{"ts": "99')

    after = start_inbox()
    client(after).chat_postMessage(channel="#ops", text="new")
    assert [m["text"] for m in start_inbox().messages()] == ["kept", "new"]
    assert after.stop() == 0


def test_since_returns_only_newer_messages(inbox):
    slack = client(inbox)
    first = slack.chat_postMessage(channel="#ops", text="old")["ts"]
    slack.chat_postMessage(channel="#ops", text="new")
    with urllib.request.urlopen(f"{inbox.url}messages.json?since={first}") as answer:
        assert [m["text"] for m in json.load(answer)["messages"]] == ["new"]


def test_a_request_without_a_valid_token_is_refused(inbox):
    for token, error in (("", "not_authed"), ("wrong", "invalid_auth")):
        with pytest.raises(SlackApiError, match=error):
            client(inbox, token).auth_test()
    assert client(inbox).auth_test()["ok"]


def test_with_a_set_token_every_other_one_is_refused(start_inbox):
    inbox = start_inbox("--token", "xoxb-right")
    assert client(inbox, "xoxb-right").auth_test()["ok"]
    with pytest.raises(SlackApiError, match="invalid_auth"):
        client(inbox, "xoxb-wrong").auth_test()


@pytest.mark.parametrize(
    "blocks",
    [
        [{"type": "divider"}] * 51,
        [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}],
        [{"type": "section", "text": {"type": "mrkdwn", "text": ""}}],
        [{"type": "section"}],
        [{"type": "section", "fields": [PLAIN] * 11}],
        [{"type": "section", "fields": [{"type": "mrkdwn", "text": "x" * 2001}]}],
        [{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}],
        [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}],
        [{"type": "context", "elements": [PLAIN] * 11}],
        [{"type": "actions", "elements": [{"type": "button", "text": PLAIN, "url": "javascript:alert(1)"}]}],
        [{"type": "no_such_block"}],
        ["no block"],
    ],
)
def test_blocks_that_slack_would_refuse_are_refused(inbox, blocks):
    assert refusal(inbox, blocks=blocks) == "invalid_blocks"
    assert refusal(inbox, attachments=[{"color": "#123456", "blocks": blocks}]) == "invalid_attachments"
    assert inbox.messages() == []


def test_blocks_at_the_limits_are_taken(inbox):
    at_limits = [
        {"type": "header", "text": {"type": "plain_text", "text": "x" * 150}},
        {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3000}, "fields": [PLAIN] * 10},
        *[{"type": "divider"}] * 48,
    ]
    assert client(inbox).chat_postMessage(channel="#a", text="t", blocks=at_limits)["ok"]


def test_other_refusals_carry_slacks_own_codes(inbox):
    long = [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 2900}}] * 4
    assert refusal(inbox, blocks=long) == "msg_blocks_too_long"
    assert refusal(inbox, text="") == "no_text"
    assert refusal(inbox, channel="") == "channel_not_found"
    assert refusal(inbox, thread_ts="1.0") == "thread_not_found"


def test_an_incoming_webhook_is_taken_and_a_bad_one_refused(inbox):
    hook = WebhookClient(f"{inbox.url}services/T1/B1/secret")
    assert hook.send(text="by hook").body == "ok"
    assert hook.send(blocks=[{"type": "section"}]).body == "invalid_blocks"
    assert WebhookClient(f"{inbox.url}services/nonsense").send(text="x").status_code == 404
    assert [m["text"] for m in inbox.messages()] == ["by hook"]


def test_a_file_can_be_shared_and_fetched(inbox):
    slack = client(inbox)
    channel = slack.chat_postMessage(channel="#ops", text="see below")["channel"]
    slack.files_upload_v2(
        channel=channel, content="plan <b>", filename="plan.html", title="The plan", request_file_info=False
    )
    shared = inbox.messages()[-1]["files"][0]
    with urllib.request.urlopen(f"{inbox.url}files/{shared['id']}") as answer:
        assert answer.read() == b"plan <b>"
        assert answer.headers["Content-Type"].startswith("text/plain"), "foreign HTML must not run"
    for outside in ("../inbox.jsonl", "..%2Finbox.jsonl", "FUNKNOWN"):
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"{inbox.url}files/{outside}")


def test_a_port_that_is_taken_is_said_in_one_line(inbox, tmp_path):
    import subprocess
    import sys

    port = inbox.url.rstrip("/").rsplit(":", 1)[1]
    command = [sys.executable, "-m", "sandbox.slack_inbox", "--port", port, "--data", str(tmp_path / "other")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, cwd=Path(__file__).parents[2])
    assert ended.returncode == 1
    assert ended.stderr.strip() == f"Slack inbox: cannot listen on 127.0.0.1:{port}: Address already in use"


def test_the_page_escapes_everything_that_comes_from_a_message(inbox):
    evil = "<img src=x onerror=alert(1)>\"'&lt;script&gt;"
    text = {"type": "mrkdwn", "text": f'{evil} *{evil}* `{evil}` ```{evil}``` <http://x/"onclick=alert(1)|{evil}>'}
    button = {"type": "button", "text": {"type": "plain_text", "text": evil}, "url": 'http://x/"><script>'}
    blocks = [{"type": "section", "text": text}, {"type": "actions", "elements": [button]}]
    slack = client(inbox)
    slack.chat_postMessage(channel=evil, username=evil, text=evil, blocks=blocks)
    slack.chat_postMessage(channel="#a", text=evil, attachments=[{"color": '"><script>', "text": evil, "title": evil}])
    page = inbox.page()
    assert "<img" not in page
    assert page.count("<script>") == 1, "only the page's own"
    assert 'x/"' not in page


def test_the_page_shows_an_alert_and_a_report_as_people_read_them(inbox):
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}")
    at = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
    alert = Alert(
        "dump failed", "crit", "<billing> *x*", "pg_dump stopped <!channel>", "primary:5432", at, "Run it again",
        "http://airflow.test/log", "backup-dump-failed", "./dev run nightly_backup",
    )  # fmt: skip
    report = NightlyReport(
        (BackupLine("shop", True, 10**9, 20, 5 * 10**7, 3, "contents"),), at, 60, "http://airflow.test/log"
    )
    slack = client(inbox)
    slack.chat_postMessage(
        channel="#pg-alerts", **payload(alert_message(alert, runbook_url="https://docs.test/runbook.md"))
    )
    first = inbox.messages()[0]
    slack.chat_postMessage(channel="#pg-alerts", text="on it", thread_ts=first["ts"], username="ada")

    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page()
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.goto(inbox.url)
        shown = page.locator("main").inner_text()
        for text in ("CRITICAL", "<billing> *x*", "pg_dump stopped <!channel>", "Critical: act now", "Run it again"):
            assert text in shown
        assert page.locator(".mention").count() == 0, "nobody was called"
        assert page.locator("a", has_text="Open the task log").get_attribute("href") == "http://airflow.test/log"
        runbook = page.locator("a", has_text="Runbook: Backup: dump failed").get_attribute("href")
        assert runbook == "https://docs.test/runbook.md#backup-dump-failed"
        assert "on it" in page.locator(".thread").inner_text()

        slack.chat_postMessage(channel="#pg-alerts", **payload(nightly_message(report)))
        page.wait_for_selector("text=Nightly backup: 1 database proven", timeout=8000)  # by itself
        assert "shop" in page.locator("pre", has_text="MiB/s").inner_text()
        assert {url for url in requests if not url.startswith(inbox.url)} == set(), "no outside address was asked"
        browser.close()


@pytest.mark.parametrize(("fault", "status"), [("503", 503), ("rate-limit", 429)])
def test_a_fault_ends_after_its_count(start_inbox, fault, status):
    inbox = start_inbox("--fail", fault, "--fail-count", "1")
    slack = WebClient("xoxb-test", base_url=f"{inbox.url}api/", retry_handlers=[])
    with pytest.raises(SlackApiError) as error:
        slack.auth_test()
    assert error.value.response.status_code == status
    assert slack.auth_test()["ok"]


def test_a_hanging_inbox_still_stops_at_once(start_inbox):
    inbox = start_inbox("--fail", "hang")
    with pytest.raises(Exception, match="timed out"):
        WebClient("xoxb-test", base_url=f"{inbox.url}api/", timeout=1, retry_handlers=[]).auth_test()
    started = time.monotonic()
    assert inbox.stop() == 0
    assert time.monotonic() - started < 3
