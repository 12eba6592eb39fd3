-- Purpose: one request about a person.
SELECT id, database, kind, subject_hash, key_id, state, requested_by, approved_by, counts, requested_at, approved_at,
       finished_at
  FROM pgops.subject_requests
 WHERE id = %(id)s
