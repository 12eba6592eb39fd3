-- Purpose: how a session of the source understands SQL, where no ALTER ROLE decided that: the same file is a matter of
--          milliseconds or a table rewrite, by the time zone alone. Of the configuration file, so no ALTER DATABASE
--          holds them. reset_val, since the driver itself sets DateStyle.
SELECT name, reset_val AS value
  FROM pg_settings
 WHERE name IN ('TimeZone', 'DateStyle', 'IntervalStyle', 'search_path', 'default_table_access_method', 'lc_monetary',
                'lc_numeric', 'lc_time', 'default_toast_compression', 'standard_conforming_strings', 'xmloption',
                'default_text_search_config', 'default_transaction_isolation', 'quote_all_identifiers')
   AND source IN ('default', 'environment variable', 'configuration file', 'command line', 'session')
