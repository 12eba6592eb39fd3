-- Title: The end of this major version
-- Purpose: how long until the last release of the server's major version: after that there are no more fixes.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: cheap
-- Info: < 365 d
-- Warn: < 180 d
-- Crit: <= 0 d
-- Source: https://www.postgresql.org/support/versioning/ (read 2025-11)
-- Mend: Plan the upgrade to the newest major version: pg_upgrade, or logical replication without downtime
-- Risk: rehearse it with a restored backup
-- Note: pgops.today stands for now.
SELECT '' AS object,
       greatest(extract(epoch FROM ending::timestamptz - coalesce(
                    nullif(current_setting('pgops.today', true), '')::timestamptz, now())), 0) AS value,
       'the last release of PostgreSQL ' || major || ': ' || ending AS says, NULL AS mend
  FROM (VALUES (15, date '2027-11-11'), (16, date '2028-11-09'), (17, date '2029-11-08'), (18, date '2030-11-14')
       ) AS known (major, ending)
 WHERE major = current_setting('server_version_num')::int / 10000
