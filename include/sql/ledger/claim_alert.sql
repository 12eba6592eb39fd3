-- Purpose: whether this alert is new; a row comes back only to the first who asks.
-- Parameters: key.
INSERT INTO pgops.alert_claims (key) VALUES (%(key)s) ON CONFLICT (key) DO NOTHING RETURNING key
