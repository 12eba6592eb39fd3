-- refused because: unknown type
ALTER TABLE users ADD COLUMN plan plan_kind;
