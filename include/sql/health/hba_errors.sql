-- Title: Errors in pg_hba.conf
-- Purpose: lines that the server cannot read: a reload keeps the old rules, and the next start fails.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: select pg_hba_file_rules
-- Cost: cheap
-- Warn: never
-- Crit: >= 1
-- Source: https://www.postgresql.org/docs/current/view-pg-hba-file-rules.html
-- Mend: Correct the line, then SELECT pg_reload_conf()
-- Risk: none
-- Note: beside SELECT on the view EXECUTE on pg_hba_file_rules() is needed.
SELECT '' AS object, count(*) AS value,
       'line ' || string_agg(line_number || ': ' || error, '; ' ORDER BY line_number) AS says, NULL AS mend
  FROM pg_hba_file_rules WHERE error IS NOT NULL
HAVING count(*) > 0
