"""Operations of a PostgreSQL fleet: capabilities in plain Python, and the operators by which Airflow runs them."""
