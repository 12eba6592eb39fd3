-- Purpose: the encoding that a new database has by default.
SELECT pg_encoding_to_char(encoding) AS encoding FROM pg_database WHERE datname = 'template1'
