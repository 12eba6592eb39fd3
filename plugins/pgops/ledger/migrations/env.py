"""Alembic's entry: one transaction, and an advisory lock so that two upgrades at once do not collide."""

from alembic import context
from sqlalchemy import create_engine, pool, text

SCHEMA = "pgops"
LOCK = 7_301_114_200  # any fixed number


def run() -> None:
    """Run the migrations on the URL that pgops.ledger.schema passes."""
    engine = create_engine(context.config.attributes["url"], poolclass=pool.NullPool)
    with engine.connect() as connection, connection.begin():
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        context.configure(connection=connection, version_table_schema=SCHEMA)
        context.run_migrations()
    engine.dispose()


run()
