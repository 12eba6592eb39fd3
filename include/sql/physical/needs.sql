-- Purpose: what a host must have installed before this server's files can be started there and this database used.
-- Source: docs "Extension Building Infrastructure" (control files), pg_database.datcollate, shared_preload_libraries.
-- Privileges: none; shared_preload_libraries is told to members of pg_read_all_settings only, others get none.
-- Note: locales of the libc provider alone; ICU comes with the server's own packages.
SELECT json_build_object(
           'server_version', current_setting('server_version_num')::int,
           'extensions', (SELECT coalesce(json_agg(extname::text ORDER BY extname), '[]') FROM pg_catalog.pg_extension),
           'libraries', (
               SELECT coalesce(json_agg(trim(BOTH ' "' FROM library) ORDER BY library), '[]')
               FROM pg_catalog.pg_settings, regexp_split_to_table(setting, ',') AS library
               WHERE name = 'shared_preload_libraries' AND trim(library) <> ''
           ),
           'locales', (
               SELECT coalesce(json_agg(DISTINCT locale), '[]')
               FROM pg_catalog.pg_database, LATERAL (VALUES (datcollate::text), (datctype::text)) AS used (locale)
               WHERE datlocprovider = 'c' AND locale IS NOT NULL
           ),
           'tablespaces', (
               SELECT coalesce(json_agg(pg_tablespace_location(oid) ORDER BY oid), '[]')
               FROM pg_catalog.pg_tablespace
               WHERE spcname NOT IN ('pg_default', 'pg_global')
           )
       )::text
