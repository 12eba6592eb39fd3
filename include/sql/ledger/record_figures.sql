-- Purpose: what was measured: value and unit for charts, and what later checks compare with.
INSERT INTO pgops.health_figures (database, name, object, at, value, facts)
SELECT %(database)s, f.name, f.object, %(at)s, f.value, f.facts
  FROM jsonb_to_recordset(%(figures)s) AS f (name text, object text, value double precision, facts jsonb)
ON CONFLICT (database, name, object, at) DO UPDATE SET value = excluded.value, facts = excluded.facts
