"""Plans are taken without doing anything, and whatever might do something is refused."""

from __future__ import annotations

import pytest

from pgops.errors import Refused
from pgops.postgres import Dsn
from pgops.queries.explain import NotExplained, analyze, explain, explain_all
from pgops.queries.shape import plan_of
from sandbox.postgres import Standby, free_port
from tests import servers
from tests.queries.conftest import MONITOR, PASSWORD, Stage

TABLES = (
    "CREATE TABLE orders (id int PRIMARY KEY, user_id int, status text, at timestamptz)",
    "INSERT INTO orders SELECT i, i % 500, 'x', now() FROM generate_series(1, 5000) AS i",
    "CREATE INDEX orders_user_id ON orders (user_id)",
    "CREATE TABLE traces (what text)",
    "CREATE FUNCTION spy() RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM pg_sleep(30); RETURN 1; END $$",
    "CREATE FUNCTION spy(int) RETURNS int LANGUAGE sql STABLE AS 'SELECT 1'",
    "CREATE VIEW inner_view AS SELECT id FROM orders WHERE user_id = spy()",
    "CREATE VIEW outer_view AS SELECT * FROM inner_view",
    "CREATE SEQUENCE numbers",
    "CREATE VIEW locking AS SELECT pg_try_advisory_lock(7)",
    "CREATE VIEW sleepy AS SELECT orders.* FROM orders, pg_sleep(1)",
    "ANALYZE",
)


@pytest.fixture
def orders(stage: Stage) -> Stage:
    stage.execute(*TABLES)
    return stage


def test_a_query_is_planned_without_its_values(orders):
    query = "SELECT status FROM orders WHERE user_id = $1 AND at > now() - interval $2 ORDER BY at LIMIT $3"
    plan = explain(orders.monitor, query)
    assert plan.indexes == ("orders_user_id",)
    assert "user_id = $1" in plan.text and "public.orders" in plan.text


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("UPDATE orders SET status = 'gone'", "it writes"),
        ("INSERT INTO traces VALUES ('x')", "it writes"),
        ("WITH gone AS (DELETE FROM orders RETURNING *) SELECT * FROM gone", "it writes"),
        ("MERGE INTO orders o USING traces t ON false WHEN MATCHED THEN DELETE", "it writes"),
        ("SELECT * INTO copies FROM orders", "it writes"),
        ("SELECT * FROM orders FOR UPDATE", "it locks rows"),
        ("VACUUM orders", "utility"),
        ("ALTER ROLE pgops_monitor PASSWORD $1", "utility"),
        ("EXPLAIN ANALYZE DELETE FROM orders", "utility"),
        ("CREATE TABLE copies AS SELECT * FROM orders", "utility"),
        ("SELECT 1; DROP TABLE orders", "not one statement"),
        ("SELECT spy()", "public.spy"),
        ("SELECT * FROM orders WHERE user_id = spy(7)", "public.spy"),
        ("SELECT * FROM outer_view", "public.spy"),
        ("SELECT nothing FROM orders", "not there"),
        ("SELECT * FROM orders WHERE (", "parsed"),
    ],
)
def test_what_may_do_more_than_read_is_refused(orders, statement, why):
    with pytest.raises(NotExplained, match=why):
        explain(orders.monitor, statement)


def test_a_text_that_was_cut_has_no_plan(orders):
    with pytest.raises(NotExplained, match="cut"):
        explain(orders.monitor, "SELECT 1", whole=False)


def test_planning_calls_nothing_and_leaves_nothing(orders):
    """Volatile functions may stand in a plan: it does not call them."""
    explain(orders.monitor, "SELECT nextval('numbers'), pg_advisory_lock($1), set_config($2, $3, false) FROM orders")
    assert orders.server.execute("SELECT last_value, is_called FROM numbers", orders.dsn.dbname) == [(1, False)]
    assert orders.server.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]


def test_a_role_that_may_not_read_the_tables_is_told_so(orders):
    orders.server.execute("REVOKE pg_read_all_data FROM pgops_monitor")
    try:
        with pytest.raises(NotExplained, match=r"monitor_more\.sql"):
            explain(orders.monitor, "SELECT * FROM orders")
    finally:
        orders.server.execute("GRANT pg_read_all_data TO pgops_monitor")


