CREATE TYPE plan_kind AS ENUM ('free', 'paid');
ALTER TABLE users ADD COLUMN plan plan_kind;
