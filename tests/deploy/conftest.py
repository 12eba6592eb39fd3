"""Airflow, where a test imports it, gets a home of its own: importing it writes there."""

import os
import tempfile

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="pgops-airflow-"))
