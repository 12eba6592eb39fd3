-- Title: Tables that autovacuum does not keep up with
-- Purpose: dead rows as a share of the number at which autovacuum should have come, by the table's own settings.
-- Scope: database
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: heavy
-- Warn: > 200 %
-- Crit: > 500 %
-- Source: https://www.postgresql.org/docs/current/routine-vacuuming.html#AUTOVACUUM
-- Mend: Find what holds the horizon (the check xmin_horizon); else vacuum the table, and give autovacuum a higher cost
--       limit or the table a lower scale factor
-- Risk: VACUUM reads the table; it blocks no reader and no writer
-- Note: below 10,000 dead rows a table is not worth a word. autovacuum_vacuum_max_threshold is there from 18 on.
--       Tables with autovacuum off are autovacuum_off_tables', but are judged here too.
SELECT s.relid::regclass::text AS object,
       100.0 * s.n_dead_tup / greatest(t.trigger, 1) AS value,
       s.n_dead_tup || ' dead and ' || s.n_live_tup || ' live rows; autovacuum is due at ' || round(t.trigger)
           || ', was last here ' || coalesce(to_char(s.last_autovacuum, 'YYYY-MM-DD HH24:MI:SS TZ'), 'never') AS says,
       format('VACUUM (ANALYZE, VERBOSE) %s', s.relid::regclass) AS mend
  FROM pg_stat_all_tables s
  JOIN pg_class c ON c.oid = s.relid
 CROSS JOIN LATERAL (
       SELECT max(option_value) FILTER (WHERE option_name = 'autovacuum_vacuum_threshold')::numeric AS threshold,
              max(option_value) FILTER (WHERE option_name = 'autovacuum_vacuum_scale_factor')::numeric AS factor,
              max(option_value) FILTER (WHERE option_name = 'autovacuum_vacuum_max_threshold')::numeric AS most
         FROM pg_options_to_table(c.reloptions)) AS own
 CROSS JOIN LATERAL (
       SELECT coalesce(own.most, current_setting('autovacuum_vacuum_max_threshold', true)::numeric, -1) AS most) AS cap
 CROSS JOIN LATERAL (
       SELECT least(coalesce(own.threshold, current_setting('autovacuum_vacuum_threshold')::numeric)
                    + coalesce(own.factor, current_setting('autovacuum_vacuum_scale_factor')::numeric)
                      * greatest(c.reltuples, 0)::numeric,
                    CASE WHEN cap.most >= 0 THEN cap.most END) AS trigger) AS t
 WHERE s.n_dead_tup > 10000 AND s.schemaname <> 'pg_catalog' AND s.n_dead_tup > t.trigger
 ORDER BY value DESC LIMIT 20
