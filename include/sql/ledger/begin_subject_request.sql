-- Purpose: a request about one person begins; a task that is tried again finds its row and leaves it.
-- Note: nothing in it names the person: `subject_hash` is keyed, and the key is not here.
INSERT INTO pgops.subject_requests (id, database, kind, subject_hash, key_id, state, requested_by, counts)
VALUES (%(id)s, %(database)s, %(kind)s, %(subject_hash)s, %(key_id)s, 'found', %(requested_by)s, %(counts)s)
ON CONFLICT (id) DO NOTHING
