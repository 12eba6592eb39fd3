"""The web application: pages, metrics and reports. Whoever mounts it says who may see them and where the ledger is."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import jinja2
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException as AnyHTTPException

from pgops import units
from pgops.dashboard import metrics, reports, words
from pgops.dashboard.database import database_page
from pgops.dashboard.fleet import CONNECTIONS, SIZE, Level, Row, fleet_rows, with_details, with_trends
from pgops.dashboard.read import Reader, reading
from pgops.errors import PgOpsError, Refused
from pgops.fleet import Fleet, Settings, load_fleet
from pgops.fleet.loader import fleet_file
from pgops.postgres import Dsn

log = logging.getLogger(__name__)

PER_PAGE = 50
_HERE = Path(__file__).parent
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
_AREAS = {
    "grades": "health checks",
    "runs": "links to runs",
    "configurations": "configuration drift",
    "changes_of_server": "changes of settings",
    "horizons": "partition horizon",
    "partitions": "retired partitions",
    "requests": "requests about personal data",
    "restorable": "restorable intervals",
    "figures": "trends",
    "figures_of_database": "figures over time",
}


@dataclass(frozen=True)
class Site:
    """What the application needs of the house around it.

    Attributes:
        ledger: where the ledger is, asked anew for every page: a connection may be edited.
        report: an object of the bucket, by its key.
        viewer: FastAPI dependency that raises HTTPException 401 or 403 for whoever may not look.
        scraper: the same for /metrics.
    """

    ledger: Callable[[Settings], Dsn]
    report: Callable[[Settings, str], bytes]
    viewer: Callable[..., Any]
    scraper: Callable[..., Any]


class _FleetFile:
    """The fleet file, read again only when it has changed: 500 databases take a second to parse."""

    def __init__(self) -> None:
        self._read: tuple[tuple[str, int, int], Fleet] | None = None

    def fleet(self) -> Fleet:
        try:
            file = fleet_file()
            facts = file.stat()
        except OSError:
            return load_fleet()  # which says what is wrong
        mark = (str(file), facts.st_mtime_ns, facts.st_size)
        if self._read is None or self._read[0] != mark:
            self._read = (mark, load_fleet(file))
        return self._read[1]


def create_app(site: Site) -> FastAPI:
    """The application, to be mounted anywhere."""
    app = FastAPI(title="Fleet", docs_url=None, redoc_url=None, openapi_url=None)
    app.mount("/static", StaticFiles(directory=_HERE / "static"))  # nothing secret: the page that says 401 needs it
    _Pages(site).add_to(app)

    @app.middleware("http")
    async def headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        # A page is of its moment; a file may be kept as long as its ETag is asked for.
        response.headers["Cache-Control"] = "no-cache" if "etag" in response.headers else "no-store"
        return response

    return app


class _Pages:
    def __init__(self, site: Site) -> None:
        self.site = site
        self.file = _FleetFile()
        self.templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=jinja2.StrictUndefined,
        )
        self.templates.filters |= {
            **{"size": units.size, "duration": units.duration, "change": units.change, "shown": units.shown},
            **{"stamp": words.stamp, "ago": words.ago, "age": words.age, "path": lambda text: quote(str(text), "")},
        }

    def add_to(self, app: FastAPI) -> None:
        seen = [Depends(self.site.viewer)]
        for path, page in (
            ("/", self.fleet),
            ("/database/{name}", self.database),
            ("/database/{name}/health", self.health_report),
            ("/database/{name}/configuration", self.configuration_report),
            ("/database/{name}/queries", self.query_report),
            ("/database/{name}/validations/{number}", self.validation_report),
        ):
            app.get(path, dependencies=seen, response_class=HTMLResponse)(page)
        app.get("/metrics", dependencies=[Depends(self.site.scraper)])(self.metrics)
        app.exception_handler(PgOpsError)(self._failed)
        app.exception_handler(AnyHTTPException)(self._refused)

    # Plain functions: each runs in a thread, and waits there for the ledger.

    def fleet(self, request: Request, q: str = "", level: str = "", page: int = 1) -> Response:
        """One row for each database."""
        fleet, now = self.file.fleet(), datetime.now(UTC)
        with reading(self.site.ledger(fleet.checked_settings())) as reader:
            rows = fleet_rows(fleet, reader, now)
            found = [row for row in rows if q.lower() in row.name.lower() and level in ("", row.level.word)]
            pages = max(-(-len(found) // PER_PAGE), 1)
            page = min(max(page, 1), pages)
            shown = with_trends(reader, with_details(reader, found[(page - 1) * PER_PAGE : page * PER_PAGE]))
        numbers = Counter(row.level for row in rows)
        values = {
            "rows": shown,
            "numbers": {one: numbers[one] for one in sorted(Level, reverse=True)},
            **{"total": len(rows), "found": len(found), "number": page, "pages": pages},
            **{"q": q, "level": level, "now": now, "missing": _missing(reader, shown)},
            "more": lambda to: f"?{urlencode({'q': q, 'level': level, 'page': to})}",
            **{"problems": fleet.problems, "SIZE": SIZE, "CONNECTIONS": CONNECTIONS},
        }
        return self._page(request, "fleet.html", values)

    def database(self, request: Request, name: str) -> Response:
        """Everything about one database."""
        fleet, now = self._known(name), datetime.now(UTC)
        with reading(self.site.ledger(fleet.checked_settings())) as reader:
            page = database_page(fleet, reader, name, now)
        values = {"page": page, "row": page.row, "now": now, "missing": _missing(reader, [page.row])}
        return self._page(request, "database.html", values)

    def health_report(self, name: str) -> Response:
        """The newest health check's report."""
        return self._report(name, "health_report", database=name)

    def configuration_report(self, name: str) -> Response:
        """The newest review of the settings of its server."""
        return self._report(name, "configuration_report", server=dict(self._known(name).names)[name])

    def query_report(self, name: str) -> Response:
        """The newest query review's report."""
        return self._report(name, "query_report", database=name)

    def validation_report(self, name: str, number: int) -> Response:
        """The report of a rehearsed migration."""
        return self._report(name, "validation_report", database=name, id=number)

    def metrics(self, request: Request) -> Response:
        """For Prometheus; a ledger that does not answer is a figure too."""
        fleet, rows, figures, up = self.file.fleet(), list[Row](), dict[tuple[str, str], float](), False
        missing: dict[str, str] = {}
        intervals: dict[str, metrics.Restorable] = {}
        try:
            with reading(self.site.ledger(fleet.checked_settings())) as reader:
                rows = with_details(reader, fleet_rows(fleet, reader, datetime.now(UTC)))
                figures = metrics.newest_figures(reader, [row.name for row in rows])
                intervals = metrics.restorable(reader, [row.server for row in rows])
                missing, up = reader.missing, True
        except PgOpsError as error:
            log.warning("no figures for Prometheus: %s", error)
        accept = request.headers.get("accept", "")
        body, content_type = metrics.exposition(accept, rows, figures, intervals, sorted(missing), up=up)
        return Response(body, headers={"Content-Type": content_type})

    def _known(self, name: str) -> Fleet:
        fleet = self.file.fleet()
        if name not in dict(fleet.names):
            raise HTTPException(404, "There is no such database in the fleet file")
        return fleet

    def _report(self, name: str, query: str, **parameters: Any) -> Response:
        fleet = self._known(name)
        with reading(self.site.ledger(fleet.checked_settings())) as reader:
            keys = [row["key"] for row in reader.rows(query, **parameters)]
        if not keys:
            raise HTTPException(404, "There is no such report")
        page = self.site.report(fleet.checked_settings(), keys[0]).decode("utf-8", "replace")
        return HTMLResponse(page, headers={"Content-Security-Policy": reports.policy(page)})

    def _page(self, request: Request, template: str, values: Mapping[str, Any], status: int = 200) -> Response:
        root = request.scope.get("root_path", "")
        text = self.templates.get_template(template).render(root=root, airflow=root.rpartition("/")[0], **values)
        return HTMLResponse(text, status)

    async def _failed(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, PgOpsError)
        log.warning("the dashboard cannot answer: %s", error)
        status = 500 if isinstance(error, Refused) else 503
        return self._page(request, "error.html", {"title": "Nothing can be shown", "error": error}, status)

    async def _refused(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, AnyHTTPException)
        values = {"title": str(error.detail), "error": None}
        response = self._page(request, "error.html", values, error.status_code)
        response.headers.update(error.headers or {})
        return response


def _missing(reader: Reader, rows: Sequence[Row]) -> dict[str, str]:
    """What this page cannot show, and why."""
    named = {_AREAS.get(area, area.replace("_of_database", "")): why for area, why in reader.missing.items()}
    if not any(row.horizon for row in rows):
        named.setdefault(_AREAS["horizons"], "no check has measured it")
    if not any(row.configuration for row in rows):
        named.setdefault(_AREAS["configurations"], "no review has looked at it")
    return named
