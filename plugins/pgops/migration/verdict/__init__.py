"""Whether a migration may be deployed; the report, and what is kept of it."""
