-- Purpose: which instants of servers can be restored from base backups and WAL, as backup_watch saw their archives
--          last; the newest interval of a server first, one empty row where there is none.
SELECT r.server, r.at,
       (i.value ->> 'timeline')::int AS timeline,
       (i.value ->> 'begins_at')::timestamptz AS begins_at,
       (i.value ->> 'ends_at')::timestamptz AS ends_at,
       coalesce((i.value ->> 'gap')::boolean, false) AS gap
  FROM pgops.restorable AS r
  LEFT JOIN LATERAL jsonb_array_elements(r.intervals) AS i ON true
 WHERE r.server = ANY (%(servers)s)
 ORDER BY r.server, timeline DESC, begins_at DESC
