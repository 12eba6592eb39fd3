-- Preferences of users, with every state that they ever had.
--
-- Nothing here touches a table that was there before, but for the foreign key at the end, which locks users against
-- writes: last and NOT VALID, so for a moment only. Deleting a user deletes one row here: one a user is all there is.
-- pgops: allow cascade-delete

-- The current state. The unique constraint is also the index by user, and the foreign key's.
CREATE TABLE user_preferences (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id bigint NOT NULL,
    preferences jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT user_preferences_user_id_key UNIQUE (user_id),
    CONSTRAINT user_preferences_is_object CHECK (jsonb_typeof(preferences) = 'object')
);
CREATE INDEX user_preferences_preferences_idx ON user_preferences USING gin (preferences jsonb_path_ops);
COMMENT ON TABLE user_preferences IS
    'Preferences of each user, nested as the application likes. audit: user_preferences_history. '
    'retention: as long as the user; erased with them (GDPR).';

-- Every state, one partition a month. A primary key must hold the partition key.
CREATE TABLE user_preferences_history (
    id bigint GENERATED ALWAYS AS IDENTITY,
    user_id bigint NOT NULL,
    preferences jsonb NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text NOT NULL DEFAULT current_user,
    CONSTRAINT user_preferences_history_pkey PRIMARY KEY (id, changed_at)
) PARTITION BY RANGE (changed_at);
CREATE INDEX user_preferences_history_user_id_changed_at_idx ON user_preferences_history (user_id, changed_at DESC);
COMMENT ON TABLE user_preferences_history IS
    'Every state of user_preferences, written by its trigger: it is the audit trail. '
    'retention: 2 years, by dropping partitions; rows of a user are erased with them (GDPR).';

-- Two years of months. Bounds are instants: without a time zone they would depend on who creates the partition.
DO $$
DECLARE
    first_day date;
BEGIN
    FOR first_day IN SELECT generate_series(date '2026-02-01', date '2028-01-01', interval '1 month') LOOP
        EXECUTE format(
            'CREATE TABLE %I PARTITION OF user_preferences_history FOR VALUES FROM (%L) TO (%L)',
            to_char(first_day, '"user_preferences_history_"YYYY_MM'),
            first_day || ' 00:00:00+00',
            (first_day + interval '1 month')::date || ' 00:00:00+00');
    END LOOP;
END
$$;

CREATE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;
CREATE TRIGGER touch_updated_at BEFORE UPDATE ON user_preferences
FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

CREATE FUNCTION log_preference_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.user_preferences_history (user_id, preferences, changed_by)
    VALUES (NEW.user_id, NEW.preferences, current_user);
    RETURN NULL;
END
$$;
CREATE TRIGGER log_preference_changes AFTER INSERT OR UPDATE OF preferences ON user_preferences
FOR EACH ROW EXECUTE FUNCTION log_preference_changes();

CREATE FUNCTION get_user_preference(p_user_id bigint, p_key text, p_default text DEFAULT NULL)
RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT preferences ->> p_key FROM public.user_preferences WHERE user_id = p_user_id), p_default)
$$;

ALTER TABLE user_preferences ADD CONSTRAINT user_preferences_user_id_fkey
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE NOT VALID;
-- pgops: autocommit
ALTER TABLE user_preferences VALIDATE CONSTRAINT user_preferences_user_id_fkey;
