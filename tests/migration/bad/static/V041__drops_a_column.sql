-- refused because: ban-drop-column
ALTER TABLE users DROP COLUMN name;
