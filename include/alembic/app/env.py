"""Alembic's entry, for whoever runs these revisions with plain Alembic; the DAGs do not use it."""

import os

from alembic import context
from sqlalchemy import create_engine, pool


def database_url() -> str:
    """Where to run: a password on a command line could be read by everybody on the host."""
    try:
        return os.environ["DATABASE_URL"]
    except KeyError:
        raise SystemExit("Set DATABASE_URL, such as postgresql://user@host/app") from None


def run_offline() -> None:
    """Write the SQL instead of running it (--sql)."""
    context.configure(dialect_name="postgresql", literal_binds=True, dialect_opts={"paramstyle": "named"})
    with context.begin_transaction():
        context.run_migrations()


def run_online() -> None:
    """Run each revision in a transaction of its own, so that an autocommit_block() commits nothing of another."""
    engine = create_engine(database_url(), poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    run_online()
