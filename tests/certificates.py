"""A certificate authority of the tests' own, and a server that speaks TLS with a certificate of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pgops.postgres import Dsn
from sandbox.postgres import PostgresServer
from tests.servers import eventually

ROLE = "over_tls_only"


@dataclass
class Authority:
    """A self-made certificate authority."""

    name: str = "the tests' authority"
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def certificate(self) -> bytes:
        """Its own certificate, by which clients know it."""
        built = self._builder(self.name, self.key).add_extension(x509.BasicConstraints(True, None), critical=True)
        return built.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def issue(self, host: str) -> tuple[bytes, bytes]:
        """A certificate for a host, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        signed = self._builder(host, key).add_extension(names, critical=False).sign(self.key, hashes.SHA256())
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return signed.public_bytes(serialization.Encoding.PEM), secret

    def _builder(self, subject: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
        )


def speak_tls(server: PostgresServer) -> Path:
    """Give a running server a certificate for "localhost" and a superuser who may come over TLS only.

    Returns:
        The authority's certificate.
    """
    authority = Authority()
    certificate, key = authority.issue("localhost")
    root = server.data / "authority.pem"  # where whoever runs the server's programs can read it
    for name, content in (("server.crt", certificate), ("server.key", key), (root.name, authority.certificate())):
        path = server.data / name
        path.touch(mode=0o600)
        path.write_bytes(content)
        server.identity.give(path)
    rules = server.data / "pg_hba.conf"
    rules.write_text(f"hostnossl all,replication {ROLE} all reject\n{rules.read_text()}")
    server.execute(f"CREATE ROLE {ROLE} LOGIN SUPERUSER REPLICATION PASSWORD '{server.password}'")
    try:
        server.execute("ALTER SYSTEM SET ssl = on")
    except psycopg2.Error:
        pytest.skip("this build of PostgreSQL has no TLS: it was not tested with it")
    server.execute("SELECT pg_reload_conf()")
    assert eventually(lambda: server.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == [(True,)])
    return root


def over_tls(dsn: Dsn, **options: str) -> Dsn:
    """The same database as the role that may come over TLS only, at the name that the certificate is for."""
    return Dsn("localhost", dsn.port, dsn.dbname, ROLE, dsn.password, options)
