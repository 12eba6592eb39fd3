-- Purpose: an empty database for a drill or a template, from template1, where include/sql/roles/drill.sql put amcheck for a role that is
--          no superuser; or, for a source in another encoding, from template0 in that encoding, because the hashes of
--          the contents are over its bytes.
CREATE DATABASE {database} {template}
