-- Purpose: it believes in none any more.
SELECT {schema}.hypopg_reset()
