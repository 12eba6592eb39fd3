-- refused because: syntax
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.name IS NULL THN
        RETURN NULL;
    END IF;
    RETURN NEW;
END
$$;
