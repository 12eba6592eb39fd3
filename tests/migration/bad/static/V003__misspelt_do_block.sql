-- refused because: syntax
DO $$
BEGIN
    PERFROM 1;
END
$$;
