"""Sends messages to Slack: in seconds or not at all, redacted, and without ever failing the work."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pgops.alerts.blocks import Message
from pgops.alerts.redaction import redact
from pgops.errors import PgOpsError

if TYPE_CHECKING:
    from slack_sdk import WebClient
    from slack_sdk.web import SlackResponse

log = logging.getLogger(__name__)

T = TypeVar("T")

Record = Callable[[str, str, str], None]
"""Called as record(kind, message_text, error) for an alert that Slack did not take."""

ATTEMPTS = 3
REQUEST_SECONDS = 5  # for connecting, and for each wait for an answer
TOTAL_SECONDS = 14  # for everything, name resolution and waiting between attempts included
LONGEST_WAIT = 4.0  # a Retry-After beyond this is not waited for
PAUSE_SECONDS = 1.0

_SLACK = "https://slack.com/api/"
_REFUSES_CONTENT = {"invalid_blocks", "invalid_blocks_format", "invalid_attachments", "msg_blocks_too_long"}
_REMEDIES = {
    "channel_not_found": "Create the channel, or correct its name where the alerts are configured",
    "not_in_channel": "Invite the bot to the channel: /invite @bot",
    "is_archived": "Unarchive the channel, or name another one",
    "missing_scope": "Give the Slack app the scope chat:write and install it again",
} | dict.fromkeys(
    ("not_authed", "invalid_auth", "account_inactive", "token_revoked", "token_expired"),
    "Put a valid bot token (it begins with xoxb-) in the connection's password",
)


class AlertNotSent(PgOpsError):
    """Slack did not take a message."""


@dataclass(frozen=True)
class Sent:
    """Where the message stands; `ts` is what a reply names as its thread."""

    channel: str
    ts: str


def post(message: Message, *, connection_id: str, channel: str, thread: str | None = None) -> Sent:
    """Send a message through an Airflow connection of type slack.

    Raises:
        AlertNotSent: after at most three attempts and fifteen seconds.
    """
    return _post(_look_up(connection_id), message, channel, thread)


def notify(
    message: Message,
    *,
    connection_id: str,
    channel: str,
    record: Record | None = None,
    kind: str = "alert",
    thread: str | None = None,
) -> Sent | None:
    """Send a message if possible; if not, log it and record it. Never raises."""
    try:
        return post(message, connection_id=connection_id, channel=channel, thread=thread)
    except Exception as error:
        note_unsent(message, error, kind=kind, record=record)
        return None


async def notify_from_triggerer(
    message: Message, *, connection_id: str, channel: str, record: Record | None = None, kind: str = "alert"
) -> Sent | None:
    """`notify` for the triggerer: its event loop is not held up while Slack is slow."""
    import asyncio

    from asgiref.sync import sync_to_async

    try:
        client = await sync_to_async(_look_up)(connection_id)
        return await asyncio.to_thread(_post, client, message, channel, None)
    except Exception as error:
        await asyncio.to_thread(note_unsent, message, error, kind=kind, record=record)
        return None


def note_unsent(message: Message, error: BaseException, *, kind: str, record: Record | None) -> None:
    """Log an alert that could not be sent, and record it; a record that fails is logged too."""
    text, reason = redact(message.text), redact(f"{error}")
    log.error("Alert not sent to Slack (%s): %s | %s", kind, text, reason)
    if record is None:
        return
    try:
        record(kind, text, reason)
    except Exception as failure:
        log.error("Nor could it be recorded: %s", redact(f"{type(failure).__name__}: {failure}"))


def payload(message: Message) -> dict[str, Any]:
    """The message as Slack wants it, redacted once more: whoever built it, no secret leaves."""
    blocks = _redacted(list(message.blocks))
    content: dict[str, Any] = {"text": redact(message.text), "unfurl_links": False, "unfurl_media": False}
    if not message.color:
        return content | {"blocks": blocks}
    heads, rest = (blocks[:1], blocks[1:]) if blocks and blocks[0]["type"] == "header" else ([], blocks)
    return content | {"blocks": heads, "attachments": [{"color": message.color, "blocks": rest}]}


def _redacted(part: Any) -> Any:
    if isinstance(part, str):
        return redact(part)
    if isinstance(part, dict):
        return {key: _redacted(value) for key, value in part.items()}
    return [_redacted(one) for one in part] if isinstance(part, list | tuple) else part


def _look_up(connection_id: str) -> WebClient:
    """The client for a connection; looked up in the caller's thread, where Airflow answers."""
    from airflow.providers.slack.hooks.slack import SlackHook

    try:
        hook = SlackHook(slack_conn_id=connection_id, retry_handlers=[], timeout=REQUEST_SECONDS)
        return hook.client
    except Exception as error:
        raise AlertNotSent(
            f"Slack is not set up: {redact(str(error))}",
            where=f"connection {connection_id}",
            remedy="Define the connection with type slack and a bot token as its password",
        ) from error


