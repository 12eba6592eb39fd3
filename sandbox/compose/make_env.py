"""Prints .env.example with every secret made new: python3 sandbox/compose/make_env.py > .env"""

from __future__ import annotations

import base64
import secrets
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / ".env.example"
# A value with this in it is an example of a secret. It works as it stands, on this machine only.
MARK = "local-only"
FERNET_KEY = "AIRFLOW_FERNET_KEY"


def new_environment(example: str) -> str:
    """Return the example with random values in the place of its secrets."""
    return "".join(_renewed(line) for line in example.splitlines(keepends=True))


def _renewed(line: str) -> str:
    name, equals, value = line.partition("=")
    if line.startswith("#") or not equals:
        return line
    if name == FERNET_KEY:  # Fernet takes exactly 32 bytes in URL-safe base64
        return f"{name}={base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()}\n"
    # Hexadecimal: some of these become parts of URLs.
    return f"{name}={secrets.token_hex(32)}\n" if MARK in value else line


if __name__ == "__main__":
    print(new_environment(EXAMPLE.read_text(encoding="utf-8")), end="")
