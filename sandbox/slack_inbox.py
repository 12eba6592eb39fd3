"""A Slack of one's own: takes what slack_sdk sends, refuses what Slack would refuse, and shows it on a page.

    python -m sandbox.slack_inbox --host 127.0.0.1 --port 8099 --data inbox.jsonl

It speaks the Web API (/api/...), incoming webhooks (/services/T.../B.../X) and three addresses for people and tests:
/ (the page), /messages.json?since=TS and /health. Messages are appended to a file of JSON lines and survive a restart.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from sandbox.slack_page import render_page
from sandbox.slack_rules import SlackError, check_message

FAULTS = ("503", "hang", "refuse-auth", "rate-limit")
HANG_SECONDS = 120
MAX_BODY = 64 * 1024 * 1024
WEBHOOK = re.compile(r"/services/T\w+/B\w+/\w+")
SHOWN_AS_THEMSELVES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif"}


# --- What is kept ------------------------------------------------------------------------------------------------


@dataclass
class Inbox:
    """The messages, in memory and in an append-only file of JSON lines; an edit is one more line."""

    path: Path
    messages: dict[str, dict[str, Any]] = field(default_factory=dict)
    uploads: dict[str, dict[str, Any]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    @classmethod
    def open(cls, path: Path) -> Inbox:
        """Read what an earlier process kept; a line cut off by a crash is passed over."""
        path.parent.mkdir(parents=True, exist_ok=True)
        inbox = cls(path)
        content = path.read_bytes() if path.exists() else b""
        for line in content.splitlines():
            try:
                record = json.loads(line)
                inbox.messages[record["ts"]] = record
            except (ValueError, KeyError, TypeError):
                continue
        if content and not content.endswith(b"\n"):
            with path.open("ab") as file:
                file.write(b"\n")
        return inbox

    def keep(self, message: dict[str, Any]) -> dict[str, Any]:
        """Write one message to disk, then show it; it gets its ts here unless it is an edit."""
        with self.lock:
            record = {"ts": self._next_ts(), **message}
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
                file.flush()
                os.fsync(file.fileno())
            self.messages[record["ts"]] = record
            return record

    def since(self, ts: str) -> list[dict[str, Any]]:
        """The messages newer than ts, oldest first."""
        with self.lock:
            return sorted((m for m in self.messages.values() if float(m["ts"]) > float(ts)), key=lambda m: m["ts"])

    def file_path(self, file_id: str) -> Path:
        """Where an uploaded file lies."""
        return self.path.with_suffix(".files") / file_id

    def find_file(self, file_id: str) -> dict[str, Any] | None:
        """The description of a file that was shared in a message."""
        with self.lock:
            files = [f for m in self.messages.values() for f in m.get("files", [])]
        return next((f for f in files if f["id"] == file_id), None)

    def _next_ts(self) -> str:
        micros = time.time_ns() // 1000
        if self.messages:
            seconds, _, fraction = max(self.messages).partition(".")
            micros = max(micros, int(seconds + fraction) + 1)
        return f"{micros // 1_000_000}.{micros % 1_000_000:06d}"


# --- What is answered --------------------------------------------------------------------------------------------


def channel_id(channel: str) -> str:
    """The id that Slack would give to this channel; an id stays as it is."""
    if re.fullmatch(r"[CGD][0-9A-Z]{8,}", channel):
        return channel
    return "C" + hashlib.sha256(channel.lstrip("#").encode()).hexdigest()[:9].upper()


class WebApi:
    """The methods of Slack's Web API that the project uses."""

    def __init__(self, inbox: Inbox, base_url: str) -> None:
        self.inbox = inbox
        self.base_url = base_url
        self.methods: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "api.test": lambda args: {},
            "auth.test": self.auth_test,
            "chat.postMessage": self.post_message,
            "chat.update": self.update,
            "files.getUploadURLExternal": self.get_upload_url,
            "files.completeUploadExternal": self.complete_upload,
        }

    def auth_test(self, args: dict[str, Any]) -> dict[str, Any]:
        """Who the token belongs to."""
        who = {
            "team": "Sandbox",
            "user": "pgops",
            "team_id": "T00000000",
            "user_id": "U00000000",
            "bot_id": "B00000000",
        }
        return {"url": self.base_url, **who}

    def post_message(self, args: dict[str, Any]) -> dict[str, Any]:
        """Keep a new message."""
        if not args.get("channel"):
            raise SlackError("channel_not_found")
        message = self._message(args, via="chat.postMessage")
        check_message(message)
        thread = message["thread_ts"]
        if thread and thread not in self.inbox.messages:
            raise SlackError("thread_not_found")
        record = self.inbox.keep(message)
        return {"channel": record["channel_id"], "ts": record["ts"], "message": self._shown(record)}

    def update(self, args: dict[str, Any]) -> dict[str, Any]:
        """Replace the content of a message that is there."""
        old = self.inbox.messages.get(str(args.get("ts")))
        if old is None or channel_id(str(args.get("channel", ""))) != old["channel_id"]:
            raise SlackError("message_not_found")
        content = {k: self._message(args, via="chat.update")[k] for k in ("text", "blocks", "attachments")}
        new = {**old, **content, "edited": time.time()}
        check_message(new)
        record = self.inbox.keep(new)
        return {"channel": record["channel_id"], "ts": record["ts"], "text": record["text"]}

    def webhook(self, args: dict[str, Any]) -> None:
        """Keep a message of an incoming webhook."""
        message = self._message({"channel": "#webhook", **args}, via="webhook")
        check_message(message)
        self.inbox.keep(message)

    def get_upload_url(self, args: dict[str, Any]) -> dict[str, Any]:
        """Hand out the address to which a file is then sent."""
        if not args.get("filename") or not str(args.get("length", "")).isdigit():
            raise SlackError("invalid_arguments")
        file_id = "F" + secrets.token_hex(5).upper()
        self.inbox.uploads[file_id] = {"id": file_id, "name": str(args["filename"]), "size": int(args["length"])}
        return {"upload_url": f"{self.base_url}upload/{file_id}", "file_id": file_id}

    def receive_upload(self, file_id: str, content: bytes) -> bool:
        """Keep the content of a file that was announced; False when it was not."""
        if file_id not in self.inbox.uploads:
            return False
        path = self.inbox.file_path(file_id)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return True

    def complete_upload(self, args: dict[str, Any]) -> dict[str, Any]:
        """Share the uploaded files in a message."""
        wanted = args.get("files") or []
        known = self.inbox.uploads
        if not wanted or any(f.get("id") not in known or not self.inbox.file_path(f["id"]).exists() for f in wanted):
            raise SlackError("file_not_found")
        files = [{**known[f["id"]], "title": f.get("title") or known[f["id"]]["name"]} for f in wanted]
        channel = args.get("channel_id") or args.get("channels")
        if channel:
            text = {"text": args.get("initial_comment") or ""}
            posted = {"channel": channel, "thread_ts": args.get("thread_ts"), **text}
            self.inbox.keep({**self._message(posted, via="files.completeUploadExternal"), "files": files})
        for one in files:
            known.pop(one["id"])
        return {"files": files}

    def _message(self, args: dict[str, Any], via: str) -> dict[str, Any]:
        channel = str(args["channel"])
        same = (m["channel"] for m in self.inbox.messages.values() if m["channel_id"] == channel)
        return {
            "channel": next(same, channel),  # a reply may name the channel by its id
            "channel_id": channel_id(channel),
            "thread_ts": args.get("thread_ts"),
            "username": str(args.get("username") or "pgops"),
            "text": str(args.get("text") or ""),
            "blocks": args.get("blocks") or [],
            "attachments": args.get("attachments") or [],
            "via": via,
        }

    @staticmethod
    def _shown(record: dict[str, Any]) -> dict[str, Any]:
        return {k: record[k] for k in ("ts", "text", "blocks", "attachments", "username")} | {"type": "message"}