def _post(client: WebClient, message: Message, channel: str, thread: str | None) -> Sent:
    place = f"{channel} at {client.base_url}" if client.base_url != _SLACK else channel
    deadline = time.monotonic() + TOTAL_SECONDS
    try:
        response = _within(TOTAL_SECONDS, lambda: _attempts(client, message, channel, thread, deadline))
    except Exception as error:
        raise _not_sent(error, place) from error
    return Sent(channel=str(response["channel"]), ts=str(response["ts"]))


def _attempts(client: WebClient, message: Message, channel: str, thread: str | None, deadline: float) -> SlackResponse:
    """Try until it is sent, refused, or time is up.

    A request that got out and was not answered is not repeated: Slack may have taken it, and the same alert twice is
    one too many.
    """
    from urllib.error import URLError

    from slack_sdk.errors import SlackApiError

    content = payload(message)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return client.chat_postMessage(channel=channel, thread_ts=thread, **content)
        except SlackApiError as error:
            if _code(error) in _REFUSES_CONTENT and "blocks" in content:
                log.warning("Slack refused the message's layout (%s): sending its text alone", _code(error))
                content = {k: v for k, v in content.items() if k not in ("blocks", "attachments")}
                continue
            wait = _wait(error)
            failure: Exception = error
        except URLError as error:  # the request did not get out
            wait = None if isinstance(error.reason, TimeoutError) else PAUSE_SECONDS
            failure = error
        if wait is None or attempt == ATTEMPTS or time.monotonic() + wait > deadline:
            raise failure
        time.sleep(wait)
    raise TimeoutError("no attempt is left")


def _wait(error: Any) -> float | None:
    """How long to wait before the next attempt; None when another one is no use."""
    status = error.response.status_code
    if status == 429:
        asked = str(error.response.headers.get("Retry-After") or error.response.headers.get("retry-after") or "")
        seconds = float(asked) if asked.isdigit() else PAUSE_SECONDS
        return seconds if seconds <= LONGEST_WAIT else None
    return PAUSE_SECONDS if status >= 500 else None


def _code(error: Any) -> str:
    data = error.response.data
    return str(data.get("error", "")) if isinstance(data, dict) else ""


def _not_sent(error: Exception, place: str) -> AlertNotSent:
    response = getattr(error, "response", None)
    if response is None:
        reason = getattr(error, "reason", error)
        slow = isinstance(reason, TimeoutError)
        what = "Slack did not answer in time" if slow else f"Slack is not reachable: {redact(str(reason))}"
        remedy = "Check the network and the proxy between the worker and Slack, and status.slack.com"
        return AlertNotSent(what, where=place, remedy=remedy, retry=True)
    passing = response.status_code == 429 or response.status_code >= 500
    said = f"HTTP {response.status_code}" if passing else _code(error)
    remedy = _REMEDIES.get(said, "Wait; see status.slack.com" if passing else "Look the code up in Slack's API pages")
    return AlertNotSent(f"Slack did not take the message: {said}", where=place, remedy=remedy, retry=passing)


def _within(seconds: float, call: Callable[[], T]) -> T:
    """The call's result, or TimeoutError.

    It runs in a thread of its own because no socket timeout covers name resolution or an answer that drips in.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="slack-post", daemon=True).start()
    return future.result(timeout=seconds)
