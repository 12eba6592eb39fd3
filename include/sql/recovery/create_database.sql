-- Purpose: an empty scratch database, from template0 so that nothing local is in it; C.UTF-8-like order is not needed.
CREATE DATABASE {database} TEMPLATE template0 ENCODING 'UTF8'
