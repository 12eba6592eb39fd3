-- Purpose: where restored rows lie until they are proven, and copies beside the table; nobody else is let in.
-- Privileges: CREATE on the database, unless the schema is there.
CREATE SCHEMA IF NOT EXISTS {schema}
