CREATE VIEW paying_users AS SELECT * FROM users;
