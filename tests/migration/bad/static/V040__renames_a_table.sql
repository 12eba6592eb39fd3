-- refused because: renaming-table
ALTER TABLE users RENAME TO accounts;
