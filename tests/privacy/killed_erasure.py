"""An erasure in a process of its own, for whoever wants to kill it: reads what it needs as JSON from its input."""

from __future__ import annotations

import json
import sys

from pgops.fleet import PrivacyPolicy
from pgops.postgres import Dsn
from pgops.privacy import erase, identify, read_map

given = json.load(sys.stdin)
dsn, policy = Dsn(**given["dsn"]), PrivacyPolicy.model_validate(given["policy"])
subject_map = read_map(dsn, "app", policy)
erase(dsn, subject_map, identify(dsn, subject_map, given["key"]), batch_rows=policy.batch_rows)
