-- refused because: delete-without-where
DELETE FROM orders;
