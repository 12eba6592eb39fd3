-- Purpose: a session that copies: no limit of a role or database may cut it off, and it ends soon after its client.
SET statement_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET lock_timeout = '60s';
SET client_connection_check_interval = '2s';
SET synchronous_commit = off
