-- Purpose: set a list of names, as the server stores it, until the end of the transaction.
SELECT pg_catalog.set_config({setting}, {value}, true)
