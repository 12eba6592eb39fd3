-- Purpose: the text form of a row must depend on the row alone, on this server and on the one where it is restored.
-- Source: the settings that the output functions of PostgreSQL's types look at.
SET search_path = '';
SET row_security = off;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
SET extra_float_digits = 3;
SET bytea_output = 'hex';
SET lc_monetary = 'C';
SET xmlbinary = 'base64';
SET max_parallel_workers_per_gather = 0
