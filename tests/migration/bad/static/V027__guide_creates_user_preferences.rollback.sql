-- rollback: destructive acknowledged
DROP TABLE user_preferences;
