-- Purpose: foreign servers and for whom they have a user mapping, whose options are secrets.
SELECT 'foreign server ' || quote_ident(s.srvname) AS what,
       concat_ws('; ', 'wrapper ' || quote_ident(w.fdwname), 'type ' || s.srvtype, 'version ' || s.srvversion,
                 'options ' || array_to_string(s.srvoptions, ', '),
                 'mappings of ' || (SELECT string_agg(u.usename::text, ', ' ORDER BY u.usename)
                                      FROM pg_user_mappings u WHERE u.srvid = s.oid)) AS definition
  FROM pg_foreign_server s
  JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
