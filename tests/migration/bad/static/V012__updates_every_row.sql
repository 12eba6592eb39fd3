-- refused because: update-without-where
UPDATE users SET name = trim(name);
