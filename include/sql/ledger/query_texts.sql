-- Purpose: texts of queries.
SELECT fingerprint, text, whole FROM pgops.query_texts WHERE fingerprint = ANY (%(fingerprints)s)
