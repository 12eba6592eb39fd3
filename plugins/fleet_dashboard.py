"""The fleet dashboard in Airflow's navigation, behind Airflow's login.

Every Airflow process loads this file, each task's too; what the pages need is loaded by the API server alone, when
somebody looks for the first time.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

PREFIX = "/fleet"
_one_thread = threading.Lock()


async def application(scope: Any, receive: Any, send: Any) -> None:
    """The dashboard, as an ASGI application that is made when it is first asked for."""
    from starlette.concurrency import run_in_threadpool

    dashboard = await run_in_threadpool(_dashboard)
    await dashboard(scope, receive, send)


def _dashboard() -> Any:
    with _one_thread:
        return _made()


@cache
def _made() -> Any:
    from pgops.operators.dashboard import make

    return make()


class FleetDashboard(AirflowPlugin):
    """The page and its place in the navigation."""

    name = "fleet_dashboard"
    fastapi_apps = [{"app": application, "url_prefix": PREFIX, "name": "Fleet dashboard"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Fleet",
            "href": f"{urlsplit(conf.get('api', 'base_url', fallback='') or '').path.rstrip('/')}{PREFIX}/",
            "destination": "nav",
            "url_route": "fleet",
        }
    ]
