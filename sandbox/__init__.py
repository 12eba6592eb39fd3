"""Real parts on one machine: PostgreSQL servers, an S3 server, a Slack inbox and Airflow, for `./dev` and the tests."""
