-- Title: Minor releases behind
-- Purpose: how many minor releases, each with fixes of damage or security, the server is behind; at least.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: cheap
-- Warn: >= 1
-- Crit: >= 4
-- Source: https://www.postgresql.org/developer/roadmap/ (a release on the second Thursday of February, May, August and
--         November); https://www.postgresql.org/about/news/ of 2025-11-13: 18.1, 17.7, 16.11, 15.15
-- Mend: Install the packages and restart, standbys first; no dump and no pg_upgrade is needed
-- Risk: a restart; read the release notes for indexes that need a REINDEX
-- Note: no list of releases can be up to date here, so they are counted from a known day by the calendar. Releases out
--       of turn make it more, never fewer. A week's grace for packages. After three years the day is too old to count
--       from: unknown. pgops.today stands for now.
SELECT '' AS object,
       CASE WHEN clock.today < date '2028-11-13'
            THEN greatest(known.minor + turns.n - current_setting('server_version_num')::int % 10000, 0) END AS value,
       CASE WHEN clock.today < date '2028-11-13'
            THEN 'runs ' || current_setting('server_version') || ', there should be at least ' || known.major || '.'
                 || known.minor + turns.n
            ELSE 'the releases that this check counts from are of 2025-11-13: too long ago' END AS says,
       NULL AS mend
  FROM (VALUES (15, 15), (16, 11), (17, 7), (18, 1)) AS known (major, minor)
 CROSS JOIN (SELECT coalesce(nullif(current_setting('pgops.today', true), '')::date, current_date) AS today) AS clock
 CROSS JOIN LATERAL (
       SELECT count(*) AS n
         FROM generate_series(timestamp '2026-02-01', clock.today::timestamp, interval '3 months') AS month
        WHERE month::date + (11 - extract(dow FROM month)::int) % 7 + 7 + 7 <= clock.today) AS turns
 WHERE known.major = current_setting('server_version_num')::int / 10000
