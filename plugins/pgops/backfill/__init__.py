"""Millions of rows changed in batches while the application feels nothing."""
