-- Purpose: whether there is any large object; everybody may ask this.
SELECT EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata)
