"""The table "Airflow roles" of docs/roles.md is what Airflow's auth manager answers."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROLES = ("viewer", "user", "op", "admin")


def documented() -> dict[str, dict[str, bool]]:
    """Read the table: action -> role -> allowed."""
    text = (ROOT / "docs" / "roles.md").read_text(encoding="utf-8").split("## Airflow roles")[1]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    assert rows[0] == ["action", *ROLES]
    return {row[0]: dict(zip(ROLES, (cell == "yes" for cell in row[1:]), strict=True)) for row in rows[2:]}


@pytest.fixture(scope="module")
def answers() -> dict[str, dict[str, bool]]:
    """Ask the auth manager, as the routes of the REST API do: every question of an action has to be answered yes."""
    from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, DagAccessEntity
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    manager = SimpleAuthManager()

    def dag(method, *entities):
        return lambda user: all(
            manager.is_authorized_dag(method=method, access_entity=entity, user=user) for entity in entities or (None,)
        )

    def each(ask, *methods):
        return lambda user: all(ask(method=method, user=user) for method in methods)

    entity = DagAccessEntity
    questions = {
        "see DAGs, runs, logs and XComs": dag("GET", None, entity.RUN, entity.TASK_LOGS, entity.XCOM),
        "see the fleet dashboard": lambda user: manager.is_authorized_view(
            access_view=AccessView.CLUSTER_ACTIVITY, user=user
        ),
        "see pools": each(manager.is_authorized_pool, "GET"),
        "see the audit log": dag("GET", entity.AUDIT_LOG),
        "trigger a DAG": dag("POST", entity.RUN),
        "pause and unpause a DAG": dag("PUT"),
        "clear a run or task, mark it failed": dag("PUT", entity.RUN, entity.TASK_INSTANCE),
        "delete a run": dag("DELETE", entity.RUN),
        "approve or reject (Required Actions)": dag("PUT", entity.HITL_DETAIL),
        "see connections": each(manager.is_authorized_connection, "GET"),
        "create, edit and delete connections": each(manager.is_authorized_connection, "POST", "PUT", "DELETE"),
        "see and edit variables": each(manager.is_authorized_variable, "GET", "POST", "PUT", "DELETE"),
        "edit pools": each(manager.is_authorized_pool, "POST", "PUT", "DELETE"),
        "create asset events by hand": each(manager.is_authorized_asset, "POST"),
    }
    users = {role: SimpleAuthManagerUser(username=role, role=role, teams=None) for role in ROLES}
    assert manager.is_authorized_view(access_view=AccessView.DOCS, user=users["viewer"])
    return {action: {role: ask(users[role]) for role in ROLES} for action, ask in questions.items()}


def test_every_row_is_what_the_auth_manager_answers(answers):
    assert documented() == answers


def test_named_approvers_stand_above_roles(answers):
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    admin = SimpleAuthManagerUser(username="root", role="admin", teams=None)
    assert not SimpleAuthManager().is_authorized_hitl_task(assigned_users={"dba"}, user=admin)
    dba = SimpleAuthManagerUser(username="dba", role="user", teams=None)
    assert SimpleAuthManager().is_authorized_hitl_task(assigned_users={"dba"}, user=dba)


def test_admin_is_op_without_teams(answers):
    assert all(row["op"] == row["admin"] for row in answers.values())
