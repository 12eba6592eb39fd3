-- Purpose: which instants of a server can be restored from base backups and WAL, as backup_watch saw its archive last.
SELECT r.at,
       (i.value ->> 'timeline')::int AS timeline,
       (i.value ->> 'begins_at')::timestamptz AS begins_at,
       (i.value ->> 'ends_at')::timestamptz AS ends_at
  FROM pgops.restorable AS r
  LEFT JOIN LATERAL jsonb_array_elements(r.intervals) AS i ON true
 WHERE r.server = %(server)s
 ORDER BY timeline DESC, begins_at DESC
 LIMIT 5
