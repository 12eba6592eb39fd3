-- refused because: changing-column-type
ALTER TABLE orders ALTER COLUMN total_amount TYPE double precision;
