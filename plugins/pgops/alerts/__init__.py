"""Slack messages that say what, where, how bad, since when and what to do next; sending one never fails the work."""
