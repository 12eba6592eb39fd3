-- refused because: duplicate-index
-- As the guide has it.
CREATE TABLE user_preferences (
    id BIGSERIAL PRIMARY KEY,
    user_id BIGINT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    preferences JSONB NOT NULL DEFAULT '{}',
    created_at TIMESTAMP NOT NULL DEFAULT NOW(),
    updated_at TIMESTAMP NOT NULL DEFAULT NOW(),
    CONSTRAINT uniq_user_preferences UNIQUE (user_id)
);
CREATE INDEX idx_user_preferences_user_id ON user_preferences (user_id);
