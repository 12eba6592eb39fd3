"""An approved plan applied in a process of its own that dies at a given step; what it needs comes as JSON."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from typing import Any

from pgops.ledger import Ledger
from pgops.postgres import Dsn
from pgops.tuning import apply as module
from pgops.tuning import records

given = json.load(sys.stdin)


def die(*_: Any, **__: Any) -> None:
    os._exit(9)


if given["before"] == "recorded":  # the value is in place and seen, and the ledger has not heard of it
    original = records.note_change
    records.note_change = lambda *args: die() if args[4] == "applied" else original(*args)
else:
    setattr(module, given["before"], die)
ledger = Ledger(Dsn(**given["ledger"]))
module.apply(Dsn(**given["dsn"]), records.approved_plan(ledger, given["plan"]), ledger, datetime.now(UTC))
