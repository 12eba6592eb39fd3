"""Airflow's side of the dashboard: who may look, and the connections by which it reads."""

from __future__ import annotations

import secrets
from typing import Annotated

from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.core_api.security import bearer_scheme, get_user, requires_access_view
from airflow.sdk import Variable
from fastapi import Depends, FastAPI, Request
from fastapi.security import HTTPAuthorizationCredentials
from starlette.concurrency import run_in_threadpool

from pgops.dashboard import Site, create_app
from pgops.fleet import Settings
from pgops.operators import resources
from pgops.postgres import Dsn

METRICS_TOKEN = "pgops_metrics_token"  # an Airflow Variable

BearerDep = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer_scheme)]

# Whoever may see what the cluster does: with every auth manager that is each role from Viewer on.
viewer = requires_access_view(AccessView.CLUSTER_ACTIVITY)


async def scraper(request: Request, credentials: BearerDep) -> None:
    """A viewer, or who knows the Variable's token: Airflow's own tokens run out after a day."""
    if credentials is not None:
        token = await run_in_threadpool(Variable.get, METRICS_TOKEN, default=None)
        if token and secrets.compare_digest(credentials.credentials.encode(), str(token).encode()):
            return
    user = await get_user(request, None, credentials)
    await run_in_threadpool(viewer, request, user)


def make() -> FastAPI:
    """The dashboard of this Airflow."""
    return create_app(Site(ledger=_ledger, report=_report, viewer=viewer, scraper=scraper))


def _ledger(settings: Settings) -> Dsn:
    return resources.dsn(settings.ledger.connection)


def _report(settings: Settings, key: str) -> bytes:
    return resources.bucket(settings).open([key]).read()
