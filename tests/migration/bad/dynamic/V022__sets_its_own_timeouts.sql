-- refused because: over budget: it turns the timeouts off
SET statement_timeout = 0;
SET lock_timeout = 0;
SELECT pg_sleep(3600);
