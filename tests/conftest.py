"""Airflow's settings for tests; they must stand before anything imports airflow."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
_HOME = tempfile.TemporaryDirectory(prefix="pgops-airflow-", ignore_cleanup_errors=True)
os.environ |= {
    "AIRFLOW_HOME": _HOME.name,
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_HOME.name}/airflow.db",
    "AIRFLOW__API__BASE_URL": "http://airflow.test:8080",
}


@pytest.fixture(scope="session")
def airflow_db() -> None:
    """Airflow's metadata database, for tests that run DAGs in process."""
    from airflow.utils import db

    db.initdb()


@pytest.fixture
def run_dag(airflow_db: None) -> Callable[[Any], Any]:
    """Runs a DAG that a test has just written, in process; `DAG.test()` alone knows those of the DAG folder only."""

    def run(dag: Any, **conf: Any) -> Any:
        from airflow.dag_processing.bundles.manager import DagBundlesManager
        from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db

        DagBundlesManager().sync_bundles_to_db()
        bag = DagBag(os.devnull)
        bag.bag_dag(dag)
        sync_bag_to_db(bag, "dags-folder", None)
        return dag.test(run_conf=conf or None)

    return run