class Handler(BaseHTTPRequestHandler):
    """One request: authentication, the fault that a test asked for, then the method."""

    protocol_version = "HTTP/1.1"
    server_version = "slack-inbox"
    server: InboxServer

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/health":
            self._answer({"ok": True, "messages": len(self.server.inbox.messages)})
        elif url.path == "/messages.json":
            self._messages(parse_qs(url.query).get("since", ["0"])[0])
        elif url.path == "/":
            page = render_page(self.server.inbox.since("0"))
            self._send(page.encode(), "text/html; charset=utf-8")
        elif url.path.startswith("/api/"):  # slack_sdk asks for upload addresses by GET
            if not self._failed_on_purpose():
                self._api(url.path.removeprefix("/api/"), b"")
        elif url.path.startswith("/files/"):
            self._file(url.path.removeprefix("/files/"))
        else:
            self._answer({"ok": False, "error": "not_found"}, HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > MAX_BODY:
            self.close_connection = True
            return self._answer({"ok": False, "error": "request_too_large"}, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        body = self.rfile.read(length)
        if self._failed_on_purpose():
            return
        path = urlsplit(self.path).path
        if path.startswith("/upload/"):
            known = self.server.api.receive_upload(path.removeprefix("/upload/"), body)
            self._send(f"OK - {length}".encode(), "text/plain", HTTPStatus.OK if known else HTTPStatus.NOT_FOUND)
        elif WEBHOOK.fullmatch(path):
            self._webhook(body)
        elif path.startswith("/api/"):
            self._api(path.removeprefix("/api/"), body)
        else:
            self._send(b"no_service", "text/plain", HTTPStatus.NOT_FOUND)

    def _api(self, name: str, body: bytes) -> None:
        try:
            args = self._arguments(body)
            method = self.server.api.methods.get(name)
            if method is None:
                raise SlackError("unknown_method", name)
            self._authenticate(args)
            answer = {"ok": True, **method(args)}
        except SlackError as error:
            answer = {"ok": False, "error": error.code}
            if error.details:
                answer["response_metadata"] = {"messages": [f"[ERROR] {detail}" for detail in error.details]}
        self._answer(answer)

    def _webhook(self, body: bytes) -> None:
        try:
            args = self._arguments(body)
            if "payload" in args:
                args = _parsed_object(str(args["payload"]))
            self.server.api.webhook(args)
        except SlackError as error:
            return self._send(error.code.encode(), "text/plain", HTTPStatus.BAD_REQUEST)
        self._send(b"ok", "text/plain")

    def _arguments(self, body: bytes) -> dict[str, Any]:
        text = body.decode("utf-8", "replace")
        query = _form(urlsplit(self.path).query)
        if "json" in self.headers.get("Content-Type", ""):
            return query | (_parsed_object(text) if text else {})
        form = query | _form(text)
        for name in ("blocks", "attachments", "files"):  # a form carries these as JSON
            if form.get(name):
                try:
                    form[name] = json.loads(form[name])
                except ValueError:
                    raise SlackError("invalid_blocks_format" if name == "blocks" else "invalid_arguments") from None
        return form

    def _authenticate(self, args: dict[str, Any]) -> None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ").strip() or str(args.get("token") or "")
        if not token:
            raise SlackError("not_authed")
        wanted = self.server.token
        if self.server.fault == "refuse-auth" or (token != wanted if wanted else not token.startswith("xoxb-")):
            raise SlackError("invalid_auth")

    def _failed_on_purpose(self) -> bool:
        fault = self.server.take_fault()
        if fault == "503":
            self._send(b"service unavailable", "text/plain", HTTPStatus.SERVICE_UNAVAILABLE)
        elif fault == "rate-limit":
            wait = {"Retry-After": str(self.server.retry_after)}
            self._answer({"ok": False, "error": "ratelimited"}, HTTPStatus.TOO_MANY_REQUESTS, wait)
        elif fault == "hang":
            self.server.stopping.wait(HANG_SECONDS)
            self.close_connection = True
        else:
            return False
        return True

    def _messages(self, since: str) -> None:
        try:
            self._answer({"ok": True, "messages": self.server.inbox.since(since)})
        except ValueError:
            self._answer({"ok": False, "error": "invalid_ts"}, HTTPStatus.BAD_REQUEST)

    def _file(self, file_id: str) -> None:
        described = self.server.inbox.find_file(file_id)
        if described is None or not self.server.inbox.file_path(described["id"]).exists():
            return self._answer({"ok": False, "error": "file_not_found"}, HTTPStatus.NOT_FOUND)
        kind = SHOWN_AS_THEMSELVES.get(Path(described["name"]).suffix.lower(), "text/plain; charset=utf-8")
        self._send(self.server.inbox.file_path(described["id"]).read_bytes(), kind)

    def _answer(
        self, content: dict[str, Any], status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None
    ) -> None:
        self._send(json.dumps(content).encode(), "application/json; charset=utf-8", status, headers)

    def _send(
        self, content: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src 'self'"
        policy += "; connect-src 'self'"
        fixed = {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
        for name, value in {
            **fixed,
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """One line per request, without the body: messages are in the data file."""
        print(time.strftime("%H:%M:%S"), format % args, file=sys.stderr, flush=True)


def _form(text: str) -> dict[str, Any]:
    return {name: values[-1] for name, values in parse_qs(text, keep_blank_values=True).items()}


def _parsed_object(text: str) -> dict[str, Any]:
    try:
        parsed = json.loads(text)
    except ValueError:
        raise SlackError("invalid_json") from None
    if not isinstance(parsed, dict):
        raise SlackError("json_not_object")
    return parsed


class InboxServer(ThreadingHTTPServer):
    """The server, its inbox and the fault that it plays."""

    daemon_threads = True

    def __init__(
        self,
        address: tuple[str, int],
        inbox: Inbox,
        *,
        token: str | None = None,
        fault: str | None = None,
        fault_count: int | None = None,
        retry_after: int = 1,
    ) -> None:
        super().__init__(address, Handler)
        self.inbox = inbox
        self.api = WebApi(inbox, f"http://{address[0]}:{self.server_address[1]}/")
        self.token = token
        self.fault = fault
        self.faults_left = fault_count
        self.retry_after = retry_after
        self.stopping = threading.Event()
        self._fault_lock = threading.Lock()

    def take_fault(self) -> str | None:
        """The fault for this request: always the same one, or none once the asked number is used up."""
        with self._fault_lock:
            if self.fault is None or self.faults_left == 0:
                return None
            if self.faults_left is not None:
                self.faults_left -= 1
            return self.fault

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no event; anything else is shown."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.slack_inbox", description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one; the address is printed")
    parser.add_argument("--data", type=Path, required=True, help="file of JSON lines that keeps the messages")
    parser.add_argument(
        "--token",
        default=os.environ.get("SLACK_INBOX_TOKEN"),  # there the process list does not show it
        help="accept this token only (default: $SLACK_INBOX_TOKEN, else any that begins with xoxb-)",
    )
    parser.add_argument("--fail", choices=FAULTS, help="for tests: how every POST fails")
    parser.add_argument("--fail-count", type=int, help="for tests: fail only the first N requests")
    parser.add_argument("--retry-after", type=int, default=1, help="seconds in the answer of --fail rate-limit")
    options = parser.parse_args(argv)
    inbox = Inbox.open(options.data)
    try:
        server = InboxServer(
            (options.host, options.port),
            inbox,
            token=options.token,
            fault=options.fail,
            fault_count=options.fail_count,
            retry_after=options.retry_after,
        )
    except OSError as error:
        print(f"Slack inbox: cannot listen on {options.host}:{options.port}: {error.strerror}", file=sys.stderr)
        return 1

    def stop(signum: int, frame: Any) -> None:
        server.stopping.set()
        threading.Thread(target=server.shutdown).start()  # shutdown() waits for the loop that this handler interrupts

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print(f"Slack inbox: http://{options.host}:{server.server_address[1]}/", flush=True)
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
