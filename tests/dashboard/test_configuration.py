"""Configuration drift on the dashboard: the newest review, what is dangerous, changes and their effect."""

from __future__ import annotations

from tests.dashboard.test_pages import text

REVIEW = """
INSERT INTO pgops.config_reviews (run_id, server, at, counts, verdicts, report)
VALUES ('run-1', 'primary', now() - interval '1 day', '{"ok": 49}', '[]', NULL),
       ('run-2', 'primary', now(), '{"dangerous": 1, "advice": 1, "ok": 48}',
         '[{"setting": "<b>fsync</b>", "grade": "dangerous"}, {"setting": "jit", "grade": "advice"}]',
        'pre/fix/page.html')
"""
CHANGE = """
INSERT INTO pgops.config_plans (id, run_id, server, plan, requested_by, approved_by, approved_at)
VALUES ('20260302T080000Z-abcdef', 'run-1', 'primary', '{}', 'ann', 'bob', now());
INSERT INTO pgops.config_changes (plan_id, setting, server, state, change)
VALUES ('20260302T080000Z-abcdef', 'jit', 'primary', 'applied', '{}'),
       ('20260302T080000Z-abcdef', 'work_mem', 'primary', 'applying', '{}');
INSERT INTO pgops.config_effects (plan_id, server, applied_at, baseline, measured_at, effect)
VALUES ('20260302T080000Z-abcdef', 'primary', now(), '{}', now(),
        '{"figures": [["temporary files an hour", "bytes", 2048, null]]}')
"""


def test_without_a_review_it_is_unknown_and_named(stand):
    stand.record("SELECT 1")
    page = text(stand.page("database/app"))
    assert "Configuration drift no review yet" in page and "no review has looked at it" in page


def test_the_newest_review_is_shown_with_what_is_dangerous(stand):
    stand.record(REVIEW)
    page = text(stand.page("database/app"))
    assert "dangerous: &lt;b&gt;fsync&lt;/b&gt;" in page and "1 to change" in page and "48 ok" in page
    fleet = stand.page()
    assert "dangerous: &lt;b&gt;fsync&lt;/b&gt; , 1 to change" in text(fleet), "why the row is no healthy one"
    assert "warn" in text(fleet) and "/dags/configuration_review/runs/run-2" in fleet


def test_its_report_can_be_read(stand):
    stand.record(REVIEW)
    stand.bucket.put("pre/fix/page.html", b"<h1>Configuration of primary</h1>", "text/html")
    assert "Configuration of primary" in stand.page("database/app/configuration")
    assert stand.visitor(None).get("/fleet/database/app/configuration").status_code == 401


def test_changes_stand_with_who_approved_them_and_what_they_did(stand):
    stand.record(REVIEW, CHANGE)
    page = text(stand.page("database/crm"))
    assert "jit applied" in page and "work_mem applying" in page and "bob" in page
    assert "temporary files an hour: 2.0 KiB before, - after" in page and "1 unfinished" in page
