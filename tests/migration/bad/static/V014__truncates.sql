-- refused because: truncate
TRUNCATE orders;
