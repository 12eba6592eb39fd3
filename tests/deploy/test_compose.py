"""docker-compose.yaml and the Dockerfile name only what exists, and let nobody in from outside this machine."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sandbox import settings
from sandbox.compose.make_env import new_environment

ROOT = Path(__file__).resolve().parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yaml"
EXAMPLE_FILE = ROOT / ".env.example"
TEXT = COMPOSE_FILE.read_text(encoding="utf-8")
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
EXAMPLE = dict(
    line.split("=", 1)
    for line in EXAMPLE_FILE.read_text(encoding="utf-8").splitlines()
    if "=" in line and line[0] != "#"
)
# ${NAME}, ${NAME:-default} and ${NAME:?message}; $${...} is the shell's.
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?::([-?])([^}]*))?\}")


def environment(service: str) -> dict[str, str]:
    return SERVICES[service].get("environment", {})


def filled_in(value: str) -> str:
    return VARIABLE.sub(lambda match: EXAMPLE[match.group(1)], value)


def docker_compose(*arguments: str, env_file: Path = EXAMPLE_FILE) -> subprocess.CompletedProcess[str]:
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("docker-compose is not installed")
    return subprocess.run(
        [program, "--file", str(COMPOSE_FILE), "--env-file", str(env_file), *arguments],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )


# --- the file itself ---


def test_the_file_obeys_the_compose_specification():
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE_FILE)],
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_docker_compose_accepts_it_with_the_example():
    accepted = docker_compose("config", "--quiet")
    assert accepted.returncode == 0, accepted.stderr


def test_without_its_variables_it_is_refused_and_says_where_to_look(tmp_path):
    for name in sorted(required_variables()):
        env_file = tmp_path / name
        env_file.write_text("".join(f"{key}={value}\n" for key, value in EXAMPLE.items() if key != name))
        refused = docker_compose("config", "--quiet", env_file=env_file)
        assert refused.returncode != 0, name
        assert name in refused.stderr and ".env.example" in refused.stderr


def required_variables() -> set[str]:
    return {name for name, kind, _ in VARIABLE.findall(TEXT) if kind == "?"}


def test_nothing_in_it_is_unknown_to_docker_compose_1_29():
    assert "name" not in COMPOSE
    for service in SERVICES.values():
        assert "start_interval" not in service.get("healthcheck", {})
        for condition in service.get("depends_on", {}).values():
            assert "required" not in condition


def test_every_dependency_is_a_service_that_can_meet_its_condition():
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            assert other in SERVICES, f"{name} waits for {other}"
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other], f"{name} waits for the health of {other}"
            if how["condition"] == "service_completed_successfully":
                assert SERVICES[other]["restart"] == "no", f"{other} never completes"
            # A service of a profile is not started by docker-compose 1.29 for one outside of it.
            assert set(SERVICES[other].get("profiles", [])) <= set(service.get("profiles", []))


# --- what it names ---


def test_the_example_names_every_variable_and_no_other():
    assert {name for name, _, _ in VARIABLE.findall(TEXT)} == set(EXAMPLE)
    assert all(EXAMPLE.values())


def test_defaults_are_those_of_the_example():
    for name, kind, default in VARIABLE.findall(TEXT):
        if kind == "-":
            assert EXAMPLE[name] == default, name


def test_every_mounted_file_exists_and_every_volume_is_declared():
    used = set()
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source, target = volume.split(":")[:2]
            assert target.startswith("/")
            if source.startswith("."):
                assert (ROOT / source).exists(), f"{name} mounts {source}"
                assert volume.endswith(":ro"), f"{name} could change {source}"
            else:
                used.add(source)
    assert used == set(COMPOSE["volumes"])


def test_scripts_that_services_run_are_mounted_there():
    for service, script in {"standby": "/project/standby.sh", "airflow-init": "/opt/airflow/sandbox/"}.items():
        command = " ".join(SERVICES[service].get("entrypoint", []) + SERVICES[service]["command"])
        assert script in command
        assert any(v.split(":")[1].rstrip("/") == script.rstrip("/") for v in SERVICES[service]["volumes"])
    assert (ROOT / "sandbox" / "compose" / "airflow-init.sh").exists()


def test_every_airflow_option_exists():
    package = Path(importlib.util.find_spec("airflow").submodule_search_locations[0])
    options = yaml.safe_load((package / "config_templates" / "config.yml").read_text(encoding="utf-8"))
    checked = 0
    for variable in environment("api-server"):
        match = re.fullmatch(r"AIRFLOW__([A-Z_]+?)__([A-Z_]+)", variable)
        if match and not match.group(1).startswith("CELERY"):
            section, option = match.group(1).lower(), match.group(2).lower()
            assert option in options[section]["options"], variable
            checked += 1
    assert checked > 8


def test_the_bucket_is_the_fleets():
    fleet = yaml.safe_load((ROOT / "include" / "fleet.yaml").read_text(encoding="utf-8"))
    assert f"-bucket={fleet['storage']['bucket']}" in SERVICES["s3"]["command"]


def test_every_connection_leads_to_a_service():
    for connection in settings.load(ROOT / "airflow_settings.yaml").connections:
        addresses = [(connection.host, connection.port)] if connection.host else []
        addresses += re.findall(r"http://([\w-]+):(\d+)", json.dumps(connection.extra))
        assert addresses or connection.type == "generic", connection.id  # one that is a secret alone leads nowhere
        for host, port in addresses:
            assert host in SERVICES, connection.id
            assert int(port) in published(host), f"{connection.id}: {host} listens on {published(host)}"


def published(service: str) -> list[int]:
    return [int(port.rsplit(":", 1)[1]) for port in SERVICES[service].get("ports", [])]


def test_statements_are_logged_and_counted_as_in_the_guide():
    command = " ".join(SERVICES["primary"]["command"])
    assert SERVICES["primary"]["image"].split(":")[1].split("-")[0] == "15"
    for setting in (
        "log_statement=all",
        "log_duration=on",
        "shared_preload_libraries=pg_stat_statements",
        "pg_stat_statements.track=all",
    ):
        assert f"-c{setting}" in command


def test_the_executor_is_a_variable_and_celery_a_profile():
    assert environment("scheduler")["AIRFLOW__CORE__EXECUTOR"] == "${AIRFLOW_EXECUTOR:-LocalExecutor}"
    assert {name for name, service in SERVICES.items() if service.get("profiles") == ["celery"]} == {"worker", "redis"}


# --- who may come in ---


def test_every_published_port_is_bound_to_this_machine_and_can_be_moved():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 8
    for port in ports:
        assert re.fullmatch(r"127\.0\.0\.1:\$\{\w+_PORT:-\d+\}:\d+", port), port
    assert len({filled_in(port).split(":")[1] for port in ports}) == len(ports)
    assert not [name for name, service in SERVICES.items() if service.get("network_mode")]


def test_no_secret_stands_in_the_file():
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            # What a URL or a script needs of a secret is a variable too.
            if re.search(r"PASSWORD(?!S_FILE)|SECRET|_KEY|TOKEN|LOGIN|BROKER_URL|CONN$|BACKEND$", variable):
                assert VARIABLE.search(value), f"{name}: {variable}"
    for variable in ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__CELERY__BROKER_URL"):
        assert re.search(r":\$\{\w+(:\?[^}]*)?\}@", environment("scheduler")[variable])


def test_every_secret_is_required():
    secret = {name for name, value in EXAMPLE.items() if "local-only" in value} | {"AIRFLOW_FERNET_KEY"}
    assert secret <= required_variables()
    assert {"AIRFLOW_JWT_SECRET", "S3_SECRET_KEY", "PGOPS_BACKUP_PASSWORD"} <= secret


def test_the_importer_is_told_the_password_that_the_server_is_given():
    init = {name: filled_in(value) for name, value in environment("airflow-init").items()}
    loaded = settings.override(settings.load(ROOT / "airflow_settings.yaml"), init)
    for connection in loaded.connections:
        if connection.type == "postgres":
            server = {"standby": "primary"}.get(connection.host, connection.host)
            given = filled_in(environment(server)[f"{connection.login.upper()}_PASSWORD"])
            assert connection.password == given, connection.id
            assert f"PGOPS_CONN_PASSWORD_{connection.id.upper()}" in init, connection.id
    keys = next(c for c in loaded.connections if c.id == "aws_backups")
    assert keys.login == filled_in(environment("s3")["AWS_ACCESS_KEY_ID"])
    assert keys.password == filled_in(environment("s3")["AWS_SECRET_ACCESS_KEY"])


def test_a_new_env_file_holds_no_known_secret(tmp_path):
    made = new_environment(EXAMPLE_FILE.read_text(encoding="utf-8"))
    values = dict(line.split("=", 1) for line in made.splitlines() if "=" in line and line[0] != "#")
    assert values.keys() == EXAMPLE.keys()
    assert "local-only" not in "".join(values.values())
    assert len(base64.urlsafe_b64decode(values["AIRFLOW_FERNET_KEY"])) == 32
    secrets = [values[name] for name in EXAMPLE if "local-only" in EXAMPLE[name] or name == "AIRFLOW_FERNET_KEY"]
    assert len(set(secrets)) == len(secrets)
    assert len(values["AIRFLOW_JWT_SECRET"]) >= 64
    assert values["AIRFLOW_PORT"] == EXAMPLE["AIRFLOW_PORT"]
    (tmp_path / "env").write_text(made)
    assert docker_compose("config", "--quiet", env_file=tmp_path / "env").returncode == 0


def test_the_fernet_key_of_the_example_is_one():
    assert len(base64.urlsafe_b64decode(EXAMPLE["AIRFLOW_FERNET_KEY"])) == 32


@pytest.mark.slow
def test_airflow_init_prepares_the_metadata_the_logins_and_the_connections(tmp_path):
    passwords = tmp_path / "passwords.json"
    init = {name: filled_in(value) for name, value in environment("airflow-init").items() if "PGOPS" in name}
    environ = init | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT / "plugins"),
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW_ADMIN_PASSWORD": 'with "quotes"',
        "AIRFLOW_ONCALL_PASSWORD": "x",
    }
    done = subprocess.run(
        ["bash", str(ROOT / "sandbox" / "compose" / "airflow-init.sh")], env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Loaded 15 connections" in done.stdout
    assert json.loads(passwords.read_text()) == {"admin": 'with "quotes"', "oncall": "x"}
    assert stat.S_IMODE(passwords.stat().st_mode) == 0o600
    users = environment("api-server")["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"]
    assert {user.split(":")[0] for user in users.split(",")} == {"admin", "oncall"}


# --- the image ---

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_the_image_is_of_the_airflow_and_python_that_are_tested():
    base = re.search(r"^FROM apache/airflow:slim-([\d.]+)-python([\d.]+)$", DOCKERFILE, re.MULTILINE)
    assert base
    assert f"apache-airflow=={base.group(1)}\n" in (ROOT / "requirements.txt").read_text()
    assert f"apache-airflow=={base.group(1)}\n" in (ROOT / "requirements.lock").read_text()
    minimum = re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert base.group(2) == minimum.group(1), "the lock is compiled for the oldest supported Python"


def test_the_image_copies_what_exists_and_docker_is_shown():
    shown = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [
        source
        for line in re.findall(r"^COPY --chown=\S+ (.+) \S+$", DOCKERFILE, re.MULTILINE)
        for source in line.split()
    ]
    assert {"dags", "plugins", "include", "sandbox", "requirements.lock"} <= set(copied)
    for source in copied:
        assert (ROOT / source).exists(), source
        assert source in shown, source


def test_the_image_has_the_client_programs_of_every_supported_server():
    assert set(re.findall(r"postgresql-client-(\d+)", DOCKERFILE)) == {"15", "16", "17", "18"}


def test_the_celery_lock_agrees_with_the_lock():
    def pins(name: str) -> dict[str, str]:
        lines = (ROOT / name).read_text().splitlines()
        return dict(line.split(" ;")[0].split("==") for line in lines if re.match(r"[a-z0-9]", line))

    ours, celery = pins("requirements.lock"), pins("requirements-celery.lock")
    assert "celery" in celery and "redis" in celery
    both = ours.keys() & celery.keys()
    assert len(both) > 50
    assert {name: ours[name] for name in both} == {name: celery[name] for name in both}
