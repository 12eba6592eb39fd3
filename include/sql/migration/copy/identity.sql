-- Purpose: which server this is, so that no copy is made on the source itself.
SELECT s.system_identifier || '/' || c.timeline_id FROM pg_control_system() s, pg_control_checkpoint() c
