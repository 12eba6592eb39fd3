-- Purpose: a detached partition goes. Never with CASCADE: what depends on it is a reason to stop.
DROP TABLE {table}
