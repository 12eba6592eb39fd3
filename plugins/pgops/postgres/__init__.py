"""Sessions on PostgreSQL servers and the client programs that match them."""

from pgops.postgres.dsn import Dsn
from pgops.postgres.errors import DatabaseError, explained
from pgops.postgres.programs import client_program
from pgops.postgres.session import Limits, cancel_all, connect
from pgops.postgres.tls import check_tls

__all__ = ["DatabaseError", "Dsn", "Limits", "cancel_all", "check_tls", "client_program", "connect", "explained"]
