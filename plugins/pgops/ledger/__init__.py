"""The operations database: every run leaves its record here. Losing it loses history, never data."""

from pgops.ledger.leases import Lease, held_lease
from pgops.ledger.store import Figure, Ledger

__all__ = ["Figure", "Lease", "Ledger", "held_lease"]
