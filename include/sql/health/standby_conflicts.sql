-- Title: Queries that replay ended on a standby
-- Purpose: how many queries a day were ended on a standby because replay could not wait for them any longer.
-- Scope: standby
-- Kind: delta
-- Versions: 15-18
-- Privileges: none
-- Cost: cheap
-- Info: > 0
-- Warn: > 100
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/hot-standby.html#HOT-STANDBY-CONFLICT
-- Mend: Raise max_standby_streaming_delay on the standby, or set hot_standby_feedback
-- Risk: the standby falls behind; feedback keeps dead rows on the primary
SELECT '' AS object, conflicts AS count, NULL::numeric AS total, stats_reset AS since,
       'max_standby_streaming_delay is ' || current_setting('max_standby_streaming_delay') AS says, NULL AS mend
  FROM pg_stat_database WHERE datname = current_database()
