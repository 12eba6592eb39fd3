"""A migration into production: its ledger of versions, locks, losses, evidence and the watch afterwards."""
