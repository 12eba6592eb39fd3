-- Purpose: who approved an erasure.
UPDATE pgops.subject_requests SET approved_by = %(approved_by)s, approved_at = clock_timestamp() WHERE id = %(id)s
