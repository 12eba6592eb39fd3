-- refused because: a lock against everybody is held too long
ALTER TABLE users ADD COLUMN plan text;
SELECT pg_sleep(3);
