-- refused because: psql-command
\i users.sql
