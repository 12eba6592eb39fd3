"""The engines that keep base backups and WAL. What they share is the protocol pgops.physical.model.Engine."""

from pgops.physical.engines.barman import BarmanEngine
from pgops.physical.engines.source import Source, tablespace_directory
from pgops.physical.engines.walg import WalgEngine, chain_of

__all__ = ["BarmanEngine", "Source", "WalgEngine", "chain_of", "tablespace_directory"]
