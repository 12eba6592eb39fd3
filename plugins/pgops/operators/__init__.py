"""How Airflow runs the capabilities: params, connections, logs, XCom and on_kill."""
