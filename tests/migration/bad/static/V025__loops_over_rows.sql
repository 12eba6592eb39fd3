-- refused because: row-by-row-loop
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT id FROM users LOOP
        UPDATE orders SET status = 'paid' WHERE user_id = one.id AND status = 'pending';
    END LOOP;
END
$$;
