-- Preferences that users have saved since are lost with the tables: export them first if they matter.
-- rollback: destructive acknowledged
DROP FUNCTION get_user_preference(bigint, text, text);
DROP TABLE user_preferences;
DROP TABLE user_preferences_history;
DROP FUNCTION log_preference_changes();
DROP FUNCTION touch_updated_at();