def test_a_locked_table_is_not_waited_for(orders):
    import psycopg2

    holder = psycopg2.connect(orders.server.dsn(orders.dsn.dbname))
    try:
        holder.cursor().execute("LOCK TABLE orders")
        with pytest.raises(NotExplained, match="locked"):
            explain(orders.monitor, "SELECT * FROM orders")
    finally:
        holder.close()


def test_what_has_no_plan_is_counted_by_reason(orders):
    texts = [("a", "SELECT * FROM orders", True), ("b", "VACUUM", True), ("c", "DROP TABLE orders", True)]
    found = explain_all(orders.monitor, texts, 30)
    assert list(found.plans) == ["a"] and found.without == {"it is a utility statement": 2}
    assert explain_all(orders.monitor, texts, -1).without == {"there was no time left": 3}


def test_plans_are_compared_by_shape_and_shown_without_literals(orders):
    query = "SELECT * FROM orders WHERE user_id = $1"
    before = explain(orders.monitor, query)
    orders.execute("INSERT INTO orders SELECT i, i % 500, 'x', now() FROM generate_series(5001, 9000) AS i", "ANALYZE")
    assert explain(orders.monitor, query).shape == before.shape
    orders.execute("CREATE VIEW pending AS SELECT * FROM orders WHERE status = 'hunter2'")
    assert "hunter2" not in explain(orders.monitor, "SELECT * FROM pending").text
    orders.execute("DROP INDEX orders_user_id")
    after = explain(orders.monitor, query)
    assert after.shape != before.shape and ("public", "orders") in after.relations


def test_a_plan_names_what_is_read_beside_tables_and_where_a_subquery_begins(orders):
    query = (
        "WITH few AS MATERIALIZED (SELECT id FROM orders WHERE user_id = $1)"
        " SELECT * FROM few s JOIN generate_series(1, 3) g ON g = s.id"
    )
    text = explain(orders.monitor, query).text
    assert "CTE Scan on few" in text and "Function Scan on generate_series" in text and "CTE few" in text


def test_which_partitions_there_are_is_no_other_plan():
    def append(*months: str):
        scans = [
            {"Node Type": "Seq Scan", "Relation Name": f"events_{month}", "Schema": "public", "Total Cost": 1,
             "Plan Rows": 1}
            for month in months
        ]  # fmt: skip
        return plan_of([{"Plan": {"Node Type": "Append", "Total Cost": 9, "Plan Rows": 9, "Plans": scans}}])

    assert append("2026_01", "2026_02").shape == append("2026_02", "2026_03", "2026_04").shape


def test_a_query_is_executed_on_a_standby_and_never_on_the_primary(orders):
    query = "SELECT count(*) FROM orders WHERE user_id = 7"
    with pytest.raises(Refused, match="This is production"):
        analyze(orders.monitor, orders.monitor, query)
    with servers.memory_folder("standby") as folder:
        standby = Standby("standby", orders.server, folder / "standby", free_port(), {})
        standby.create()
        standby.start()
        try:
            standby.wait_until_caught_up()
            there = Dsn("127.0.0.1", standby.port, orders.dsn.dbname, "pgops_monitor", PASSWORD)
            plan = analyze(there, orders.monitor, query)
            assert "actual rows=10" in plan.text and "Execution Time" in plan.text
            for statement in (
                "SELECT pg_advisory_lock(1)",
                "SELECT set_config('work_mem', '1GB', false)",
                "SELECT pg_sleep(1)",
                "SELECT * FROM outer_view",
                "SELECT * FROM locking",
                "SELECT id FROM sleepy WHERE id IN (SELECT 1)",
                "DELETE FROM orders",
                "SELECT nextval('numbers')",
            ):
                with pytest.raises(Refused, match="is not executed"):
                    analyze(there, orders.monitor, statement)
            for statement in ("SELECT 'hunter2'::text::int", "SELECT (status || 'hunter2')::int FROM orders"):
                with pytest.raises(Refused, match="invalid input syntax") as raised:
                    analyze(there, orders.monitor, statement)
                assert "hunter2" not in str(raised.value) and raised.value.__suppress_context__
        finally:
            standby.destroy()


def test_a_query_is_executed_on_a_copy_of_another_cluster(orders):
    with servers.running_postgres(orders.server.binaries.major) as copy, servers.fresh_database(copy) as dsn:
        copy.execute(MONITOR)
        plan = analyze(dsn, orders.monitor, "SELECT count(*) FROM pg_class")
        assert "actual rows=1" in plan.text
