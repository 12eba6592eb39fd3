"""What the documents about deploying claim about this project and about Airflow is true."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from sandbox import settings

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    *(f"docs/{name}.md" for name in ("roles", "deploying", "backups", "custody", "physical", "runbook")),
    "CONTRIBUTING.md",
    "CHANGELOG.md",
]
DEPLOYING = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
PACKAGE = Path(importlib.util.find_spec("airflow").submodule_search_locations[0])
OPTIONS = yaml.safe_load((PACKAGE / "config_templates" / "config.yml").read_text(encoding="utf-8"))


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name):
    document = ROOT / name
    links = re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8"))
    for link in links:
        if link.startswith("http"):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {slug(heading) for heading in headings}, link


def test_every_role_file_is_documented_with_the_connections_that_use_it():
    roles = (ROOT / "docs" / "roles.md").read_text(encoding="utf-8")
    files = {path.name for path in (ROOT / "include" / "sql" / "roles").glob("*.sql")}
    assert set(re.findall(r"\.\./include/sql/roles/(\w+\.sql)", roles)) == files
    rows = {row[1]: row[2] for row in re.findall(r"^\| (\[\w+\.sql\]\S+) \| `(\w+)` \| (.+?) \|", roles, re.MULTILINE)}
    for connection in settings.load(ROOT / "airflow_settings.yaml").connections:
        if connection.type == "postgres":
            assert f"`{connection.id}`" in rows[connection.login], connection.id


def test_airflow_options_that_are_named_exist():
    named = re.findall(r"\[(\w+)\] (\w+)`", DEPLOYING) + [
        (section.lower(), option.lower())
        for section, option in re.findall(r"AIRFLOW__([A-Z_]+?)__([A-Z_]+)", DEPLOYING)
    ]
    named = [pair for pair in named if not pair[0].startswith("celery")]
    assert len(named) > 8
    for section, option in named:
        assert option in OPTIONS[section]["options"], f"[{section}] {option}"


@pytest.mark.parametrize(
    ("section", "option", "default", "sentence"),
    [
        ("scheduler", "task_instance_heartbeat_timeout", "300", "300 s by default"),
        ("scheduler", "task_instance_heartbeat_timeout_detection_interval", "10.0", "the scheduler looks every 10 s"),
        ("workers", "min_heartbeat_interval", "5", "Supervisors call every 5 s"),
        ("workers", "max_failed_heartbeats", "3", "fail three times in a row"),
        ("workers", "execution_api_retries", "5", "up to five retries"),
        ("logging", "worker_log_server_port", "8793", "port\n8793"),
    ],
)
def test_airflows_defaults_are_those_that_are_quoted(section, option, default, sentence):
    assert OPTIONS[section]["options"][option]["default"] == default
    assert sentence in DEPLOYING


def test_the_default_bundle_pins_nothing():
    source = (PACKAGE / "dag_processing" / "bundles" / "local.py").read_text(encoding="utf-8")
    assert "supports_versioning = False" in source
    assert "supports_versioning = False" in DEPLOYING


def test_the_sandboxs_heartbeat_timeout_is_the_documented_one():
    source = (ROOT / "sandbox" / "airflow.py").read_text(encoding="utf-8")
    timeout = re.search(r'TASK_INSTANCE_HEARTBEAT_TIMEOUT": "(\d+)"', source)
    assert f"| sandbox | {timeout.group(1)} s |" in DEPLOYING


def test_dag_files_may_take_as_long_everywhere_as_is_documented():
    documented = re.search(r"AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT=(\d+)`", DEPLOYING).group(1)
    for file in ("sandbox/airflow.py", "docker-compose.yaml"):
        found = re.search(r'AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT"?: "(\d+)"', (ROOT / file).read_text(encoding="utf-8"))
        assert found and found.group(1) == documented, file


def test_the_celery_timeout_is_the_documented_one():
    seconds = re.search(r'VISIBILITY_TIMEOUT: "(\d+)"', (ROOT / "docker-compose.yaml").read_text(encoding="utf-8"))
    assert f"sets {int(seconds.group(1)) // 3600} hours" in DEPLOYING


def test_the_python_that_is_asked_for_is_the_projects():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"Python {project['requires-python'].removeprefix('>=')} or later" in DEPLOYING


def test_a_secret_as_documented_becomes_the_connection(monkeypatch):
    boto3 = pytest.importorskip("boto3")
    moto = pytest.importorskip("moto")
    from airflow.providers.amazon.aws.secrets.secrets_manager import SecretsManagerBackend

    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of the tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the tests")
    name = re.search(r"a secret `(airflow/connections/\w+)`", DEPLOYING).group(1)
    value = re.search(r'^(\{"conn_type".+?\}\})$', DEPLOYING, re.MULTILINE | re.DOTALL).group(1)
    arguments = yaml.safe_load(re.search(r"BACKEND_KWARGS=(.+)", DEPLOYING).group(1))
    with moto.mock_aws():
        boto3.client("secretsmanager").create_secret(Name=name, SecretString=value)
        connection = SecretsManagerBackend(**arguments).get_connection("pg_app")
    assert (connection.conn_type, connection.host, connection.port) == ("postgres", "primary.example.com", 5432)
    assert (connection.schema, connection.login) == ("app", "pgops_backup")
    assert connection.extra_dejson == {"sslmode": "verify-full"}
