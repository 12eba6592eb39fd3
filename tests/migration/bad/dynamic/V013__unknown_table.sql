-- refused because: unknown table
ALTER TABLE userz ADD COLUMN plan text;
