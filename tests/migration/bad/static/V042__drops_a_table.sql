-- refused because: ban-drop-table
DROP TABLE orders;
