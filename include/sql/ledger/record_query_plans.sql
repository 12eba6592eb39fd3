-- Purpose: plans, each shape once.
INSERT INTO pgops.query_plans AS kept (database, fingerprint, shape, first_seen, last_seen, cost, plan)
SELECT %(database)s, p.fingerprint, p.shape, %(at)s, %(at)s, p.cost, p.plan
  FROM jsonb_to_recordset(%(plans)s) AS p (fingerprint text, shape text, cost float8, plan text)
    ON CONFLICT (database, fingerprint, shape) DO UPDATE
   SET last_seen = greatest(kept.last_seen, excluded.last_seen), cost = excluded.cost, plan = excluded.plan
