-- Purpose: to the application nothing happens when rows move: no trigger fires, no foreign key acts.
-- Privileges: SET on the parameter session_replication_role (PostgreSQL 15), or superuser.
SET LOCAL session_replication_role = replica
