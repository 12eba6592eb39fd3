-- Purpose: whether a database is a template (nobody drops it by mistake) and whether anybody may connect to it (else it
--          could not be copied).
ALTER DATABASE {database} WITH IS_TEMPLATE {template} ALLOW_CONNECTIONS {connections}
