"""The sample data is the same at every run, and grows with one number."""

from __future__ import annotations

from sandbox import sample
from sandbox.postgres import PostgresServer

TABLES = {
    "app": ("users", "orders"),
    "billing": ("invoices", "invoice_lines", "payments"),
    "crm": ('"Sales"."Contacts"', '"Sales"."Deal ""stages"""', '"Sales"."Leads"'),
}


def fingerprint(server: PostgresServer) -> dict[str, tuple[object, ...]]:
    return {
        table: server.execute(
            # The large object's number is the server's choice.
            f"select count(*), sum(hashtextextended((to_jsonb(t) - 'document')::text, 0)) from {table} as t",
            database,
        )[0]
        for database, tables in TABLES.items()
        for table in tables
    }


def test_it_is_the_same_at_every_run_and_loaded_once(server: PostgresServer) -> None:
    assert sample.load(server, 0.1) == ["app", "billing", "crm"]
    first = fingerprint(server)
    assert first["users"][0] == 200
    assert first['"Sales"."Leads"'] == (0, None)
    server.execute("delete from orders", "app")
    assert sample.load(server, 0.1) == []  # what somebody changed stays changed
    for database in TABLES:
        server.execute(f"drop database {database}")
    sample.load(server, 0.1)
    assert fingerprint(server) == first


def test_it_grows_linearly(server: PostgresServer) -> None:
    sample.load(server, 0.3)
    assert server.execute("select count(*) from orders", "app") == [(3000,)]
