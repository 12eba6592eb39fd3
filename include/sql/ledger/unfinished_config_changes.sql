-- Purpose: settings of a server that somebody began to change, and that nobody has seen changed.
SELECT plan_id, setting, change, begun_at FROM pgops.config_changes
 WHERE server = %(server)s AND state = 'applying' ORDER BY begun_at, setting
