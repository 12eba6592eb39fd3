from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.inbox import RunningInbox, running_inbox

StartInbox = Callable[..., RunningInbox]


@pytest.fixture
def start_inbox(tmp_path: Path) -> Iterator[StartInbox]:
    """Starts inboxes as processes of their own; `--data` stays the same within a test."""
    with ExitStack() as stack:

        def start(*options: str, data: Path = tmp_path / "inbox.jsonl") -> RunningInbox:
            return stack.enter_context(running_inbox(data, *options))

        yield start


@pytest.fixture
def inbox(start_inbox: StartInbox) -> RunningInbox:
    return start_inbox()
