-- refused because: a big table is rewritten
-- pgops: allow changing-column-type
ALTER TABLE orders ALTER COLUMN total_amount TYPE double precision;
