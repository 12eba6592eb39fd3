-- refused because: outside-the-database
CREATE ROLE reporting;
GRANT SELECT ON users TO reporting;
