-- refused because: disallowed-unique-constraint
ALTER TABLE users ADD CONSTRAINT users_name_key UNIQUE (name);
