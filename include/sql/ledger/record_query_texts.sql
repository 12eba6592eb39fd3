-- Purpose: texts of statements, each once.
INSERT INTO pgops.query_texts (fingerprint, text, whole)
SELECT t.fingerprint, t.text, t.whole
  FROM jsonb_to_recordset(%(texts)s) AS t (fingerprint text, text text, whole boolean)
    ON CONFLICT DO NOTHING
