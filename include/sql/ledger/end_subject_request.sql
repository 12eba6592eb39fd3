-- Purpose: what became of a request about a person.
UPDATE pgops.subject_requests
   SET state = %(state)s, finished_at = clock_timestamp(), counts = coalesce(%(counts)s::jsonb, counts)
 WHERE id = %(id)s
