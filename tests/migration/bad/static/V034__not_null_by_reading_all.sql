-- refused because: adding-not-nullable-field
ALTER TABLE users ALTER COLUMN name SET NOT NULL;
