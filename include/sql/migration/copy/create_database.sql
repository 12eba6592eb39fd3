-- Purpose: an empty database from the default template, or, for a source in another encoding, from template0.
CREATE DATABASE {database} {template}
