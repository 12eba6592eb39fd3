"""Migrations as files and revisions: found, read, taken apart, and which of them a database has."""
