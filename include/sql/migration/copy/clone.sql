-- Purpose: a copy of the golden template: file by file, or page by page through the WAL.
-- Source: https://www.postgresql.org/docs/current/sql-createdatabase.html (STRATEGY since PostgreSQL 15)
CREATE DATABASE {clone} TEMPLATE {golden} STRATEGY {strategy}
