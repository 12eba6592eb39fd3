-- Purpose: what the last five recoveries of a server fetched and replayed in a second, in bytes.
SELECT sum(fetched_bytes) / nullif(sum(fetch_seconds), 0) AS fetch,
       sum(replayed_bytes) / nullif(sum(replay_seconds), 0) AS replay
FROM (
    SELECT fetched_bytes, fetch_seconds, replayed_bytes, replay_seconds
    FROM pgops.recoveries
    WHERE server = %(server)s AND passed
    ORDER BY started_at DESC
    LIMIT 5
) AS last
