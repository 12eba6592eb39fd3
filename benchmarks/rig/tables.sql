-- Purpose: many tables as an application has them: keys, ten indexes each, a foreign key, a sequence, a few rows.
DO $$
DECLARE
    n int;
BEGIN
    FOR n IN 1 .. current_setting('bench.tables')::int LOOP
        EXECUTE format(
            'CREATE TABLE t_%s (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, parent bigint, a int, b int, c text,'
            ' d text, e timestamptz, f numeric, g bool, h uuid)', n);
        EXECUTE format('INSERT INTO t_%s (parent, a, b, c, d, e, f) SELECT i, i, i, i::text, md5(i::text), now(), i'
                       ' FROM generate_series(1, 20) i', n);
        EXECUTE format(
            'CREATE INDEX ON t_%1$s (parent); CREATE INDEX ON t_%1$s (a); CREATE INDEX ON t_%1$s (b);'
            'CREATE INDEX ON t_%1$s (c); CREATE INDEX ON t_%1$s (d); CREATE INDEX ON t_%1$s (e);'
            'CREATE INDEX ON t_%1$s (f); CREATE INDEX ON t_%1$s (g, h); CREATE INDEX ON t_%1$s (a, b)', n);
        IF n > 1 THEN
            EXECUTE format('ALTER TABLE t_%s ADD FOREIGN KEY (parent) REFERENCES t_%s', n, n - 1);
        END IF;
        IF n % 100 = 0 THEN
            COMMIT;  -- each table holds locks until then
        END IF;
    END LOOP;
END
$$
