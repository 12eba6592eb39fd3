"""Where an engine's programs find the bucket, and with which key."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from pgops.errors import Refused
from pgops.physical.model import Host

# A database's name begins with a letter or digit: no database's backups can lie here.
FOLDER = "_physical"
_PLAIN = re.compile(r"[A-Za-z0-9._/-]+")


@dataclass(frozen=True)
class Store:
    """A bucket as programs outside of this process reach it.

    Attributes:
        prefix: of this project in the bucket, without slashes around it.
        endpoint: the URL of a store that is not AWS; empty for AWS.
        access_key, secret_key, session_token: empty where the host has a role or a profile of its own.
        path_style: address buckets as paths, as most stores but AWS want it.
        sse, kms_key_id: encryption by the store, as pgops.storage.Custody has it.
    """

    bucket: str
    prefix: str = ""
    endpoint: str = ""
    region: str = ""
    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    path_style: bool = False
    sse: str = "none"
    kms_key_id: str = ""

    def url(self, *parts: str) -> str:
        """The s3:// URL of a folder of this project's."""
        url = "/".join(["s3:/", self.bucket, *(part for part in (self.prefix, *parts) if part)])
        if not _PLAIN.fullmatch(url.removeprefix("s3://")):
            raise Refused(
                "This name cannot stand in an archive_command",
                where=url,
                remedy="Use letters, digits, dot, dash and underscore in storage.bucket and storage.prefix",
            )
        return url

    def environment(self) -> dict[str, str]:
        """What the AWS SDKs read from the environment."""
        values = {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_SESSION_TOKEN": self.session_token,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            # A checksum that is streamed behind the body is more than some stores understand.
            **({"AWS_REQUEST_CHECKSUM_CALCULATION": "when_required"} if self.endpoint else {}),
        }
        return {name: value for name, value in values.items() if value}


def environment_file(variables: Mapping[str, str]) -> bytes:
    """A file that a shell reads with `.`; it holds secrets, so its mode is 0600."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()).encode()


@dataclass(frozen=True)
class Secrets:
    """How a command that PostgreSQL runs (archive_command, restore_command) comes by its environment on a host.

    Attributes:
        directory: of the file that is written there, mode 0600.
        envdir: a folder that the host has already, one variable a file, as daemontools' envdir reads it.
    """

    directory: PurePosixPath | None = None
    envdir: PurePosixPath | None = None

    def prepared(self, host: Host, name: str, variables: Mapping[str, str]) -> str:
        """Put the variables where PostgreSQL's shell finds them; return what that shell runs first.

        Exit code 126 tells PostgreSQL to stop: a recovery without its key must not look like the end of the WAL.
        """
        if self.envdir is not None:
            folder = shlex.quote(str(self.envdir))
            return f'test -d {folder} || exit 126; for f in {folder}/*; do export "${{f##*/}}=$(head -n 1 "$f")"; done'
        if self.directory is None:
            return ":"  # the host has a role or a profile of its own
        path = self.directory / f".{name}.environment"
        host.run(("mkdir", "-p", "-m", "700", str(self.directory)))
        host.write(path, environment_file(variables))
        return f"test -r {shlex.quote(str(path))} || exit 126; . {shlex.quote(str(path))}"


def in_setting(command: str) -> str:
    """A shell command as archive_command and restore_command take it: a percent sign is theirs, but for %p and %f."""
    return command.replace("%", "%%").replace("%%p", "%p").replace("%%f", "%f")
