"""The fleet at a glance: pages and metrics of what the ledger knows. It only reads; Airflow's side is the plugin's."""

from pgops.dashboard.app import Site, create_app

__all__ = ["Site", "create_app"]
