-- Purpose: how old the oldest transaction id of this database is, and from which age on vacuum drops everything else.
-- Source:  https://www.postgresql.org/docs/current/routine-vacuuming.html#VACUUM-FOR-WRAPAROUND
SELECT greatest(age(datfrozenxid), mxid_age(datminmxid))::bigint AS age,
       current_setting('vacuum_failsafe_age')::bigint AS failsafe
  FROM pg_database
 WHERE datname = current_database()
