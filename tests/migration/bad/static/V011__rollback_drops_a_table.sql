CREATE TABLE plans (name text PRIMARY KEY);
