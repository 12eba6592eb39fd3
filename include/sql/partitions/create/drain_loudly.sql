-- Purpose: from here on triggers and foreign keys are as ever.
SET LOCAL session_replication_role = origin
