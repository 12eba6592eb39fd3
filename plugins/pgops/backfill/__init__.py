"""Backfills: millions of rows changed while the application feels nothing, and no matter who is killed meanwhile."""
