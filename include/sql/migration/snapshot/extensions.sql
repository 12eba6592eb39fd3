-- Purpose: extensions; their members come and go with them.
SELECT 'extension ' || quote_ident(x.extname) AS what,
       concat_ws('; ', 'version ' || x.extversion, 'schema ' || x.extnamespace::regnamespace::text) AS definition
  FROM pg_extension x
