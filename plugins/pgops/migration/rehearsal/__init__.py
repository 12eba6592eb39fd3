"""A migration on a copy: run, recorded, written to, loaded, rolled back."""
