#!/bin/bash
# Prepares Airflow's metadata: its schema, the logins, and airflow_settings.yaml. Running it again changes nothing.
set -Eeuo pipefail

airflow db migrate
(
    umask 077
    python -c 'import json, os; print(json.dumps({u: os.environ[f"AIRFLOW_{u.upper()}_PASSWORD"] for u in ("admin", "oncall")}))' \
        >"$AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"
)
cd "$(dirname "$0")/../.."
python -m sandbox.settings --file airflow_settings.yaml
