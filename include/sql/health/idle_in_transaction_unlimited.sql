-- Title: Sessions may idle in a transaction for ever
-- Purpose: whether idle_in_transaction_session_timeout is 0 for everybody: one forgotten session keeps vacuum from its
--          work and its locks from everybody else.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: select pg_file_settings
-- Cost: cheap
-- Info: >= 1
-- Warn: never
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-IDLE-IN-TRANSACTION-SESSION-TIMEOUT
-- Mend: Set a limit for all, or for the roles of the application
-- Risk: a session beyond the limit is ended and its transaction rolled back
-- Note: the health check's own session has a limit of its own, so pg_settings does not tell. The last line of the files
--       counts; a limit for any role or database means that somebody thought about it.
SELECT '' AS object, 1 AS value,
       'idle_in_transaction_session_timeout is 0, and no role or database has its own' AS says,
       'ALTER SYSTEM SET idle_in_transaction_session_timeout = ''10min''; SELECT pg_reload_conf()' AS mend
 WHERE coalesce((SELECT f.setting FROM pg_file_settings f WHERE f.name = 'idle_in_transaction_session_timeout'
                  ORDER BY f.seqno DESC LIMIT 1), '0') ~ '^0+\D*$'
   AND NOT EXISTS (SELECT FROM pg_db_role_setting s, unnest(s.setconfig) AS one
                    WHERE one LIKE 'idle_in_transaction_session_timeout=%' AND one !~ '=0+\D*$')
