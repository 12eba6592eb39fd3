"""Creates partitions for a test that kills this process: reads {dsn, policies} as JSON from standard input."""

from __future__ import annotations

import json
import sys

from pgops.fleet.partitions import PartitionPolicies
from pgops.postgres import Dsn
from tests.partitions.parents import made

job = json.load(sys.stdin)
made(Dsn(**job["dsn"]), PartitionPolicies.model_validate(job["policies"]))
