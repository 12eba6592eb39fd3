-- refused because: drop-cascade
DROP VIEW paying_users CASCADE;
