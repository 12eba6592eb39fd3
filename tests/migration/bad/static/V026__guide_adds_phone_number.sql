-- refused because: quadratic-backfill, adding-not-nullable-field
-- As the guide has it.
ALTER TABLE users ADD COLUMN phone_number VARCHAR(20);
ALTER TABLE users ALTER COLUMN phone_number SET DEFAULT '';
DO $$
DECLARE
    batch_size INT := 10000;
    updated_rows INT;
BEGIN
    LOOP
        UPDATE users
        SET phone_number = ''
        WHERE id IN (
            SELECT id FROM users
            WHERE phone_number IS NULL
            LIMIT batch_size
        );
        GET DIAGNOSTICS updated_rows = ROW_COUNT;
        EXIT WHEN updated_rows = 0;
        RAISE NOTICE 'Updated % rows', updated_rows;
        COMMIT;
        PERFORM pg_sleep(0.1);
    END LOOP;
END $$;
SELECT COUNT(*) FROM users WHERE phone_number IS NULL;
ALTER TABLE users ALTER COLUMN phone_number SET NOT NULL;
CREATE INDEX CONCURRENTLY idx_users_phone ON users (phone_number);
