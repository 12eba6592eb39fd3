-- Purpose: opt-in: what more pgops_monitor may see, so that no health check is skipped for want of a privilege.
-- Where:   after monitor.sql, on the primary, in the database that is asked for its server: the first of the fleet file.
--          As superuser. Running it again changes nothing. PostgreSQL 14 and later.
-- Note:    apart from monitor.sql, because pg_read_all_data lets the role read every row of every table. The estimates of
--          bloat and the checks of sequences and keys need it: pg_stats and last_value are hidden from whoever may not
--          read the tables. The role stays read-only. Without this file those checks are skipped, and the report says so.
--          pg_authid, which one check of old password hashes reads, is left out: it holds them all.
-- Source:  https://www.postgresql.org/docs/current/predefined-roles.html,
--          https://www.postgresql.org/docs/current/view-pg-hba-file-rules.html

GRANT pg_read_all_data TO pgops_monitor;

-- Whether the configuration files hold errors, or lines that are not loaded.
GRANT SELECT ON pg_catalog.pg_file_settings, pg_catalog.pg_hba_file_rules TO pgops_monitor;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_show_all_file_settings(), pg_catalog.pg_hba_file_rules() TO pgops_monitor;
