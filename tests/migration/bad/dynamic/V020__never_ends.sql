-- refused because: over budget: it never ends
DO $$
BEGIN
    LOOP
        PERFORM pg_sleep(0.2);
    END LOOP;
END
$$;
