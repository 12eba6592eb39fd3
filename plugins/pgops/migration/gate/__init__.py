"""What can be known of a migration before it runs."""
