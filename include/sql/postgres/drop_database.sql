-- Purpose: drop a database of ours, also when a dead run left sessions on it.
DROP DATABASE IF EXISTS {database} WITH (FORCE)
