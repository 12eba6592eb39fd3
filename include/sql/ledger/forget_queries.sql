-- Purpose: statements that the server has forgotten and that never mattered (less than a second in all, not seen for
--          two days), and all of whose days are over; what stands of them in deltas goes with the oldest partition.
-- Note:    without it a workload whose statements differ in their text would fill the ledger.
WITH gone AS (
    SELECT s.id FROM pgops.query_statements s
      JOIN pgops.query_counters c ON c.statement = s.id AND NOT c.present
      LEFT JOIN pgops.query_days d ON d.statement = s.id
     WHERE s.database = %(database)s AND s.first_seen < %(at)s::timestamptz - interval '2 days'
     GROUP BY s.id
    HAVING count(d.day) = 0
        OR (sum(d.exec_ms) < 1000 AND max(d.day) < (%(at)s::timestamptz - interval '2 days')::date)
), days AS (
    DELETE FROM pgops.query_days WHERE statement IN (SELECT id FROM gone)
), statements AS (
    DELETE FROM pgops.query_statements WHERE id IN (SELECT id FROM gone) RETURNING fingerprint
), plans AS (
    DELETE FROM pgops.query_plans
     WHERE database = %(database)s AND last_seen < %(at)s::timestamptz - interval '90 days'
), reviews AS (
    DELETE FROM pgops.query_reviews
     WHERE database = %(database)s AND at < %(at)s::timestamptz - interval '1 year'
)
DELETE FROM pgops.query_texts t
 WHERE t.fingerprint IN (SELECT fingerprint FROM statements)
   AND NOT EXISTS (SELECT FROM pgops.query_statements o
                    WHERE o.fingerprint = t.fingerprint AND o.id NOT IN (SELECT id FROM gone))
