-- Purpose: number and fingerprint of the large objects. Pages count without their trailing zero bytes and empty pages
--          not at all, because a restore fills the holes of a sparse object with zeros; each object's length counts.
-- Privileges: SELECT on pg_largeobject: pg_read_all_data grants it.
WITH pages AS NOT MATERIALIZED (  -- else all large objects would be written to temporary files of the source
    SELECT loid, pageno, data,
           pg_catalog.rtrim(data, '\x00'::pg_catalog.bytea) AS content
      FROM pg_catalog.pg_largeobject
), hashes AS (
    SELECT pg_catalog.hashtextextended(
               loid::text || ':' || pageno::text || ':' || pg_catalog.encode(content, 'hex') COLLATE "C", 0) AS hash
      FROM pages
     WHERE content <> ''::pg_catalog.bytea
    UNION ALL
    SELECT pg_catalog.hashtextextended(
               loid::text || '=' || pg_catalog.max(pageno::bigint * 2048 + pg_catalog.length(data))::text COLLATE "C", 0)
      FROM pages
     GROUP BY loid
)
SELECT (SELECT pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata),
       coalesce((SELECT pg_catalog.sum(hash) FROM hashes), 0)::text
