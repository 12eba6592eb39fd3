"""A small client for Airflow's REST API: the standard library is enough for it."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from pgops.errors import PgOpsError

TIMEOUT_SECONDS = 30


class ApiError(Exception):
    """What the API answered instead of a result."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"HTTP {status}: {detail}")
        self.status = status
        self.detail = detail


class Api:
    """The API of one Airflow; without a user only what needs no login.

    Args:
        url: of the api-server.
        user: who logs in, at the first call that needs it.
        password: of that user.
    """

    def __init__(self, url: str, user: str | None = None, password: str | None = None) -> None:
        self.url = url
        self._user = user
        self._password = password
        self._token: str | None = None

    def get(self, path: str, **query: Any) -> Any:
        """GET a path below /api/v2."""
        return self._call("GET", path, query=query)

    def post(self, path: str, body: Any) -> Any:
        """POST JSON to a path below /api/v2."""
        return self._call("POST", path, body)

    def patch(self, path: str, body: Any) -> Any:
        """PATCH with JSON a path below /api/v2."""
        return self._call("PATCH", path, body)

    def _call(self, method: str, path: str, body: Any = None, query: dict[str, Any] | None = None) -> Any:
        if self._user and self._token is None:
            self._token = self._login()
        suffix = f"?{urllib.parse.urlencode(query)}" if query else ""
        return self._send(method, f"{self.url}/api/v2{path}{suffix}", body)

    def _login(self) -> str:
        try:
            answer = self._send("POST", f"{self.url}/auth/token", {"username": self._user, "password": self._password})
        except (ApiError, OSError) as error:
            raise PgOpsError(
                f"Airflow does not let us in: {error}", where=self.url, remedy="Start the sandbox: ./dev up."
            ) from error
        return str(answer["access_token"])

    def _send(self, method: str, url: str, body: Any) -> Any:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
                return json.loads(response.read() or b"null")
        except urllib.error.HTTPError as error:
            raise ApiError(error.code, _detail(error)) from error


def quote(part: str) -> str:
    """Make one part of a path of a name."""
    return urllib.parse.quote(part, safe="")


def _detail(error: urllib.error.HTTPError) -> str:
    text = error.read().decode(errors="replace")
    try:
        detail = json.loads(text)["detail"]
    except (ValueError, KeyError, TypeError):
        return text[:500]
    return detail if isinstance(detail, str) else json.dumps(detail)
