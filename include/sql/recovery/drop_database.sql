-- Purpose: drop a scratch database, also when a dead run left sessions on it.
DROP DATABASE IF EXISTS {database} WITH (FORCE)
