-- Purpose: an empty scratch database. From template1, where include/sql/roles/drill.sql put amcheck for a role that is
--          no superuser.
CREATE DATABASE {database}
