CREATE FUNCTION shout(word text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper(word)';
ALTER TABLE users ADD COLUMN nickname text;
